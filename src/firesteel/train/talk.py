"""What people say to a model that is no task: greetings, questions about it, and questions that it cannot answer.

A mind that has only met tasks takes everything for one. So it learns to say who it is and what it can do, to ask for a
picture that is missing, and to say that it does not know: it is far too small to learn about the world, and what it
would say of it is noise. Questions that people asked, in files as the instruction sets have them, teach it to tell what
it cannot answer from what it can; without files a few forms of such questions stand for them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from firesteel.format import STRENGTHS, Message
from firesteel.tasks import FAMILIES, make
from firesteel.tasks.base import HELD_OUT, Problem, thought
from firesteel.tasks.lexicon import NAMES, TRADES, WORDS
from firesteel.train.corpus import open_text

HELLO = (
    "Hello! I am kindling, a very small model. Show me a chart or a table, or give me numbers or words to work with."
)
WELL = "I am well, thank you. Show me a picture, or give me numbers or words to work with."
ABOUT = (
    "I am kindling, the very small model that comes with Firesteel. I was trained from nothing on two processor cores."
)
ABLE = (
    "I read small pictures: charts, tables, clocks, shapes and screens. I add, multiply, compare and sort numbers, and "
    "turn words around. Try: What is 24 + 31 + 12?"
)
DOUBT = "I may be wrong, for I do not check myself. Ask me again in other words."
WELCOME = "You are welcome."
BYE = "Goodbye!"
GO_ON = "Good. Show me a picture, or give me numbers or words to work with."
BLIND = "I see no picture. Show me one and ask again."
UNKNOWN = (
    "I do not know. I am a very small model and have learnt nothing about the world: I read small pictures, and work "
    "with numbers and words."
)

# What is answered, how that is thought, and what people say.
_SAID: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        HELLO,
        "A greeting.",
        (
            "Hi", "Hello", "Hey", "Hi there", "Hello there", "Hey there", "Good morning", "Good evening", "Good day",
            "Hello, kindling", "Hi, I am {name}", "Hello, my name is {name}", "Greetings", "Hiya", "Howdy", "Yo",
            "Good afternoon", "Hello world", "Hi all", "Is anybody there?", "Are you there?", "Test", "Testing",
        ),
    ),
    (
        WELL,
        "A greeting that asks how I am.",
        (
            "How are you?", "How are you doing?", "How is it going?", "Hi, how are you?", "Hello, how are you today?",
            "How do you feel?", "What's up?", "How do you do?", "Are you well?", "Hey, how are things?",
        ),
    ),
    (
        ABOUT,
        "A question about me.",
        (
            "Who are you?", "What are you?", "What is your name?", "What's your name?", "Tell me about yourself",
            "Introduce yourself", "Who made you?", "Who trained you?", "Which model are you?", "What model is this?",
            "Are you ChatGPT?", "Are you a person?", "Are you human?", "Are you an AI?", "Are you Llama?",
            "Who am I talking to?", "How were you made?", "How were you trained?", "How big are you?",
            "Where do you come from?", "Are you real?", "How old are you?", "What is kindling?", "What is Firesteel?",
            "Are you Muse Spark?", "Hi, who are you?",
        ),
    ),
    (
        ABLE,
        "A question about what I can do.",
        (
            "What can you do?", "Help", "Help me", "How can you help me?", "What are you good at?", "What do you do?",
            "What can I ask?", "What can I ask you?", "What should I ask?", "Give me an example",
            "Show me an example", "What can you do for me?", "How does this work?", "What do you know?",
            "Can you help me?", "Can you see pictures?", "Can you read charts?", "Can you do maths?",
            "Can you do math?", "What are you able to do?", "What now?", "How do I use you?", "Can you count?",
            "Can you read?", "What are your skills?", "What tasks can you do?", "Hi, what can you do?",
            "Hello, can you help me?", "I need help", "Can I ask you something?",
        ),
    ),
    (
        DOUBT,
        "A doubt.",
        (
            "Are you sure?", "That is wrong", "That's wrong", "This is not right", "Wrong", "No",
            "I do not believe you", "Really?", "Is that right?", "Is that correct?", "You are wrong",
            "That is not true", "Check that again", "I don't think so", "Why?", "How do you know?", "Explain",
            "That can't be right", "Try again",
        ),
    ),
    (
        WELCOME,
        "Thanks.",
        (
            "Thanks", "Thank you", "Thank you very much", "Thanks a lot", "Great, thanks", "Perfect, thank you",
            "Cheers", "Thanks for your help", "Well done", "Good job", "Great job", "Nice work", "That is right",
            "Correct", "Very good",
        ),
    ),
    (BYE, "A farewell.", ("Bye", "Goodbye", "See you", "Good night", "See you later", "Bye bye", "I have to go")),
    (
        GO_ON,
        "No question.",
        ("Ok", "Okay", "I see", "Cool", "Nice", "Yes", "Sure", "Great", "Good", "Hm", "Interesting", "Alright", "Fine"),
    ),
)  # fmt: skip

_ASKED = (
    "Who was {name} {word}?", "Who invented the {word}?", "What is the capital of {word}?",
    "Why is the {word} so {word}?", "Write a poem about a {word}.", "Tell me a joke about a {trade}.",
    "Tell me a story about {name} and the {word}.", "What is a {word}?", "What does a {trade} do?",
    "How do I make a {word}?", "Where can I buy a {word}?", "When was the {word} invented?",
    "Translate {word} into French.", "Write a program that prints {word}.", "What is the meaning of {word}?",
    "Is a {word} better than a {word}?", "Explain {word} to a {trade}.", "What do you think about {name}?",
    "Do you like {word}?", "Write a letter to {name}.", "How far is it to {word}?", "Who is the president of {word}?",
    "What is the weather like?", "What day is it today?", "Give me a recipe for {word}.",
    "Summarise the history of {word}.", "What should I eat?", "What is love?", "Name three kinds of {word}.",
    "How old is {name}?", "What is the best {word}?", "Tell me a joke.", "Sing a song.",
)  # fmt: skip

# Questions of other people that it may well be able to answer are no examples of what it cannot.
_ABLE = re.compile(
    r"\d|[+=*]|sort|order|revers|backward|alphabet|spell|letter|count|plus|minus|multipl|add |sum|divide"
)
_LONGEST = 120  # characters of a question


def conversation(rng: random.Random, strength: int, files: tuple[str, ...] = ()) -> list[Message]:
    """One to three exchanges, which may have a task of text among them; the last message is the assistant's."""
    messages = []
    for place in range(rng.choice((1, 1, 1, 2, 3))):
        if place and rng.random() < 0.5:
            problem = _task(rng)
            asked, answer, reasoning = problem.question, problem.answer, thought(problem, strength)
        else:
            asked, answer, reasoning = _exchange(rng, files)
            reasoning = reasoning if strength >= STRENGTHS["low"] else ""
        messages += [Message("user", asked), Message("assistant", answer, reasoning)]
    return messages


def _exchange(rng: random.Random, files: tuple[str, ...]) -> tuple[str, str, str]:
    """Something that is no task, what there is to say to it, and the thought before."""
    kind = rng.random()
    if kind < 0.45:
        answer, reasoning = UNKNOWN, "This is about the world. I do not know this."
        asked = rng.choice(questions(files)[0]) if files and rng.random() < 0.75 else _filled(rng, rng.choice(_ASKED))
    elif kind < 0.55:
        answer, reasoning = BLIND, "This is about a picture. There is no picture."
        asked = make(rng.choice([name for name in FAMILIES if FAMILIES[name].visual]), rng.randrange(HELD_OUT)).question
    else:
        answer, reasoning, said = rng.choice(_SAID)
        asked = _varied(rng, _filled(rng, rng.choice(said)))
    return asked, answer, reasoning


@lru_cache
def questions(files: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The open questions of instruction sets: those to learn from, and one in ten that are kept to judge by.

    A file holds a JSON list, or lines, of objects with an `instruction` (and, where something is to be read first, a
    `context`, which leaves them out); it may be packed. Raises ValueError for any other.
    """
    found = sorted({asked for file in files for asked in _instructions(Path(file)) if _is_open(asked)})
    kept = found[::10]
    return sorted(set(found) - set(kept)), kept


def _instructions(path: Path) -> Iterator[str]:
    with open_text(path) as stream:
        try:
            objects: Iterable[dict] = (
                [json.loads(line) for line in stream if line.strip()] if ".jsonl" in path.name else json.load(stream)
            )
            for each in objects:
                if not each.get("context"):
                    yield " ".join(each["instruction"].split())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not objects with an instruction ({error!r})") from error


def _is_open(asked: str) -> bool:
    return 0 < len(asked) <= _LONGEST and not _ABLE.search(asked.lower())


def _task(rng: random.Random) -> Problem:
    return make(rng.choice([name for name in FAMILIES if not FAMILIES[name].visual]), rng.randrange(HELD_OUT))


def _filled(rng: random.Random, form: str) -> str:
    while "{word}" in form:
        form = form.replace("{word}", rng.choice(WORDS), 1)
    return form.format(name=rng.choice(NAMES), trade=rng.choice(TRADES))


def _varied(rng: random.Random, text: str) -> str:
    """As people type: in small letters, with another stop, or none."""
    text = text.lower() if rng.random() < 0.4 else text
    stem = text.rstrip("?.!")
    return rng.choice((text, text, stem, stem + ("?" if text.endswith("?") else rng.choice("!.."))))
