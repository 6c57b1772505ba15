"""Which problems a foreign trainer asks, named rather than kept: a family, a level, a number and a strength.

A name is enough to draw the problem again where its answer is judged, in any process. Numbers lie below `HELD_OUT`, so
no evaluation asks them; `held_out` draws above.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from firesteel.tasks import FAMILIES, get, make
from firesteel.tasks.base import HELD_OUT, Problem
from firesteel.train.rl.reward import PENALTY, thinking_costs


@dataclass(frozen=True)
class Question:
    """A problem's name, and how much thought is asked for (a word: minimal to xhigh)."""

    family: str
    level: int
    number: int
    strength: str

    @property
    def problem(self) -> Problem:
        return _problem(self.family, self.number, self.level)

    @property
    def line(self) -> str:
        """How the strength is said in a system message."""
        return f"Reasoning strength: {self.strength}."

    def is_right(self, answer: str) -> bool:
        return get(self.family).check(self.problem, answer.strip())


def draw(
    families: Sequence[str] = (),
    levels: Sequence[int] = (1,),
    strengths: Sequence[str] = ("medium",),
    seed: int = 0,
    held_out: bool = False,
) -> Iterator[Question]:
    """Questions without end, each family as often as any other; no families means all of ours.

    Raises ValueError, at the first of them, for unknown families and strengths, and for levels that a family lacks.
    """
    for strength in strengths:
        if strength not in PENALTY:
            raise ValueError(f"There is no strength {strength!r} to train for, only {', '.join(PENALTY)}.")
    names = list(families) or list(FAMILIES)
    for name in names:
        if not all(1 <= level <= get(name).levels for level in levels):
            raise ValueError(f"Family {name} has levels 1 to {get(name).levels}, not all of {list(levels)}.")
    rng = random.Random(f"questions/{seed}")
    first = HELD_OUT * (seed + 1) if held_out else 0
    for turn in count():
        number = first + rng.randrange(HELD_OUT)
        yield Question(names[turn % len(names)], rng.choice(levels), number, rng.choice(strengths))


def costs(rewards: Sequence[float], lengths: Sequence[int], strength: str, scale: float = 1.0) -> list[float]:
    """What thinking costs each sample of one group (0 or less)."""
    return thinking_costs(rewards, lengths, scale * PENALTY[strength])


@lru_cache(maxsize=1024)  # a group asks for one problem many times; pictures are small
def _problem(family: str, number: int, level: int) -> Problem:
    return make(family, number, level)
