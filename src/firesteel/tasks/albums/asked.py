"""What the problems about pictures of an album share: how question, worked solution and truth are put down."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from PIL import Image

from firesteel.tasks.base import Family, Problem
from firesteel.tasks.drawing import Box
from firesteel.tasks.interface import BoundingBox, Point, middle


def article(name: str) -> str:
    """The name with "a" or "an"."""
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


class Pictured(Family):
    """A family whose answers are words or numbers."""

    visual = True
    levels = 1

    def problem(self, question: str, answer: str, seen: str, image: Image.Image, caption: str, **facts: Any) -> Problem:
        """`seen` is what the thought says before the answer."""
        terse, full = f"{seen}. So {answer}", f"{caption} {seen}. So {answer}."
        return Problem(self.name, 1, question, answer, terse, full, image, caption, facts)


def grounded(
    family: Point | BoundingBox,
    rng: random.Random,
    image: Image.Image,
    names: list[str],
    frames: list[Box],
    caption: str,
    read: str = "",
) -> Problem:
    """A question for one of the named frames (thousandths).

    The full thought has first what is `read`, else the caption. It should tell where each of them is: thoughts that
    named them without their places, and then gave one, were right about as often as chance.
    """
    target = rng.randrange(len(names))
    seen = f"{names[target]} {middle(frames[target])}"
    answer = family._answer(frames[target])
    return Problem(
        family=family.name,
        level=1,
        question=rng.choice(family.questions).format(names[target]),
        answer=answer,
        terse=f"{seen}. So {answer}",
        full=f"{read or caption} {seen}. So {answer}.",
        image=image,
        caption=caption,
        facts={"target": target, "labels": names, "boxes": frames},
    )


def places(names: Sequence[str], frames: Sequence[Box]) -> str:
    """A sentence that tells where each of them is."""
    return sentence(", ".join(f"{name} {middle(frame)}" for name, frame in zip(names, frames, strict=True)))


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
