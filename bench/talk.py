"""What a model makes of what is no task: open questions, greetings, questions about itself; and of tasks.

    python bench/talk.py [MODEL] --questions FILE [--count 200]

Open questions are those that `firesteel.train.talk` keeps from training; the other sentences are written here, none of
them one that training draws. It should say what fits, and never take a task (text families, fresh problems of level 1,
alone and behind a greeting) for anything else. Intervals: Wilson, 95 %.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Iterable

from firesteel.backends import Backend, Request, complete, open_backend
from firesteel.evals.stats import wilson
from firesteel.format import Message
from firesteel.tasks import FAMILIES, get, make
from firesteel.tasks.base import HELD_OUT
from firesteel.train import talk

SAID = {
    talk.HELLO: (
        *("hallo", "Hi everyone", "hello again", "Nice to meet you", "Hey kindling!", "hi hi"),
        *("Hello my friend", "Hey, it's me", "good morning all", "Hi bot"),
    ),
    talk.WELL: ("How are you feeling today?", "How have you been?", "you alright?", "Hello! How are you doing today?"),
    talk.ABOUT: (
        *("Could you tell me who you are?", "what kind of model are you", "Do you have a name?", "Are you GPT-4?"),
        *("Who built you?", "Please introduce yourself", "Are you a robot?", "What language model is this?"),
        *("Can you tell me your name", "what's kindling", "Are you made by Meta?", "who is your maker?"),
    ),
    talk.ABLE: (
        *("what sort of things can you do", "What are you useful for?", "can you help me with something?"),
        *("Please help me", "Tell me what you can do", "What kind of questions can I ask?"),
        *("can you look at pictures?", "How may I use this?", "what are your features?", "Any examples?"),
    ),
    talk.DOUBT: (
        *("Are you certain?", "that seems wrong", "I think that is wrong", "Are you really sure about this?"),
        *("Hmm, that does not look right", "no it isn't", "You must be wrong"),
    ),
    talk.WELCOME: (
        *("thank you so much", "Many thanks", "thx", "ok thanks", "That was very helpful, thank you"),
        *("Thanks for the help!", "nice, thank you", "you did well"),
    ),
    talk.BYE: ("goodbye then", "See you tomorrow", "Bye, kindling", "I must go now", "ok bye", "have a good night"),
    talk.GO_ON: ("okay then", "Very interesting", "oh I see", "all right", "sounds good", "ah ok"),
    talk.BLIND: (
        *("What does the chart say?", "Which bar is tallest here?", "what time does this clock show?"),
        *("How many red circles do you see?", "Describe this picture", "What's in this photo?"),
        *("Where is the blue square?", "What is written on the sign?"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="kindling")
    parser.add_argument("--questions", required=True, help="an instruction set, e.g. databricks-dolly-15k.jsonl")
    parser.add_argument("--count", type=int, default=200, help="open questions, and tasks of either kind")
    asked = parser.parse_args()
    asyncio.run(measure(asked.model, asked.questions, asked.count))


async def measure(model: str, questions: str, count: int) -> None:
    rng = random.Random(0)
    learnt = {plain(m.text) for _ in range(5000) for m in talk.conversation(rng, 256) if m.role == "user"}
    assert not learnt & {plain(said) for each in SAID.values() for said in each}, "training draws what it is judged by"
    kept = talk.questions((questions,))[1][:count]
    textual = [name for name in FAMILIES if not FAMILIES[name].visual]
    tasks = [make(textual[i % len(textual)], HELD_OUT + 70_000 + i) for i in range(count)]
    hello = [Message("user", "Hi"), Message("assistant", talk.HELLO)]
    backend = open_backend(model, slots=1, context=2048)
    try:
        unknown = [await answer(backend, [Message("user", each)]) == talk.UNKNOWN for each in kept]
        tell("open questions: says that it does not know", unknown)
        said = [(each, await answer(backend, [Message("user", each)]), right) for right in SAID for each in SAID[right]]
        tell(
            "greetings, questions about itself, pictures that are missing: says what fits", [b == c for _, b, c in said]
        )
        for text, got, right in said:
            if got != right:
                print(f"  {text} -> {got}")
        for name, before in (("tasks", []), ("tasks behind a greeting", hello)):
            answers = [await answer(backend, [*before, task.message]) for task in tasks]
            tell(f"{name}: right", [get(t.family).check(t, a) for t, a in zip(tasks, answers, strict=True)])
            tell(f"{name}: taken for something else", [a in {*SAID, talk.UNKNOWN} for a in answers])
    finally:
        await backend.close()


async def answer(backend: Backend, messages: list[Message]) -> str:
    (said,) = await complete(backend, Request(messages=messages, strength=256, temperature=0.0, max_tokens=400))
    return said.parse().content


def plain(text: str) -> str:
    return text.casefold().rstrip("?.! ")


def tell(what: str, hits: Iterable[bool]) -> None:
    hits = list(hits)
    low, high = wilson(sum(hits), len(hits))
    print(f"{what}: {sum(hits)} of {len(hits)} ({sum(hits) / len(hits):.2f} [{low:.2f}, {high:.2f}])", flush=True)


if __name__ == "__main__":
    main()
