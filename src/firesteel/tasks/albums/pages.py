"""Problems about pages of a browser, shown whole.

Which kind of page it is (`name`), where a control is (`point`, `box`), what stands somewhere (`value`), how many things
there are (`count`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from PIL import Image

from firesteel.tasks.albums.album import Album, Record
from firesteel.tasks.albums.asked import Pictured, article, grounded, places
from firesteel.tasks.base import Family, Problem
from firesteel.tasks.interface import BoundingBox, Point


def paged(album: Album, numbers: Sequence[int]) -> Iterator[Family]:
    """The families over these pages of the album."""
    yield PageName(_Pages(album, numbers))
    for made, wanted in ((PagePoint, "controls"), (PageBox, "controls"), (PageValue, "values"), (PageCount, "counts")):
        having = [number for number in numbers if album.records[number].facts[wanted]]
        if having:
            yield made(_Pages(album, having))


class _Pages:
    """Pages to draw from."""

    def __init__(self, album: Album, numbers: Sequence[int]) -> None:
        self.album, self._numbers = album, numbers
        self.kinds = sorted({record.name for record in album.records})

    def draw(self, rng: random.Random) -> tuple[Record, Image.Image]:
        number = rng.choice(self._numbers)
        return self.album.records[number], self.album.image(number).convert("RGB")


class _Page(Pictured):
    def __init__(self, pages: _Pages) -> None:
        self.pages = pages


class PageName(_Page):
    """Which kind of page it is, out of all the album's."""

    name = "name"

    def generate(self, rng: random.Random, level: int) -> Problem:
        record, image = self.pages.draw(rng)
        kinds = self.pages.kinds
        question = f"Which kind of page is this: {', '.join(kinds)}?"
        seen = f"This is {article(record.name)}"
        return self.problem(question, record.name, seen, image, record.facts["caption"], options=kinds)


class PageValue(_Page):
    """What stands at a place of a page that the question names."""

    name = "value"

    def generate(self, rng: random.Random, level: int) -> Problem:
        record, image = self.pages.draw(rng)
        what, value = rng.choice(sorted(record.facts["values"].items()))
        question = rng.choice(("What is the {}?", "Read the {}.", "Say the {}.")).format(what)
        return self.problem(question, value, f"The {what} is {value}", image, record.facts["caption"])


class PageCount(_Page):
    """How many things of a kind a page shows."""

    name = "count"

    def generate(self, rng: random.Random, level: int) -> Problem:
        record, image = self.pages.draw(rng)
        what, number = rng.choice(sorted(record.facts["counts"].items()))
        question = rng.choice(("How many {} are there?", "Count the {}.", "How many {} does the page show?"))
        counted = " ".join(str(k) for k in range(1, number + 1))
        return self.problem(question.format(what), str(number), f"{what}: {counted}", image, record.facts["caption"])


class PagePoint(Point):
    """A place on a control of a page."""

    levels = 1

    def __init__(self, pages: _Pages) -> None:
        self.pages = pages

    def generate(self, rng: random.Random, level: int) -> Problem:
        return _on_page(self, rng, *self.pages.draw(rng))


class PageBox(BoundingBox):
    """The frame of a control of a page."""

    levels = 1

    def __init__(self, pages: _Pages) -> None:
        self.pages = pages

    def generate(self, rng: random.Random, level: int) -> Problem:
        return _on_page(self, rng, *self.pages.draw(rng))


def _on_page(family: Point | BoundingBox, rng: random.Random, record: Record, image: Image.Image) -> Problem:
    controls = {name: tuple(frame) for name, frame in record.facts["controls"].items()}
    names = sorted(controls, key=lambda name: (controls[name][1], controls[name][0]))  # from top to bottom
    frames = [controls[name] for name in names]
    return grounded(family, rng, image, names, frames, record.facts["caption"], places(names, frames))
