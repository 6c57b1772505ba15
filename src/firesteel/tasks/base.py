"""What a verifiable task is: a question (perhaps with a picture), a checker, and worked solutions in three lengths.

A family is one Python object with `generate(rng, level)` and `check(problem, text)`. Everything else (training
traces, evaluation, RL rewards) is derived from these two, so a new family is one class and one line in the registry.

How much thought belongs to a numeric strength (1..512) is fixed here, because training and evaluation must agree:
strength 1 thinks nothing, 16 the terse solution, 64 the full one, 256 the full one and a terse check, 512 the full
one and a full check. In between, the nearest lower rung applies.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from firesteel.format import STRENGTHS, Message, Part

HELD_OUT = 1_000_000_000  # seeds from here on are for evaluation; training draws below


def held_out(seed: int, number: int = 0) -> int:
    """The number of problem `number` of evaluation seed `seed`: no training draws it."""
    return HELD_OUT * (seed + 1) + number


@dataclass(frozen=True)
class Problem:
    """One question with its truth.

    `terse` and `full` are worked solutions that end in the same answer; both are written for a small model: short
    common words, every intermediate value spelled out before it is used. The terse one has each value once: what was
    read is not named again before it is worked with, and what does not matter is left out. `caption` describes the
    whole picture (visual families only) and is what pretraining learns to say about it.
    """

    family: str
    level: int
    question: str
    answer: str
    terse: str
    full: str
    image: Image.Image | None = None
    caption: str = ""
    facts: dict[str, Any] = field(default_factory=dict)  # what the checker needs beyond `answer` (boxes, tolerances)

    @property
    def message(self) -> Message:
        """As a user asks it: the picture first."""
        shown = [Part.image_of(self.image)] if self.image is not None else []
        return Message("user", [*shown, Part.text_of(self.question)])


class Family(ABC):
    """A generator of problems with a checker. Levels count from 1; level 1 is the easiest."""

    name: str
    visual: bool
    levels: int

    @abstractmethod
    def generate(self, rng: random.Random, level: int) -> Problem:
        """Draws one problem; everything random comes from `rng`, so a seed names a problem for ever."""

    def check(self, problem: Problem, text: str) -> bool:
        """Whether `text` (the final answer only, no thought) answers the problem."""
        return normalise(text) == normalise(problem.answer)


def normalise(text: str) -> str:
    """Lower case, single spaces, no closing punctuation: the equality that short answers are compared under."""
    return " ".join(text.lower().split()).rstrip(".!")


def thought(problem: Problem, strength: int) -> str:
    """The worked solution that a mind of this strength writes before it answers."""
    if strength < STRENGTHS["low"]:
        return ""
    if strength < STRENGTHS["medium"]:
        return problem.terse
    if strength < STRENGTHS["high"]:
        return problem.full
    check = problem.terse if strength < STRENGTHS["xhigh"] else problem.full
    return f"{problem.full}\nCheck: {check}"
