"""Problems about pictures that have a name: photographs and icons.

- Pictures are shown alone (`name`, `choose`), side by side (`side`), or several on one ground (`box`, `count`), so that
  places and numbers are exact whatever a photograph shows besides.
- A name is drawn first and one of its pictures then: guessing the commonest name gains nothing.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from PIL import Image

from firesteel.tasks.albums.album import Album
from firesteel.tasks.albums.asked import Pictured, article, grounded, places, sentence
from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.drawing import COLOURS, Box, canvas, vary
from firesteel.tasks.interface import BoundingBox, thousandths

_SIDE = 224  # of a ground with several pictures
_INKS = ("red", "green", "blue", "purple", "brown", "black")  # for drawings that take any colour
_ARTICLES = ("a ", "an ", "the ")


def named(album: Album, numbers: Sequence[int]) -> Iterator[Family]:
    """The families over these pictures of the album; fewer than four names leave nothing to choose among."""
    pool = Pool(album, numbers)
    yield Name(pool)
    if len(pool.names) >= 4:
        yield from (Choose(pool), Side(pool), Locate(pool), HowMany(pool))


class Pool:
    """Pictures by name."""

    def __init__(self, album: Album, numbers: Sequence[int]) -> None:
        self.album = album
        self._of: dict[str, list[int]] = defaultdict(list)
        for number in numbers:
            self._of[album.records[number].name].append(number)
        self.names = sorted(self._of)

    def picture(self, rng: random.Random, name: str, least: int, most: int) -> Image.Image:
        """One of the pictures of a name, its long side `least` to `most` pixels: RGB, or RGBA if it is a drawing."""
        number = rng.choice(self._of[name])
        image = self.album.image(number)
        scale = rng.randint(least, most) / max(image.size)
        mode = "RGB" if self.album.kind == "photographs" else "RGBA"  # a file without a hole keeps no alpha
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.convert(mode).resize(size)
        if self.album.records[number].facts.get("tint"):
            ink = Image.new("RGBA", image.size, vary(rng, COLOURS[rng.choice(_INKS)], 20))
            ink.putalpha(image.getchannel("A"))
            image = ink
        return image

    def alone(self, rng: random.Random, name: str) -> Image.Image:
        """A photograph as it is, a drawing on a ground of its own."""
        if self.album.kind == "photographs":
            return self.picture(rng, name, 140, 168)
        ground, _ = canvas(rng, 112, 112)
        image = self.picture(rng, name, 56, 108)
        _paste(ground, image, rng.randint(0, 112 - image.width), rng.randint(0, 112 - image.height))
        return ground


def _paste(ground: Image.Image, image: Image.Image, left: int, top: int) -> Box:
    ground.paste(image, (left, top), image if image.mode == "RGBA" else None)
    return (left, top, left + image.width, top + image.height)


def scattered(
    rng: random.Random, pool: Pool, names: Sequence[str], cells: Sequence[int], across: int
) -> tuple[Image.Image, list[Box]]:
    """A picture of each name somewhere in its cell of `across` x `across`; the whole and the boxes in pixels."""
    image, _ = canvas(rng, _SIDE, _SIDE)
    cell = _SIDE // across
    boxes = []
    for place, name in zip(cells, names, strict=True):
        shown = pool.picture(rng, name, cell * 5 // 9, cell - 4)
        left = place % across * cell + rng.randint(1, cell - 1 - shown.width)
        boxes.append(_paste(image, shown, left, place // across * cell + rng.randint(1, cell - 1 - shown.height)))
    return image, boxes


class _Named(Pictured):
    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def check(self, problem: Problem, text: str) -> bool:
        """The same words; an article before them does not matter."""
        return _bare(text) == _bare(problem.answer)


def _bare(text: str) -> str:
    text = normalise(text)
    return next((text.removeprefix(a) for a in _ARTICLES if text.startswith(a)), text)


class Name(_Named):
    """What one picture shows, in words."""

    name = "name"

    def generate(self, rng: random.Random, level: int) -> Problem:
        name = rng.choice(self.pool.names)
        question = rng.choice(("What is in the picture?", "What does the picture show?", "What is this?", "Name this."))
        image = self.pool.alone(rng, name)
        return self.problem(question, name, f"This is {article(name)}", image, sentence(article(name)))


class Choose(_Named):
    """Which of four names a picture has."""

    name = "choose"

    def generate(self, rng: random.Random, level: int) -> Problem:
        options = rng.sample(self.pool.names, 4)
        name = rng.choice(options)
        listed = f"{', '.join(options[:3])} or {options[3]}"
        question = rng.choice(("Which is it: {}?", "What does the picture show: {}?", "Pick the name: {}?"))
        image = self.pool.alone(rng, name)
        caption = sentence(article(name))
        seen = f"This is {article(name)}"
        return self.problem(question.format(listed), name, seen, image, caption, options=options)


class Side(_Named):
    """On which side of two a thing is."""

    name = "side"

    def generate(self, rng: random.Random, level: int) -> Problem:
        names = rng.sample(self.pool.names, 2)
        answer = rng.choice(("left", "right"))
        wanted = names[answer == "right"]
        image, _ = canvas(rng, _SIDE, _SIDE // 2)
        for place, name in enumerate(names):
            shown = self.pool.picture(rng, name, 84, 108)
            left = place * _SIDE // 2 + (_SIDE // 2 - shown.width) // 2
            _paste(image, shown, left, (image.height - shown.height) // 2)
        question = rng.choice(("Where is the {}: left or right?", "On which side is the {}, left or right?"))
        caption = sentence(f"left {names[0]}, right {names[1]}")
        seen = f"The {wanted} is on the {answer}"
        return self.problem(question.format(wanted), answer, seen, image, caption, options=["left", "right"])

    def check(self, problem: Problem, text: str) -> bool:
        """The right side is named and the other is not."""
        return {side for side in ("left", "right") if side in text.lower()} == {problem.answer}


class Locate(BoundingBox):
    """Where one of two to four scattered pictures is: its box (see `firesteel.tasks.interface`)."""

    name = "box"
    levels = 1

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def generate(self, rng: random.Random, level: int) -> Problem:
        names = rng.sample(self.pool.names, rng.randint(2, 4))
        image, boxes = scattered(rng, self.pool, names, sorted(rng.sample(range(4), len(names))), across=2)
        frames = [thousandths(box, image) for box in boxes]
        caption = places(names, frames)
        if self.pool.album.kind == "photographs":  # the thing itself may fill less than its photograph
            names = [f"picture of the {name}" for name in names]
        return grounded(self, rng, image, names, frames, caption)


class HowMany(_Named):
    """How many of several pictures show one thing."""

    name = "count"

    def generate(self, rng: random.Random, level: int) -> Problem:
        number = rng.randint(1, 5)
        wanted, *others = rng.sample(self.pool.names, 4)
        shown = [wanted] * number + [rng.choice(others) for _ in range(rng.randint(1, 9 - number))]
        rng.shuffle(shown)
        cells = sorted(rng.sample(range(9), len(shown)))
        image, _ = scattered(rng, self.pool, shown, cells, across=3)
        question = rng.choice(("How many pictures show {}?", "Count the pictures of {}.")).format(article(wanted))
        rows = [[n for p, n in zip(cells, shown, strict=True) if p // 3 == row] for row in range(3)]
        caption = " ".join(f"row {number}: {', '.join(row)}." for number, row in enumerate(filter(None, rows), 1))
        counted = ", ".join(f"{wanted} {k}" for k in range(1, number + 1))
        return self.problem(question, str(number), counted, image, caption)
