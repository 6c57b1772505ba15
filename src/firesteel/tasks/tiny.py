"""Targets too small to read at once: a code in tiny type on one of some labels, found by the label's colour.

- A token of our models covers 28 pixels a side; the type is so small that four or five of its characters share one. The
  pixels hold the code, so who looks closer (`zoom`) can read it; the label's colour can be seen from afar.
- `facts` gives where to look: `region`, a square around the label as zoom wants it, [left, top, right, bottom] from 0
  to 1000. Shown in 168 pixels, as kindling is shown everything, its type is as large as in the family `reading`.
- Not in the registry: its pictures take up to 1,296 tokens where they are not shrunk, all other families below 70.
"""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.drawing import COLOURS, Box, canvas, clear, font, on, put, vary

SIDES = {1: 336, 2: 672, 3: 1008}  # of the picture, pixels
REGION = 84  # pixels a side of the square that zoom should show
_LABELS = {1: 2, 2: 3, 3: 5}
_INKS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
_SIGNS = "ACEFHKLMNPRTUVXY34679"  # none has a double
_QUESTIONS = ("What does the {} label say?", "Read the {} label.", "What is on the {} label?")
_TYPE = 9  # pixels of the typeface; its capitals are 7 high


class Tiny(Family):
    """The code on the label of a colour. Level 1: two labels in 336 pixels; 2: three in 672; 3: five in 1008."""

    name = "tiny"
    visual = True
    levels = 3

    def generate(self, rng: random.Random, level: int) -> Problem:
        side = SIDES[level]
        image, pen = canvas(rng, side, side)
        _clutter(rng, pen, side)
        colours = rng.sample(_INKS, _LABELS[level])
        codes = ["".join(rng.sample(_SIGNS, rng.randint(3, 4))) for _ in colours]
        boxes: list[Box] = []
        for colour, code in zip(colours, codes, strict=True):
            boxes.append(_label(rng, image, pen, boxes, colour, code))
        target = rng.randrange(len(colours))
        colour, code = colours[target], codes[target]
        places = [f"{c} {_middle(box, side)}" for c, box in zip(colours, boxes, strict=True)]
        ordered = [places[number] for number in sorted(range(len(boxes)), key=lambda n: boxes[n][1])]  # top to bottom
        spelled = " ".join(code)
        return Problem(
            family=self.name,
            level=level,
            question=rng.choice(_QUESTIONS).format(colour),
            answer=code,
            terse=f"{spelled}. So {code}",
            full=f"{places[target]}. {spelled}. So {code}.",
            image=image,
            caption=f"Labels: {', '.join(ordered)}.",
            facts={"region": _region(boxes[target], side), "box": boxes[target], "label": f"{colour} label"},
        )

    def check(self, problem: Problem, text: str) -> bool:
        """The same signs in the same order; quotes, case and spaces do not matter."""
        return normalise(normalise(text).strip("\"'`")).replace(" ", "") == problem.answer.lower()


def _clutter(rng: random.Random, pen: ImageDraw.ImageDraw, side: int) -> None:
    """Grey frames and lines, so that a label is not the only mark."""
    for _ in range(side // 50):
        left, top = rng.randint(0, side - 30), rng.randint(0, side - 30)
        right, bottom = left + rng.randint(20, side // 4), top + rng.randint(20, side // 4)
        grey = vary(rng, (205, 205, 205), 15)
        if rng.random() < 0.5:
            pen.rectangle((left, top, right, bottom), outline=grey)
        else:
            pen.line((left, top, right, bottom), fill=grey)


def _label(
    rng: random.Random, image: Image.Image, pen: ImageDraw.ImageDraw, taken: list[Box], colour: str, code: str
) -> Box:
    """Draws a label of one colour clear of the others; returns its box in pixels."""
    face = font("sans-bold", _TYPE)
    width, height = round(face.getlength(code)) + rng.randint(8, 16), rng.randint(13, 17)
    while True:
        left, top = rng.randint(4, image.width - 4 - width), rng.randint(4, image.height - 4 - height)
        box = (left, top, left + width, top + height)
        if clear(box, taken, image.size, gap=20):
            break
    fill = vary(rng, COLOURS[colour], 8)
    pen.rectangle(box, fill=fill)
    put(pen, (left + width / 2, top + height / 2), code, face, on(fill))
    return box


def _middle(box: Box, side: int) -> str:
    return f"{round(50 * (box[0] + box[2]) / side) * 10} {round(50 * (box[1] + box[3]) / side) * 10}"


def _region(box: Box, side: int) -> list[int]:
    """The square of REGION pixels around a box, moved inside the picture, in thousandths."""
    starts = [min(max(0.0, (box[axis] + box[axis + 2] - REGION) / 2), side - REGION) for axis in (0, 1)]
    return [round(1000 * edge / side) for edge in (*starts, *(start + REGION for start in starts))]
