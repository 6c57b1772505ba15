"""What kindling is reminded of while it learns something new.

A small model that is tuned on one thing alone soon does only that. Worked problems such as it was trained on, at every
strength, mixed into each update, keep what it can do (rehearsal: Robins 1995, doi 10.1080/09540099550039318).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from firesteel.format import STRENGTHS, Message
from firesteel.tasks import FAMILIES, make
from firesteel.tasks.base import HELD_OUT, thought
from firesteel.train.finetune.examples import Example


def rehearsal(count: int, seed: int = 0) -> Iterator[Example]:
    """`count` worked problems of levels 1 and 2. Evaluations ask none of them."""
    rng = random.Random(seed)
    strengths = [number for number in STRENGTHS.values() if number]
    for _ in range(count):
        name, strength = rng.choice(list(FAMILIES)), rng.choice(strengths)
        problem = make(name, rng.randrange(HELD_OUT), rng.randint(1, min(2, FAMILIES[name].levels)))
        said = Message("assistant", problem.answer, thought(problem, strength))
        yield Example((problem.message, said), (), strength, f"a problem of {name}")
