"""What people say to a model that is no task: greetings, questions about it, and questions that it cannot answer.

A mind that has only met tasks takes everything for one. So it learns to say who it is and what it can do, to ask for a
picture that is missing, and to say that it does not know: it is far too small to learn about the world, and what it
would say of it is noise. Questions that people asked, in files as the instruction sets have them, teach it to tell what
it cannot answer from what it can; without files a few forms of such questions stand for them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from firesteel.format import STRENGTHS, Message
from firesteel.tasks import FAMILIES, make
from firesteel.tasks.base import HELD_OUT, Problem, thought
from firesteel.tasks.lexicon import NAMES, TRADES, WORDS
from firesteel.train import wording
from firesteel.train.finetune.examples import records
from firesteel.train.forms import filled, typed

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

# What is answered, how that is thought, and what people say: {a|b} is either, and either may be nothing.
_SAID: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        HELLO,
        "A greeting.",
        (
            "{Hi|Hello|Hey|Hi there|Hello there|Hey there|Greetings|Howdy|Hiya|Yo}{||, kindling|, friend|!}",
            "Good {morning|afternoon|evening|day}{||, kindling}",
            "{Hi|Hello|Hey}, {I am|I'm|my name is|this is} {name}",
            "{Hello|Hi} {world|all|folks|again, kindling}",
            "{Is anybody|Are you|Is someone} there?",
            "{Test|Testing|Just testing|This is a test}",
            "{Pleased|Glad|Good} to meet you",
        ),
    ),
    (
        WELL,
        "A greeting that asks how I am.",
        (
            "{|Hi, |Hello, |Hey, }how are {you|you doing|things|you today|you getting on}?",
            "{|Hi, |Hey, }how is {it going|life|everything|your morning}?",
            "How do you {do|feel}?",
            "{What's|What is} {up|new}?",
            "Are you {well|okay|fine|happy}?",
            "{Is everything|Are things} all right{| with you}?",
        ),
    ),
    (
        ABOUT,
        "A question about me.",
        (
            "{|Hi, |Hello, |And |So }who are you{|, please| exactly}?",
            "{Tell me|I want to know|May I know} {who|what} you are",
            "What{'s| is} your name?",
            "{What|Which} {model|AI|system} {are you|is this|do I talk to}?",
            "{Tell me|Say something|Talk} about yourself",
            "{Introduce|Describe|Present} yourself{|, kindling}",
            "Who {made|trained|wrote|created|developed|runs} you?",
            "What {company|people|team} {made|built|is behind} you?",
            "{Where|When|How} were you {made|trained|created|born}?",
            "Are you {|really |by any chance }{ChatGPT|an AI|a person|human|Llama|Claude|Gemini|Muse Spark}?",
            "Are you {a machine|a computer|a language model|alive|real|conscious}?",
            "Is this {ChatGPT|Llama|a bot|an AI}?",
            "How {big|old|small|large|smart} are you?",
            "Where {do you come|are you} from?",
            "What is {kindling|Firesteel}?",
            "How many parameters do you have?",
            "Do you have {feelings|a mind|friends|parents|a body}?",
        ),
    ),
    (
        ABLE,
        "A question about what I can do.",
        (
            "{|Hi, |Hello, |So |And |Ok, }what can you do{| for me| with pictures| with numbers| here|, kindling}?",
            "{Help|Help me|I need help|I need your help|Help, please}",
            "{Can|Could|Will} you {|please }help{| me| me here| us}?",
            "What are you {good at|made for|able to do|there for|trained to do}?",
            "What {can|should|may|could} I ask{| you}?",
            "{Give|Show} me {an example|examples|a sample|something to try}",
            "How does {this|it} work?",
            "What {do you know|are your skills|are your abilities|tasks do you know|now|next}?",
            "Can you {see|see pictures|read|read charts|read tables|tell the time|look at a picture}?",
            "Can you {do maths|do math|count|add|calculate|sort|reverse words}?",
            "How {do|can|should} I use you?",
            "What do you {do|offer}?",
            "{Tell|Show} me your {skills|tricks|abilities}",
            "Can I ask {you something|a question|something}?",
            "I {have a|want to ask a} question",
            "Do you {understand|see|read|know} {pictures|images|charts|numbers|words}?",
        ),
    ),
    (
        DOUBT,
        "A doubt.",
        (
            "Are you {sure|really sure|certain of that}{|, kindling}?",
            "{That|This|It} {is|was} {|all |quite |simply }{wrong|false|not right|not true|incorrect|a mistake}",
            "{That's|It's} {wrong|not right|not correct|incorrect}",
            "{Wrong|No|Nope|False|Incorrect|Not right}{|, try again}",
            "I {do not|don't} {believe you|think so|agree|trust that}",
            "{Really|Why|How come|How so|Is that right|Is that correct|Is that true|How do you know}?",
            "You {are wrong|are mistaken|made a mistake|got it wrong}",
            "{Check|Look|Think|Try}{| that| it} again",
            "{Explain|Explain it|Explain that|Show your work}",
            "{That|It} can't be {right|true}",
        ),
    ),
    (
        WELCOME,
        "Thanks.",
        (
            "{Thanks|Thank you|Cheers}{|, kindling| a lot| very much| for that| for your help| for the answer}",
            "{Great|Perfect|Good|Wow}, {thanks|thank you}{||, that helps}",
            "{Well done|Good job|Great job|Nice work|Bravo|Good answer|You are great|You are good|I like that}",
            "{Very good|That is right|That's right|Correct|Right|Exactly}",
        ),
    ),
    (
        BYE,
        "A farewell.",
        (
            "{Bye|Goodbye|Bye bye|Bye for now|Farewell|Good night|So long}{|, friend|, my friend}",
            "See you{| later| soon| around| next time}",
            "I {have to|must|will} {go|leave|stop here}",
            "{That|This} {is|was} all{| for today| for now}",
            "Until {next time|later}",
        ),
    ),
    (
        GO_ON,
        "No question.",
        (
            "{Ok|Okay|I see|Cool|Nice|Yes|Yeah|Sure|Great|Good|Fine|Hm|Hmm|Interesting|Alright|Aha|Wow|Haha}",
            "{Got it|I understand|Right then|Very well|Understood|Not bad|So}",
            "{Ok|Okay|Hm|Well}, {good|fine|I see|understood|nice}",
        ),
    ),
)
# As the tasks ask about pictures, and as people do.
_SEEN = (
    "What {is|do you see} {in|on} {the|this|my} {picture|image|photo|chart|screen}?",
    "{Explain|Read|Look at} {the|this|my} {picture|image|photo|chart|table|graph|screenshot}",
    "Describe {the|my} {image|photo|chart}",
    "{Which|What} {bar|slice|point|row|number} is {the |}{largest|highest|biggest|smallest}?",
    "What {time|hour} is {it|on the clock|on this clock}?",
    "How many {things|people|dots|squares|circles|words} {are there|are in the picture|can you see}?",
)
_ASKED = (
    "Who was {name} {word}?",
    "Who invented the {word}?",
    "What is the {capital|meaning|price|history|colour|opposite} of {word}?",
    "Why is the {word} so {word}?",
    "{Write|Make} {a poem|a story|a song|an essay|a letter|some code} about a {word}.",
    "Tell me {a joke|a story|something} about {a {trade}|{name}|the {word}}.",
    "What is {a|the best} {word}?",
    "What does a {trade} do?",
    "How do I {make|buy|find|cook|learn|fix} a {word}?",
    "{When|Where|How} was the {word} invented?",
    "Translate {word} into {French|Spanish|German}.",
    "Write a program that prints {word}.",
    "Is a {word} better than a {word}?",
    "Explain {word} to a {trade}.",
    "{What do you think about|Do you know|Do you like|Who is|How old is} {{name}|{word}}?",
    "How far is it to {word}?",
    "Who is the {president|king|owner} of {word}?",
    "{What is the weather like|What day is it today|What should I eat|What is love|Where am I}?",
    "{Give|Send} me a recipe for {word}.",
    "{Summarise|Explain} the history of {word}.",
    "Name three kinds of {word}.",
    "{Tell me a joke|Sing a song|Tell me a story|Write a poem|Surprise me}.",
)

# Questions of other people that it may well be able to answer are no examples of what it cannot.
_ABLE = re.compile(
    r"\d|[+=*]|sort|order|revers|backward|alphabet|spell|letter|count|plus|minus|multipl|add |sum|divide"
)
_LONGEST = 120  # characters of a question
_SLOTS = {"name": NAMES, "word": WORDS, "trade": TRADES}


def conversation(
    rng: random.Random, strength: int, files: tuple[str, ...] = (), reworded: float = 0.0
) -> list[Message]:
    """One to three exchanges, which may have tasks of text among them; the last message is the assistant's.

    `reworded` of the tasks are asked in other words than their families'.
    """
    messages = []
    for place in range(rng.choice((1, 1, 2, 2, 3))):
        if rng.random() < (0.6 if place else 0.2):
            problem = _task(rng)
            if reworded and rng.random() < reworded:
                problem = wording.changed(problem, rng)
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
    elif kind < 0.6:
        answer, reasoning = BLIND, "This is about a picture. There is no picture."
        visual = [name for name in FAMILIES if FAMILIES[name].visual]
        if rng.random() < 0.5:
            asked = make(rng.choice(visual), rng.randrange(HELD_OUT)).question
        else:
            asked = typed(rng, _filled(rng, rng.choice(_SEEN)))
    else:
        answer, reasoning, said = rng.choice(_SAID)
        asked = typed(rng, _filled(rng, rng.choice(said)))
    return asked, answer, reasoning


@lru_cache
def questions(files: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The open questions of instruction sets: those to learn from, and one in ten that are kept to judge by.

    A file holds objects with an `instruction` and, where something is to be read first, a `context`, which leaves them
    out. Raises ValueError, with the place, for any other.
    """
    found = sorted({asked for file in files for asked in _instructions(Path(file)) if _is_open(asked)})
    kept = found[::10]
    return sorted(set(found) - set(kept)), kept


def _instructions(path: Path) -> Iterator[str]:
    for place, record in records(path):
        if not isinstance(record.get("instruction"), str):
            raise ValueError(f"{place}: an object of an instruction set has an instruction.")
        if not record.get("context"):
            yield " ".join(record["instruction"].split())


def _is_open(asked: str) -> bool:
    return 0 < len(asked) <= _LONGEST and not _ABLE.search(asked.lower())


def _task(rng: random.Random) -> Problem:
    return make(rng.choice([name for name in FAMILIES if not FAMILIES[name].visual]), rng.randrange(HELD_OUT))


def _filled(rng: random.Random, form: str) -> str:
    """A form with names and words, its first letter large."""
    text = filled(rng, form, lambda slot: rng.choice(_SLOTS[slot]))
    return text[0].upper() + text[1:]
