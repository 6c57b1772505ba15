"""Bar, line and pie charts with values to read, compare, add and subtract.

Level 1 prints every value in large bold type. Level 2 has more items in smaller type and more questions in two steps.
At level 3 bars and points are read from an axis (multiples of 5); a pie prints its shares, with its legend in another
order, and has them turned into counts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from PIL import Image, ImageDraw

from firesteel.tasks import drawing, steps
from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.drawing import Box, put

Items = list[steps.Item]

LETTERS = "ABCDEFGHJKLM"  # I is left out: it looks like a stroke
WORDS = ("tea", "cat", "dog", "sun", "ice", "car", "bus", "hat", "cup", "pen", "map", "box", "egg", "fox", "key", "toy")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

CLEAR_FONTS = ("sans-bold", "mono-bold")  # level 1: nothing but plain digits
PIE_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "gray", "black")

Phrases = dict[str, tuple[str, ...]]

# {a} and {b} are the names asked for, {n} a bound or, of a pie, how many people were asked.
BAR: Phrases = {
    "value": ("what is the value of {a}?", "how high is bar {a}?", "read bar {a}."),
    "largest": ("which bar is the largest?", "which bar is the tallest?", "name the highest bar."),
    "smallest": ("which bar is the smallest?", "which bar is the shortest?", "name the lowest bar."),
    "sum": ("what is {a} plus {b}?", "add bars {a} and {b}.", "how much are {a} and {b} together?"),
    "difference": ("what is {a} minus {b}?", "how much more is {a} than {b}?", "take {b} away from {a}."),
    "spread": ("how much larger is the largest bar than the smallest?", "what is the tallest minus the shortest bar?"),
    "total": ("what do all the bars add up to?", "add all the bars.", "what is the total of all bars?"),
    "count": ("how many bars are above {n}?", "count the bars larger than {n}."),
}
LINE: Phrases = {
    "value": ("what is the value at {a}?", "how high is the line at {a}?", "read the point at {a}."),
    "largest": ("where is the line highest?", "which point is the largest?", "when is the value highest?"),
    "smallest": ("where is the line lowest?", "which point is the smallest?", "when is the value lowest?"),
    "rise": ("how much does it rise from {b} to {a}?", "what is the rise from {b} to {a}?", "rise from {b} to {a}?"),
    "fall": ("how much does it fall from {a} to {b}?", "what is the fall from {a} to {b}?", "fall from {a} to {b}?"),
    "spread": ("how far is the highest point above the lowest?", "what is the highest minus the lowest value?"),
    "sum": ("add the values at {a} and {b}.", "what do {a} and {b} make together?", "what is {a} plus {b}?"),
    "count": ("how many points are above {n}?", "count the points higher than {n}."),
}
PIE: Phrases = {
    "value": ("what percent is {a}?", "what share is {a}?", "how many percent are {a}?"),
    "largest": ("which slice is the largest?", "what has the largest share?", "name the biggest slice."),
    "smallest": ("which slice is the smallest?", "what has the smallest share?", "name the least slice."),
    "sum": ("what percent are {a} and {b} together?", "add the shares of {a} and {b}.", "what is {a} plus {b}?"),
    "difference": ("how many percent more is {a} than {b}?", "what is {a} minus {b}?", "take {b} away from {a}."),
    "spread": ("how much larger is the largest slice than the smallest?", "what is the biggest minus the least slice?"),
    "people": ("{n} people were asked. how many chose {a}?", "of {n} people, how many said {a}?"),
}


@dataclass(frozen=True)
class Asked:
    """A question about named values with its answer and worked solutions."""

    question: str
    answer: str
    terse: str
    full: str
    facts: dict[str, Any]


def ask(rng: random.Random, phrases: Phrases, kind: str, items: Items) -> Asked:
    """Draws the names and the wording for a question of this kind; the values of `items` must differ."""
    values = dict(items)
    by_value = sorted(items, key=lambda item: item[1])
    low, high = by_value[0], by_value[-1]
    first, second = rng.sample(items, 2)
    bound = 0
    answer: str | int
    if kind == "difference" and first[1] < second[1]:
        first, second = second, first
    elif kind in ("rise", "fall"):
        early, late = sorted((first, second), key=items.index)
        kind = "rise" if late[1] > early[1] else "fall"  # the wording follows the picture
        first, second = (late, early) if kind == "rise" else (early, late)
    (a, x), (b, y) = first, second
    if kind == "value":
        answer, long = x, f"{a} is {x}"
    elif kind in ("largest", "smallest"):
        answer, long = (high if kind == "largest" else low)[0], steps.winner(items, kind == "largest")
    elif kind == "sum":
        answer, long = x + y, steps.plus(x, y)
    elif kind in ("difference", "rise", "fall"):
        answer, long = x - y, steps.minus(x, y)
    elif kind == "spread":
        answer = high[1] - low[1]
        long = f"largest {steps.reading([high])}, smallest {steps.reading([low])}. {steps.minus(high[1], low[1])}"
    elif kind == "total":
        answer, long = sum(values.values()), steps.total(list(values.values()))
    elif kind == "count":
        bound = rng.choice(
            [n for n in range(5, 95, 5) if n not in values.values() and low[1] < n < high[1]] or [low[1]]
        )
        answer = sum(value > bound for value in values.values())
        long = ", ".join(f"{v} {'>' if v > bound else '<' if v < bound else '='} {bound}" for v in values.values())
    else:
        assert kind == "people"
        bound = rng.choice((200, 300, 400))
        answer, times = x * bound // 100, bound // 100
        long = f"{a} is {x}. {bound} is {times}x100. {steps.total([x] * times)}"
    question = rng.choice(phrases[kind]).format(a=a, b=b, n=bound)
    read = steps.reading(items)
    # What is read is the answer, or one look at it is enough, or it is worked out.
    seen = kind in ("value", "largest", "smallest", "count")
    terse = f"{read}. {answer}" if seen else f"{read}. {steps.bare(long)}"
    full = f"{read}. {long}. So {answer}."
    facts = {"items": items, "kind": kind, "of": [a, b], "bound": bound}
    return Asked(question, str(answer), terse, full, facts)


class Chart(Family):
    """What the three charts share: a question about named values, and a drawing that reports where its ink is.

    facts: `items` in reading order, `kind`, `of` (the two names), `bound`, `texts` (boxes of all text) and `marks`
    (bars as boxes, lines as pairs of points) that no value may cover.
    """

    visual = True
    levels = 3
    title: str
    phrases: Phrases
    kinds: tuple[tuple[str, ...], ...]  # by level; a repeated kind is drawn more often

    def generate(self, rng: random.Random, level: int) -> Problem:
        assert 1 <= level <= self.levels
        items = self.draw_items(rng, level)
        drawn = self.draw(rng, level, items)
        while drawn is None:  # the labels found no free place
            items = self.draw_items(rng, level)
            drawn = self.draw(rng, level, items)
        image, places = drawn
        asked = ask(rng, self.phrases, rng.choice(self.kinds[level - 1]), items)
        return Problem(
            family=self.name,
            level=level,
            question=asked.question,
            answer=asked.answer,
            terse=asked.terse,
            full=asked.full,
            image=image,
            caption=f"{self.title}: {steps.reading(items)}.",
            facts=asked.facts | places,
        )

    def check(self, problem: Problem, text: str) -> bool:
        """Equality; a percent sign after a number is as good as none."""
        given = normalise(text)
        if given.endswith("%"):
            given = given[:-1].rstrip()
            return given.isdigit() and given == problem.answer
        return given == normalise(problem.answer)

    def draw_items(self, rng: random.Random, level: int) -> Items:
        """Names and different values in reading order."""
        raise NotImplementedError

    def draw(self, rng: random.Random, level: int, items: Items) -> tuple[Image.Image, dict[str, Any]] | None:
        """The picture and its `texts` and `marks`, or None where these items cannot be drawn clearly."""
        raise NotImplementedError


def _different(rng: random.Random, count: int, level: int) -> list[int]:
    """Values that differ by enough to be told apart at this level."""
    if level == 3:
        return rng.sample(range(5, 100, 5), count)
    return rng.sample(range(1, 61) if level == 1 else range(1, 100), count)


def _axis(pen: ImageDraw.ImageDraw, rng: random.Random, width: int, top: float, base: float, unit: float) -> list[Box]:
    """Grid lines at every 10 up to 100 with numbers at every 20; `unit` is pixels per 1. Returns the numbers' boxes."""
    face = drawing.font(rng.choice(CLEAR_FONTS), 10)
    boxes = []
    for value in range(0, 101, 10):
        y = base - value * unit
        if y < top:
            break
        pen.line((26, y, width - 4, y), fill=(170, 170, 170) if value % 20 == 0 else (212, 212, 212))
        if value % 20 == 0:
            boxes.append(put(pen, (23, y), str(value), face, anchor="rm"))
    return boxes


class BarChart(Chart):
    """Upright bars with a name below each."""

    name = "bar_chart"
    title = "bar chart"
    phrases = BAR
    kinds = (
        ("value", "value", "value", "largest", "smallest", "sum", "difference"),
        ("value", "largest", "smallest", "sum", "difference", "spread"),
        ("value", "sum", "difference", "spread", "total", "count"),
    )

    def draw_items(self, rng: random.Random, level: int) -> Items:
        count = rng.randint(3, 4) if level == 1 else rng.randint(5, 6) if level == 2 else rng.randint(4, 5)
        names = rng.sample(LETTERS if level == 1 or rng.random() < 0.3 else WORDS, count)
        return list(zip(names, _different(rng, count, level), strict=True))

    def draw(self, rng: random.Random, level: int, items: Items) -> tuple[Image.Image, dict[str, Any]] | None:
        width, height = ((168, 168), (224, 168), (224, 224))[level - 1]
        image, pen = drawing.canvas(rng, width, height)
        size = rng.randint(16, 18) if level == 1 else rng.randint(11, 12)
        face = drawing.font(rng.choice(CLEAR_FONTS if level == 1 else drawing.BOLD_FONTS), size)
        base, top = height - size - rng.randint(9, 13), size + rng.randint(8, 14)
        left = 30 if level == 3 else rng.randint(4, 8)
        unit = (base - top) / (100 if level == 3 else max(value for _, value in items))
        texts: list[Box] = _axis(pen, rng, width, top, base, unit) if level == 3 else []
        marks: list[Box] = []
        slot = (width - 6 - left) / len(items)
        half = slot * rng.uniform(0.28, 0.38)
        plain = drawing.vary(rng, drawing.COLOURS[rng.choice(PIE_COLOURS)])
        for index, (name, value) in enumerate(items):
            x, y = left + slot * (index + 0.5), base - value * unit
            fill = plain if level == 3 else drawing.vary(rng, drawing.COLOURS[rng.choice(PIE_COLOURS)])
            mark = (round(x - half), round(y), round(x + half), base)
            pen.rectangle(mark, fill=fill, outline=drawing.INK if level == 1 else None)
            marks.append(mark)
            texts.append(put(pen, (x, base + 4 + size), name, face, anchor="ms"))
            if level < 3:
                texts.append(put(pen, (x, y - 4), str(value), face, anchor="mb"))
        pen.line((left, base, width - 4, base), fill=drawing.INK, width=2)
        return image, {"texts": texts, "marks": marks}


class LineChart(Chart):
    """Points in time joined by a line."""

    name = "line_chart"
    title = "line chart"
    phrases = LINE
    kinds = (
        ("value", "value", "value", "largest", "smallest", "rise", "rise"),
        ("value", "largest", "smallest", "rise", "sum", "spread"),
        ("value", "rise", "sum", "spread", "count"),
    )

    def draw_items(self, rng: random.Random, level: int) -> Items:
        count = 4 if level == 1 else rng.randint(5, 6)
        calendar = rng.choice((DAYS, MONTHS))
        start = rng.randrange(len(calendar))
        names = [calendar[(start + index) % len(calendar)] for index in range(count)]
        return list(zip(names, _different(rng, count, level), strict=True))

    def draw(self, rng: random.Random, level: int, items: Items) -> tuple[Image.Image, dict[str, Any]] | None:
        width, height = ((168, 168), (224, 168), (224, 224))[level - 1]
        image, pen = drawing.canvas(rng, width, height)
        size = rng.randint(16, 18) if level == 1 else 12
        names = drawing.font("sans-bold", 14 if level == 1 else 10)
        face = drawing.font(rng.choice(CLEAR_FONTS if level == 1 else drawing.BOLD_FONTS), size)
        base = height - rng.randint(24, 28)
        top, bottom = (size + 12, base - size - 10) if level < 3 else (12, base)
        low, high = (0, 100) if level == 3 else (min(v for _, v in items), max(v for _, v in items))
        unit = (bottom - top) / (high - low)
        left = 28 if level == 3 else 2
        texts: list[Box] = _axis(pen, rng, width, top, base, unit) if level == 3 else []
        slot = (width - 2 - left) / len(items)
        points = [(left + slot * (i + 0.5), bottom - (value - low) * unit) for i, (_, value) in enumerate(items)]
        colour = drawing.vary(rng, drawing.COLOURS[rng.choice(("red", "green", "blue", "purple", "brown", "black"))])
        pen.line((left, base, width - 2, base), fill=drawing.INK, width=2)
        pen.line(points, fill=colour, width=3 if level == 1 else 2, joint="curve")
        for x, y in points:
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
        strokes = list(pairwise(points))
        texts += [put(pen, (p[0], base + 18), n, names, anchor="ms") for p, (n, _) in zip(points, items, strict=True)]
        for point, (_, value) in zip(points, items, strict=True):
            if level == 3:
                break
            box = _place(pen, point, str(value), face, texts, strokes, (width, base))
            if box is None:
                return None
            texts.append(box)
        return image, {"texts": texts, "marks": strokes}


def _place(
    pen: ImageDraw.ImageDraw,
    point: Sequence[float],
    text: str,
    face: Any,
    taken: Sequence[Box],
    strokes: Sequence[tuple[Sequence[float], Sequence[float]]],
    size: tuple[int, int],
) -> Box | None:
    """Writes `text` close to `point`, clear of everything; None where there is no such place."""
    for dx, anchor in ((0, "m"), (-7, "r"), (7, "l")):
        for dy, side in ((-8, "b"), (8, "t")):
            at = (point[0] + dx, point[1] + dy)
            box = drawing.text_box(at, text, face, anchor + side)
            free = drawing.clear(box, taken, size)
            if free and not any(drawing.crosses(start, end, box, 2) for start, end in strokes):
                return put(pen, at, text, face, anchor=anchor + side)
    return None


class PieChart(Chart):
    """Slices clockwise from the top, told apart by colour; from level 2 a legend gives the colours names."""

    name = "pie_chart"
    title = "pie chart"
    phrases = PIE
    kinds = (
        ("value", "value", "value", "largest", "smallest", "sum", "difference"),
        ("value", "largest", "smallest", "sum", "difference"),
        ("value", "sum", "spread", "people", "people"),
    )

    def draw_items(self, rng: random.Random, level: int) -> Items:
        count = rng.randint(3, 4) if level == 1 else rng.randint(4, 5) if level == 2 else rng.randint(5, 6)
        least = 13 if level == 1 else 8
        while True:
            cuts = sorted(rng.sample(range(1, 100), count - 1))
            shares = [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
            if min(shares) >= least and len(set(shares)) == count:
                break
        names = rng.sample(PIE_COLOURS if level == 1 else WORDS, count)
        return list(zip(names, shares, strict=True))

    def draw(self, rng: random.Random, level: int, items: Items) -> tuple[Image.Image, dict[str, Any]] | None:
        width, height = ((168, 168), (224, 168), (224, 168))[level - 1]
        image, pen = drawing.canvas(rng, width, height)
        face = drawing.font(rng.choice(CLEAR_FONTS if level == 1 else drawing.BOLD_FONTS), 18 if level == 1 else 12)
        radius = rng.randint(76, 81) if level == 1 else rng.randint(66, 76)
        x = rng.randint(radius + 2, 168 - radius - 2) if level == 1 else radius + 4
        y = rng.randint(radius + 2, 168 - radius - 2)
        names = [name for name, _ in items] if level == 1 else rng.sample(PIE_COLOURS, len(items))
        shades = [drawing.vary(rng, drawing.COLOURS[name]) for name in names]
        turn, texts = 0, []
        for (_, share), shade in zip(items, shades, strict=True):
            start, end = turn * 3.6 - 90, (turn + share) * 3.6 - 90  # degrees, clockwise from the right
            pen.pieslice((x - radius, y - radius, x + radius, y + radius), start, end, fill=shade, outline="white")
            turn += share
        turn = 0
        for (_, share), shade in zip(items, shades, strict=True):
            angle, reach = math.radians((turn + share / 2) * 3.6 - 90), radius * (0.66 if level == 1 else 0.74)
            at = (x + reach * math.cos(angle), y + reach * math.sin(angle))
            if level == 1:  # dark digits on a white plate, as in the other charts, whatever the slice
                left, top, right, bottom = drawing.text_box(at, str(share), face)
                pen.rectangle((left - 3, top - 3, right + 3, bottom + 3), fill="white")
                texts.append(put(pen, at, str(share), face))
            else:
                texts.append(put(pen, at, f"{share}%", face, drawing.on(shade)))
            turn += share
        if level > 1:
            legend = list(zip(items, shades, strict=True))
            if level == 3:
                rng.shuffle(legend)
            for row, ((name, _), shade) in enumerate(legend):
                line = height / 2 + 20 * (row - (len(items) - 1) / 2)
                pen.rectangle((168, line - 6, 180, line + 6), fill=shade)
                texts.append(put(pen, (185, line), name, drawing.font("sans-bold", 12), anchor="lm"))
        return image, {"texts": texts, "marks": []}
