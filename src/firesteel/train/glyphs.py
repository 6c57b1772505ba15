"""The reading stage: every image token learns which characters stand in its square, before any text depends on them.

Told only the caption, a small model needs hundreds of thousands of pictures to discover that strokes are characters:
the signal passes through a decoder that does not yet know where to look. Here a linear layer on each image token
names the characters whose middle lies in its 28-pixel square, in reading order, so that a page of thirty characters
is thirty answers at known places. The linear layer (`firesteel.train.named` uses it too) is no part of the model that
comes of it; tower and projector stay.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from firesteel.tasks.drawing import COLOURS, FONTS, INK, Box, canvas, clear, font, on, put, text_box, vary
from firesteel.tasks.interface import EASY_BUTTONS
from firesteel.tasks.reading import SHORT_WORDS
from firesteel.tasks.tables import COLUMNS, ROWS

SQUARE = 28  # pixels a side of what one image token sees: 2x2 patches of 14
SLOTS = 4  # characters that one square can hold
CLASSES = 95  # printable ASCII; a space is an empty slot
SIDE = 168

_CAPITALS, _DIGITS, _SMALL = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "abcdefghijklmnopqrstuvwxyz"
_OTHERS = ".,:;+-=*/()%$?!"
_WORDS = (SHORT_WORDS, ROWS, COLUMNS, EASY_BUTTONS)


@dataclass(frozen=True)
class Page:
    """A picture and the characters in each square: (squares, SLOTS), code point minus 32, row by row."""

    image: Image.Image
    labels: np.ndarray


def page(rng: random.Random, progress: float) -> Page:
    """A page for a beginner who has come `progress` (0 to 1) of the way from primers to mostly scattered words."""
    return scattered(rng) if rng.random() < min(0.7, 2 * progress) else _primer(rng, min(1.0, 0.2 + 4 * progress))


def _primer(rng: random.Random, freedom: float) -> Page:
    """Single characters in most squares, the more freely placed, sized and coloured the more `freedom` (0 to 1)."""
    image, pen = canvas(rng, SIDE, SIDE)
    across = SIDE // SQUARE
    labels = np.zeros((across**2, SLOTS), np.uint8)
    off = 9 * freedom
    for square in range(across**2):
        if rng.random() < 0.1:
            continue
        sign = rng.choice(_DIGITS * 3 + _CAPITALS + _SMALL)
        pixels = rng.randint(round(24 - 10 * freedom), round(26 + 8 * freedom))
        x = SQUARE * (square % across + 0.5) + rng.uniform(-off, off)
        baseline = SQUARE * (square // across + 0.5) + 0.35 * pixels + rng.uniform(-off, off)
        ink = vary(rng, COLOURS[rng.choice(list(COLOURS))] if rng.random() < 0.7 * freedom else INK)
        put(pen, (x, baseline), sign, font(rng.choice(FONTS), pixels), ink, "ms")
        labels[square, 0] = ord(sign) - 32
    return Page(image, labels)


def scattered(rng: random.Random, side: int = SIDE) -> Page:
    """Words, numbers and codes in mixed typefaces, sizes and colours, some on coloured plates, none overlapping.

    They are drawn `side` pixels wide; a larger page is shrunk, as larger pictures are when they are shown.
    """
    image, pen = canvas(rng, side, side)
    square = side / SIDE * SQUARE
    taken: list[Box] = []
    found: dict[int, list[tuple[float, float, str]]] = defaultdict(list)
    spread = rng.random() < 0.3
    for _ in range(rng.randint(8, 48)):
        text = _text(rng)
        pixels = rng.randint(24, 37) if spread and rng.random() < 0.5 else rng.randint(12, 24)
        face = font(rng.choice(FONTS), pixels)
        gap = rng.choice([0, 0, rng.randint(1, 14)]) if not spread else rng.randint(0, 14)
        lefts, right = [], 0.0
        for sign in text:
            lefts.append(right)
            right += face.getlength(sign) + gap
        box = text_box((0, 0), text, face, "ls")
        width, top, bottom = right - gap, box[1], box[3]
        if width > side - 8:
            continue
        x, y = rng.uniform(3, side - 3 - width), rng.uniform(3 - top, side - 3 - bottom)
        place = (x, y + top, x + width, y + bottom)
        if not clear(place, taken, image.size, gap=3):
            continue
        taken.append(place)
        ink = vary(rng, INK if rng.random() < 0.5 else COLOURS[rng.choice(list(COLOURS))])
        if rng.random() < 0.35:
            plate = vary(rng, COLOURS[rng.choice(list(COLOURS))])
            pen.rounded_rectangle((place[0] - 2, place[1] - 2, place[2] + 2, place[3] + 2), 3, fill=plate)
            ink = on(plate)
        for sign, left in zip(text, lefts, strict=True):
            put(pen, (x + left, y), sign, face, ink, "ls")
            if sign != " ":
                middle = x + left + face.getlength(sign) / 2
                row = max(0, int((y - 0.35 * pixels) // square))  # the middle of a low sign lies above itself
                at = row * (SIDE // SQUARE) + int(middle // square)
                found[at].append((y, middle, sign))
    labels = np.zeros(((SIDE // SQUARE) ** 2, SLOTS), np.uint8)
    for at, signs in found.items():
        for slot, (_, _, sign) in enumerate(sorted(signs)[:SLOTS]):
            labels[at, slot] = ord(sign) - 32
    shown = image if side == SIDE else image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return Page(shown, labels)


@dataclass(frozen=True)
class Sheet:
    """A picture of signs, numbers or words set out in rows, and what stands in each row, from left to right."""

    image: Image.Image
    rows: tuple[tuple[str, ...], ...]

    @property
    def transcript(self) -> str:
        return " ".join(f"row {number}: {' '.join(row)}." for number, row in enumerate(self.rows, 1))


def sheet(rng: random.Random) -> Sheet:
    """What the decoder reads aloud: at times single signs in the squares of a primer, else rows of numbers or words.

    A place without a sign is a dash.
    """
    across = SIDE // SQUARE
    if rng.random() < 0.25:
        drawn = _primer(rng, rng.random())
        signs = [chr(sign + 32) if sign else "-" for sign in drawn.labels[:, 0]]
        return Sheet(drawn.image, tuple(tuple(signs[i : i + across]) for i in range(0, across**2, across)))
    image, pen = canvas(rng, SIDE, SIDE)
    words = rng.choice((0.0, 0.5, 1.0))
    lines, columns = rng.randint(2, 5), rng.randint(2, 3 if words else 4)
    width, height = SIDE / columns, SIDE / lines
    alike = rng.random() < 0.5  # one typeface and size for all, as in a table
    name, pixels = rng.choice(FONTS), rng.randint(13, 22)
    rows = []
    for line in range(lines):
        row = []
        for column in range(columns):
            if rng.random() < 0.1:
                row.append("-")
                continue
            number = str(rng.randint(0, 99 if columns == 4 or rng.random() < 0.7 else 999))
            text = rng.choice(rng.choice(_WORDS)) if rng.random() < words else number
            if not alike:
                name, pixels = rng.choice(FONTS), rng.randint(13, 22)
            face = font(name, pixels)
            while face.getlength(text) > width - 8:
                face = font(name, round(face.size) - 1)
            room_x, room_y = width - face.getlength(text) - 4, height - face.size - 2
            x = (column + 0.5) * width + rng.uniform(-0.5, 0.5) * max(0.0, room_x)
            y = (line + 0.5) * height + rng.uniform(-0.5, 0.5) * max(0.0, room_y)
            ink = vary(rng, COLOURS[rng.choice(list(COLOURS))] if rng.random() < 0.3 else INK)
            if rng.random() < 0.2:
                plate = vary(rng, COLOURS[rng.choice(list(COLOURS))])
                box = text_box((x, y), text, face)
                pen.rectangle((box[0] - 3, box[1] - 3, box[2] + 3, box[3] + 3), fill=plate)
                ink = on(plate)
            put(pen, (x, y), text, face, ink)
            row.append(text)
        rows.append(tuple(row))
    return Sheet(image, tuple(rows))


def _text(rng: random.Random) -> str:
    """A number, a capital or code, a word, or signs of any kind."""
    kind = rng.random()
    if kind < 0.4:
        return str(rng.randint(0, 10 ** rng.randint(1, 3) - 1))
    if kind < 0.55:
        return "".join(rng.choice(_CAPITALS + _DIGITS) for _ in range(rng.randint(1, 5)))
    if kind < 0.85:
        word = rng.choice(SHORT_WORDS)
        return rng.choice([word, word.upper(), word.capitalize()])
    return "".join(rng.choice(_SMALL + _CAPITALS + _DIGITS + _OTHERS) for _ in range(rng.randint(1, 6)))


EMPTY = 0.2  # what an empty slot weighs in the loss, where a character weighs one


class GlyphHead(nn.Module):
    """Names the characters of a square from its image token's features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, SLOTS * CLASSES)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(squares, D) -> logits (squares, SLOTS, CLASSES)."""
        return self.out(features).unflatten(-1, (SLOTS, CLASSES))

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """(squares, D), (squares, SLOTS) -> mean cross-entropy; an empty slot weighs `EMPTY`."""
        logits = self(features).flatten(0, 1).float()
        weight = logits.new_ones(CLASSES)
        weight[0] = EMPTY
        return F.cross_entropy(logits, labels.flatten().long(), weight)
