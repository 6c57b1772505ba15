"""Drawn user interfaces: `point` (give a place on a control) and `box` (give its frame).

A window with rows of buttons, text fields, checkboxes, sliders and icons. Places are whole numbers from 0 to 1000, a
thousandth of the picture's width or height each, rounded to tens in our own answers:
{"point_2d": [x, y]} and {"bbox_2d": [left, top, right, bottom]}.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from firesteel.tasks.base import Family, Problem
from firesteel.tasks.drawing import COLOURS, INK, Box, Rgb, canvas, font, on, put, vary

_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black")
EASY_BUTTONS = ("ok", "cancel", "save", "open", "send", "help", "back", "next", "stop", "yes", "no", "quit")
_MORE_BUTTONS = ("close", "print", "copy", "edit", "undo", "start", "reset", "share", "buy", "apply", "delete", "find")
_FIELDS = ("search", "name", "city", "email")
_CHECKS = ("wifi", "dark", "sync", "mute")
_ICONS = ("plus", "play", "home", "mail", "heart", "menu")
_TITLES = ("files", "music", "photos", "notes", "chat", "shop", "maps", "games")


@dataclass(frozen=True)
class _Plan:
    """What a level's windows look like; sizes in pixels, `rows` lists how many controls stand in each row."""

    sizes: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, ...], ...]
    least: tuple[int, int]  # width and height of the smallest control
    most: tuple[int, int]  # and of the largest: with large ones a blind guess would hit too often
    type_sizes: tuple[int, int]
    alike: int  # how many fields, checkboxes or icons may share a window


_PLANS = {
    1: _Plan(
        ((168, 168),),
        (
            *((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)),
            *((1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1), (1, 2, 1, 1), (1, 1, 2, 1), (1, 1, 1, 2), (2, 1, 1, 1)),
        ),
        (50, 25),
        (62, 30),
        (15, 18),
        1,
    ),
    2: _Plan(
        ((168, 168), (224, 168), (224, 224)),
        ((2, 1, 1), (2, 1, 2), (1, 2, 2), (2, 2, 1), (2, 2, 2), (2, 1, 2, 1)),
        (44, 20),
        (76, 34),
        (13, 15),
        2,
    ),
    3: _Plan(
        ((224, 168), (224, 224)),
        ((2, 3, 1), (3, 2, 2), (2, 3, 3), (2, 1, 3, 2), (3, 3, 2)),
        (48, 16),
        (76, 36),
        (10, 12),
        2,
    ),
}


@dataclass(frozen=True)
class _Widget:
    """One control with its frame in pixels (left, top, right, bottom)."""

    kind: str
    word: str
    colour: str
    box: Box

    @property
    def label(self) -> str:
        """How captions and workings call it."""
        if self.kind == "button":
            return f"{self.colour} {self.word}"
        return f"{self.word} {self.kind}".strip()

    def names(self, level: int) -> list[str]:
        """How a question may call it; colours help only at the first level."""
        plain = f"{self.word} {self.kind}".strip()
        if self.kind != "button" or level > 1:
            return [plain]
        return [plain, f"{self.colour} {self.word} button", f"{self.colour} button"]


def _kinds(rng: random.Random, plan: _Plan, counts: tuple[int, ...]) -> list[str]:
    """A kind for each control, most of them buttons; a slider has a row of its own, and is the only one."""
    kinds: list[str] = []
    for count in counts:
        for _ in range(count):
            free = [kind for kind in ("field", "checkbox", "icon") if kinds.count(kind) < plan.alike]
            if count == 1 and "slider" not in kinds:
                free.append("slider")
            kinds.append(rng.choice(["button"] * 5 + free))
    return kinds


def _words(rng: random.Random, level: int, kinds: list[str]) -> list[str]:
    """A word for each control, no word twice."""
    buttons = EASY_BUTTONS if level == 1 else EASY_BUTTONS + _MORE_BUTTONS
    pools = {"button": buttons, "field": _FIELDS, "checkbox": _CHECKS, "icon": _ICONS, "slider": ("",)}
    decks = {kind: rng.sample(pool, len(pool)) for kind, pool in pools.items()}
    return [decks[kind].pop() for kind in kinds]


def _split(rng: random.Random, start: float, end: float, parts: int, least: float) -> list[tuple[float, float]]:
    """`parts` stretches that fill start..end; what `least` for each leaves over goes to them in random shares."""
    shares = [rng.random() + 0.01 for _ in range(parts)]
    spare = end - start - least * parts
    edges = [start + k * least + spare * sum(shares[:k]) / sum(shares) for k in range(parts + 1)]
    return list(pairwise(edges))


def _type(word: str, name: str, largest: int, width: float, height: float) -> ImageFont.FreeTypeFont:
    """The typeface `name`, at most `largest` pixels and small enough for `word` to fit in width x height."""
    size = min(largest, int(height * 0.7))
    return font(name, max(8, min(size, int(size * width / font(name, size).getlength(word)))))


class _Window:
    """Draws one window with its controls, all chosen by `rng`. Gives `image` and `widgets` in reading order."""

    def __init__(self, rng: random.Random, level: int):
        plan = _PLANS[level]
        width, height = rng.choice(plan.sizes)
        self.image, self.pen = canvas(rng, width, height)
        self.largest = rng.randint(*plan.type_sizes)
        self.title = rng.choice(_TITLES) if level > 1 else ""
        counts = rng.choice(plan.rows)
        cell = (plan.least[0] + 4, plan.least[1] + 4)
        inside = self._frame(rng, max(counts) * cell[0], len(counts) * cell[1])
        kinds = _kinds(rng, plan, counts)
        colours = iter(rng.sample(_COLOURS if level == 1 else sorted(COLOURS), len(kinds)))
        cells = [
            (left, top, right, bottom)
            for count, (top, bottom) in zip(
                counts, _split(rng, inside[1], inside[3], len(counts), cell[1]), strict=True
            )
            for left, right in _split(rng, inside[0], inside[2], count, cell[0])
        ]
        self.widgets = [
            self._widget(rng, plan, kind, word, next(colours), cell)
            for kind, word, cell in zip(kinds, _words(rng, level, kinds), cells, strict=True)
        ]

    def _frame(self, rng: random.Random, least_width: int, least_height: int) -> Box:
        """The window itself, of any size with room for the least; returns the free area inside."""
        width, height = self.image.size
        bar = rng.randint(16, 21)
        wide = rng.randint(max(least_width + 6, width - 30), width - 2)
        high = rng.randint(max(least_height + bar + 6, height - 50), height - 2)
        left, top = rng.randint(1, width - wide - 1), rng.randint(1, height - high - 1)
        right, bottom = left + wide, top + high
        shade = rng.randint(70, 215)
        bar_fill = vary(rng, (shade, shade, shade), 15)
        body = rng.randint(228, 255)
        self.pen.rectangle((left, top, right, bottom), fill=(body, body, body), outline=(90, 90, 90))
        self.pen.rectangle((left, top, right, top + bar), fill=bar_fill, outline=(90, 90, 90))
        middle = top + bar / 2
        for x in (right - 10, right - 22, right - 34):
            self.pen.ellipse((x - 4, middle - 4, x + 4, middle + 4), fill=on(bar_fill))
        put(self.pen, (left + 6, middle), self.title, font("sans", 12), on(bar_fill), "lm")
        return left + 3, top + bar + 3, right - 2, bottom - 2

    def _widget(self, rng: random.Random, plan: _Plan, kind: str, word: str, colour: str, cell: Box) -> _Widget:
        """Draws one control at a random place in its cell; cells are disjoint, so controls never touch."""
        room = (cell[2] - cell[0] - 4, cell[3] - cell[1] - 4)
        width = rng.uniform(plan.least[0], min(room[0], plan.most[0]))
        height = rng.uniform(plan.least[1], min(room[1], plan.most[1]))
        if kind == "checkbox":
            height = min(height, 30, room[0] * 0.4)
            face = _type(word, "sans", self.largest + 2, room[0] - height - 5, height)
            width = height + 5 + face.getlength(word)
        elif kind == "slider":
            width, height = min(room[0], width * 1.5), min(height, 30)
        elif kind == "icon":
            width = min(width, height * 1.6)
        # Nearer to the ends than to the middle, where one guess would hit most controls that have a row of their own.
        x = round(cell[0] + 2 + rng.betavariate(0.3, 0.3) * (room[0] - width))
        y = round(rng.uniform(cell[1] + 2, cell[3] - 2 - height))
        box = (x, y, x + round(width), y + round(height))
        if kind in ("button", "icon"):
            fill = vary(rng, COLOURS[colour], 8)
            self.pen.rounded_rectangle(box, rng.randint(2, 6), fill=fill, outline=(70, 70, 70))
            if kind == "button":
                face = _type(word, "sans-bold", self.largest, width - 6, height)
                put(self.pen, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), word, face, on(fill))
            else:
                _symbol(self.pen, word, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, height * 0.3, on(fill))
        elif kind == "field":
            self.pen.rectangle(box, fill=(255, 255, 255), outline=(60, 60, 60), width=2)
            face = _type(word, "sans", self.largest, width - 12, height)
            put(self.pen, (box[0] + 6, (box[1] + box[3]) / 2), word, face, (90, 90, 90), "lm")
        elif kind == "checkbox":
            self._checkbox(rng, word, box, face)
        else:
            self._slider(rng, box)
        return _Widget(kind, word, colour, box)

    def _checkbox(self, rng: random.Random, word: str, box: Box, face: ImageFont.FreeTypeFont) -> None:
        left, top, _, bottom = box
        side = bottom - top
        self.pen.rectangle((left, top, left + side, bottom), fill=(255, 255, 255), outline=INK, width=2)
        if rng.random() < 0.5:
            tick = [(left + side * x, top + side * y) for x, y in ((0.2, 0.5), (0.42, 0.75), (0.8, 0.25))]
            self.pen.line(tick, fill=INK, width=max(2, round(side / 9)))
        put(self.pen, (left + side + 5, (top + bottom) / 2), word, face, INK, "lm")

    def _slider(self, rng: random.Random, box: Box) -> None:
        left, top, right, bottom = box
        middle, radius = (top + bottom) / 2, (bottom - top) / 2
        knob = rng.uniform(left + radius, right - radius)
        self.pen.rectangle((left, middle - 3, right, middle + 3), fill=(170, 170, 170))
        self.pen.rectangle((left, middle - 3, knob, middle + 3), fill=(60, 60, 60))
        self.pen.ellipse(
            (knob - radius, top, knob + radius, bottom), fill=(255, 255, 255), outline=(60, 60, 60), width=2
        )


def _symbol(pen: ImageDraw.ImageDraw, word: str, x: float, y: float, r: float, fill: Rgb) -> None:
    """The picture of an icon, within `r` pixels of (x, y)."""
    if word == "plus":
        pen.rectangle((x - r, y - r / 4, x + r, y + r / 4), fill=fill)
        pen.rectangle((x - r / 4, y - r, x + r / 4, y + r), fill=fill)
    elif word == "play":
        pen.polygon([(x - r * 0.7, y - r), (x + r, y), (x - r * 0.7, y + r)], fill=fill)
    elif word == "home":
        pen.polygon([(x - r, y), (x, y - r), (x + r, y)], fill=fill)
        pen.rectangle((x - r * 0.65, y, x + r * 0.65, y + r), fill=fill)
    elif word == "mail":
        wide, line = r * 1.2, max(1, round(r / 6))
        pen.rectangle((x - wide, y - r * 0.8, x + wide, y + r * 0.8), outline=fill, width=line)
        pen.line([(x - wide, y - r * 0.8), (x, y + r * 0.2), (x + wide, y - r * 0.8)], fill=fill, width=line)
    elif word == "heart":
        pen.ellipse((x - r, y - r, x, y), fill=fill)
        pen.ellipse((x, y - r, x + r, y), fill=fill)
        pen.polygon([(x - r * 0.93, y - r * 0.25), (x + r * 0.93, y - r * 0.25), (x, y + r)], fill=fill)
    else:
        for middle in (y - r * 0.75, y, y + r * 0.75):
            pen.rectangle((x - r, middle - r / 6, x + r, middle + r / 6), fill=fill)


def thousandths(box: Box, image: Image.Image) -> Box:
    """Pixels to thousandths of the picture's width and height."""
    across, down = 1000 / image.width, 1000 / image.height
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def _ten(value: float) -> int:
    return round(value / 10) * 10


def _numbers(text: str, count: int) -> list[float] | None:
    """The `count` numbers of an answer, each 0 to 1000: the last list in brackets if there is one, else all of it."""
    lists = re.findall(r"\[([^\[\]]*)\]", text)
    found = re.findall(r"(?<![\w.])-?[0-9]+(?:\.[0-9]+)?(?![\w])", lists[-1] if lists else text)
    values = [float(number) for number in found]
    return values if len(values) == count and all(0 <= value <= 1000 for value in values) else None


def iou(box: Box, other: Box) -> float:
    """Shared area over joint area of two boxes (left, top, right, bottom); 0 for a box without area."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (box, other)]
    return shared / (sum(areas) - shared)


class _Grounding(Family):
    """What `point` and `box` share: a window, one of its controls, and the centres of all of them."""

    visual = True
    levels = 3
    questions: tuple[str, ...]

    def generate(self, rng: random.Random, level: int) -> Problem:
        window = _Window(rng, level)
        frames = [thousandths(widget.box, window.image) for widget in window.widgets]
        target = rng.randrange(len(frames))
        widget, frame = window.widgets[target], frames[target]
        places = [f"{each.label} {middle(frame)}" for each, frame in zip(window.widgets, frames, strict=True)]
        caption = f"{window.title} window: {', '.join(places)}.".lstrip()
        answer = self._answer(frame)
        return Problem(
            family=self.name,
            level=level,
            question=rng.choice(self.questions).format(rng.choice(widget.names(level))),
            answer=answer,
            terse=f"{', '.join(places[: target + 1])}. So {answer}",  # no farther than to the control
            full=f"{caption} {places[target]}. So {answer}.",
            image=window.image,
            caption=caption,
            facts={"target": target, "labels": [each.label for each in window.widgets], "boxes": frames},
        )

    def _answer(self, frame: Box) -> str:
        raise NotImplementedError


def middle(frame: Box) -> str:
    """Where its middle is, in tens: "430 80"."""
    return f"{_ten((frame[0] + frame[2]) / 2)} {_ten((frame[1] + frame[3]) / 2)}"


class Point(_Grounding):
    """Points to a control of a drawn window; right is any place on it."""

    name = "point"
    questions = (
        "Point to the {0}.",
        "Where is the {0}? Give a point.",
        "Click the {0}.",
        "Show the point of the {0}.",
    )

    def _answer(self, frame: Box) -> str:
        return json.dumps({"point_2d": [int(value) for value in middle(frame).split()]})

    def check(self, problem: Problem, text: str) -> bool:
        """Whether the text holds one point and it lies on the control."""
        point = _numbers(text, 2)
        left, top, right, bottom = problem.facts["boxes"][problem.facts["target"]]
        return point is not None and left <= point[0] <= right and top <= point[1] <= bottom


class BoundingBox(_Grounding):
    """Boxes a control of a drawn window; right is a box whose overlap (IoU) with the true one is at least a half."""

    name = "box"
    questions = (
        "Box the {0}.",
        "Draw a box around the {0}.",
        "Where is the {0}? Give a box.",
        "Show the box of the {0}.",
    )

    def _answer(self, frame: Box) -> str:
        return json.dumps({"bbox_2d": [_ten(edge) for edge in frame]})

    def check(self, problem: Problem, text: str) -> bool:
        """Whether the text holds one box and it covers the control well; a box of the whole window does not."""
        corners = _numbers(text, 4)
        if corners is None:
            return False
        left, top, right, bottom = corners
        return iou((left, top, right, bottom), problem.facts["boxes"][problem.facts["target"]]) >= 0.5
