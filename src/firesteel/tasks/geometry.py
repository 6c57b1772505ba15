"""Plane figures with labelled lengths or angles: perimeter, area, a missing angle, a missing side."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from firesteel.tasks import drawing, steps
from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.drawing import Box, put

Point = tuple[float, float]
Stroke = tuple[Point, Point]
# Where it is ("side" i runs from corner i to the next, "angle" i is at it, "extra" the thin stroke, "inside"), text, i.
Label = tuple[str, str, int]

PERIMETER = ("what is the perimeter?", "how long is the way around?", "find the perimeter.")
AREA = ("what is the area?", "how large is the area?", "find the area.")
ANGLE = ("how many degrees is x?", "what is the angle x?", "find the missing angle.")
SIDE = ("how long is x?", "what is the length of x?", "find the missing side.")

TRIPLES = (
    *((3 * k, 4 * k, 5 * k) for k in range(1, 7)),
    *((5 * k, 12 * k, 13 * k) for k in (1, 2)),
    *((8, 15, 17), (7, 24, 25), (20, 21, 29)),
)


@dataclass(frozen=True)
class Figure:
    """A figure in its own units (y upward) with its question. `facts` are the numbers a checker recomputes from."""

    kind: str
    corners: Sequence[Point]
    labels: Sequence[Label]
    phrases: tuple[str, ...]
    reading: str  # "rectangle: width 7, height 9"
    work: str
    answer: int
    facts: dict[str, int]
    extra: Stroke | None = None  # one more stroke, thin
    right_angle: int | None = None  # the corner that gets a small square


def _rectangle(rng: random.Random, low: int, high: int) -> tuple[int, int, list[Point]]:
    """Width, height and corners; long rectangles are drawn less long, so that their labels fit."""
    width, height = rng.randint(low, high), rng.randint(low, high)
    ratio = min(2.2, max(1 / 2.2, width / height))
    return width, height, [(0, 0), (ratio, 0), (ratio, 1), (0, 1)]


def rectangle_perimeter(rng: random.Random, level: int) -> Figure:
    a, b, corners = _rectangle(rng, 2, 12) if level == 1 else _rectangle(rng, 11, 49)
    half = a + b
    add = f"{a}+{b}={half}" if level == 1 else steps.plus(a, b)
    double = f"2x{half}={2 * half}" if level == 1 else steps.plus(half, half)
    return Figure(
        kind="rectangle_perimeter",
        corners=corners,
        labels=[("side", str(a), rng.choice((0, 2))), ("side", str(b), rng.choice((1, 3)))],
        phrases=PERIMETER,
        reading=f"rectangle: width {a}, height {b}",
        work=f"{add}. {double}",
        answer=2 * half,
        facts={"a": a, "b": b},
    )


def rectangle_area(rng: random.Random, level: int) -> Figure:
    a, b, corners = _rectangle(rng, 2, 12)
    return Figure(
        kind="rectangle_area",
        corners=corners,
        labels=[("side", str(a), rng.choice((0, 2))), ("side", str(b), rng.choice((1, 3)))],
        phrases=AREA,
        reading=f"rectangle: width {a}, height {b}",
        work=f"{a}x{b}={a * b}",
        answer=a * b,
        facts={"a": a, "b": b},
    )


def rectangle_side(rng: random.Random, level: int) -> Figure:
    a, b, corners = _rectangle(rng, 3, 15)
    place, known, hidden, name, other = rng.choice(((0, a, b, "width", "height"), (1, b, a, "height", "width")))
    return Figure(
        kind="rectangle_side",
        corners=corners,
        labels=[("side", str(known), place), ("side", "x", 1 - place), ("inside", f"area {a * b}", 0)],
        phrases=SIDE,
        reading=f"rectangle: {name} {known}, {other} x, area {a * b}",
        work=f"{known}x{hidden}={a * b}",
        answer=hidden,
        facts={"known": known, "area": a * b},
    )


def _by_angles(left: float, right: float) -> list[Point]:
    """Left, right and top corner of a triangle on a base of 1 with these angles (degrees) at its ends."""
    a, b = math.tan(math.radians(left)), math.tan(math.radians(right))
    x = b / (a + b)
    return [(0, 0), (1, 0), (x, a * x)]


def triangle_perimeter(rng: random.Random, level: int) -> Figure:
    while True:
        left, right, base = (rng.randint(3, 12) for _ in range(3))
        cosines = [
            (left**2 + base**2 - right**2) / (2 * left * base),
            (right**2 + base**2 - left**2) / (2 * right * base),
            (left**2 + right**2 - base**2) / (2 * left * right),
        ]
        if all(-0.3 < cosine < 0.9 for cosine in cosines):  # every angle between 26 and 107 degrees
            break
    corners = _by_angles(*(math.degrees(math.acos(cosine)) for cosine in cosines[:2]))
    whole = left + right + base
    return Figure(
        kind="triangle_perimeter",
        corners=corners,
        labels=[("side", str(base), 0), ("side", str(right), 1), ("side", str(left), 2)],
        phrases=PERIMETER,
        reading=f"triangle: left {left}, right {right}, bottom {base}",
        work=f"{left}+{right}={left + right}. {left + right}+{base}={whole}",
        answer=whole,
        facts={"left": left, "right": right, "base": base},
    )


def triangle_angle(rng: random.Random, level: int) -> Figure:
    step = 5 if level == 1 else 1
    while True:
        hidden, one = (rng.randrange(30, 106, step) for _ in range(2))
        other = 180 - hidden - one
        if 30 <= other <= 105:
            break
    angles = [one, other]
    place = rng.randrange(3)  # left, right or top
    angles.insert(place, hidden)
    texts = ["x" if index == place else f"{angle}°" for index, angle in enumerate(angles)]
    names = [f"{name} {text.rstrip('°')}" for name, text in zip(("left", "right", "top"), texts, strict=True)]
    first, second = (angle for index, angle in enumerate(angles) if index != place)
    both = first + second
    return Figure(
        kind="triangle_angle",
        corners=_by_angles(angles[0], angles[1]),
        labels=[("angle", text, index) for index, text in enumerate(texts)],
        phrases=ANGLE,
        reading=f"triangle angles: {', '.join(names)}",
        work=f"{first}+{second}={both}. 180-{both}={hidden}"
        if level == 1
        else f"{steps.plus(first, second)}. {steps.minus(180, both)}",
        answer=hidden,
        facts={"first": first, "second": second},
    )


def triangle_area(rng: random.Random, level: int) -> Figure:
    while True:
        base, height = rng.randint(3, 15), rng.randint(3, 15)
        if base * height % 2 == 0 and 0.6 < height / base < 1.5:
            break
    foot = base * rng.uniform(0.3, 0.7)
    return Figure(
        kind="triangle_area",
        corners=[(0, 0), (base, 0), (foot, height)],
        labels=[("side", str(base), 0), ("extra", str(height), 0)],
        phrases=AREA,
        reading=f"triangle: base {base}, height {height}",
        work=f"{base}x{height}={base * height}. half of {base * height} is {base * height // 2}",
        answer=base * height // 2,
        facts={"base": base, "height": height},
        extra=((foot, 0), (foot, height)),
    )


def right_triangle(rng: random.Random, level: int) -> Figure:
    """Level 2 asks for the slant side, level 3 for an upright one."""
    a, b, c = rng.choice(TRIPLES)
    if rng.random() < 0.5:
        a, b = b, a
    ratio = min(1.7, max(1 / 1.7, a / b))
    corners = [(0, 0), (ratio, 0), (0, 1)] if rng.random() < 0.5 else [(0, 0), (ratio, 0), (ratio, 1)]
    corner = 0 if corners[2][0] == 0 else 1
    slant, upright = (1, 2) if corner == 0 else (2, 1)
    if level == 2:
        texts = (str(a), str(b), "x")
        work = f"{a}x{a}={a * a}, {b}x{b}={b * b}. {steps.plus(a * a, b * b)}. {c}x{c}={c * c}"
        answer = c
    else:
        texts = (str(a), "x", str(c))
        work = f"{c}x{c}={c * c}, {a}x{a}={a * a}. {steps.minus(c * c, a * a)}. {b}x{b}={b * b}"
        answer = b
    return Figure(
        kind="right_triangle",
        corners=corners,
        labels=[("side", texts[0], 0), ("side", texts[1], upright), ("side", texts[2], slant)],
        phrases=SIDE,
        reading=f"right triangle: bottom {texts[0]}, side {texts[1]}, slant {texts[2]}",
        work=work,
        answer=answer,
        facts={"a": a, "b": b} if level == 2 else {"a": a, "c": c},
        right_angle=corner,
    )


def l_shape(rng: random.Random, level: int) -> Figure:
    """A rectangle with its upper corner cut out: four of the six sides are labelled."""
    width, height = rng.randint(7, 15), rng.randint(7, 15)
    top, low = rng.randint(3, width - 4), rng.randint(3, height - 4)
    corners: list[Point] = [(0, 0), (width, 0), (width, low), (top, low), (top, height), (0, height)]
    labels = [("side", str(length), side) for length, side in ((width, 0), (low, 1), (top, 4), (height, 5))]
    left, right = height, low
    if rng.random() < 0.5:
        corners = [(width - x, y) for x, y in corners]
        left, right = low, height
    tall, rest, flat = top * height, width - top, (width - top) * low
    if rng.random() < 0.6:
        kind, phrases, answer = "l_area", AREA, tall + flat
        work = f"{top}x{height}={tall}. {steps.minus(width, top)}. {rest}x{low}={flat}. {steps.plus(tall, flat)}"
    else:
        kind, phrases, half = "l_perimeter", PERIMETER, width + height
        answer = 2 * half
        work = f"{steps.plus(width, height)}. {steps.plus(half, half)}"
    return Figure(
        kind=kind,
        corners=corners,
        labels=labels,
        phrases=phrases,
        reading=f"L shape: bottom {width}, top {top}, left {left}, right {right}",
        work=work,
        answer=answer,
        facts={"width": width, "height": height, "top": top, "low": low},
    )


def four_angles(rng: random.Random, level: int) -> Figure:
    """Any four-cornered figure; its angles are rounded to whole degrees that add up to 360."""
    while True:
        corners = [
            (x + rng.uniform(-0.22, 0.22), y + rng.uniform(-0.22, 0.22)) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))
        ]
        angles = [round(_angle(corners, index)) for index in range(4)]
        if sum(angles) == 360 and max(angles) < 140 and min(angles) > 50:
            break
    place = rng.randrange(4)
    texts = ["x" if index == place else f"{angle}°" for index, angle in enumerate(angles)]
    names = ("bottom left", "bottom right", "top right", "top left")  # read the upper corners first
    read = ", ".join(f"{names[index]} {texts[index].rstrip('°')}" for index in (3, 2, 0, 1))
    known = [angle for index, angle in enumerate(angles) if index != place]
    answer = angles[place]
    return Figure(
        kind="four_angles",
        corners=corners,
        labels=[("angle", text, index) for index, text in enumerate(texts)],
        phrases=ANGLE,
        reading=f"angles: {read}",
        work=f"{steps.total(known)}. {steps.minus(360, sum(known))}",
        answer=answer,
        facts={"first": known[0], "second": known[1], "third": known[2]},
    )


def _angle(corners: Sequence[Point], index: int) -> float:
    """The angle in degrees at one corner."""
    (x, y), (px, py), (nx, ny) = corners[index], corners[index - 1], corners[(index + 1) % len(corners)]
    turn = math.atan2(py - y, px - x) - math.atan2(ny - y, nx - x)
    return abs(math.degrees((turn + math.pi) % (2 * math.pi) - math.pi))


KINDS: tuple[tuple[Callable[[random.Random, int], Figure], ...], ...] = (
    (rectangle_perimeter, rectangle_area, triangle_perimeter, triangle_angle),
    (rectangle_perimeter, rectangle_side, triangle_angle, triangle_area, right_triangle),
    (l_shape, l_shape, four_angles, right_triangle),
)


class Geometry(Family):
    """facts: `kind`, the labelled numbers under their names, `texts` (boxes), `marks` (strokes as pairs of points)."""

    name = "geometry"
    visual = True
    levels = 3

    def generate(self, rng: random.Random, level: int) -> Problem:
        assert 1 <= level <= self.levels
        make = rng.choice(KINDS[level - 1])
        figure = make(rng, level)
        drawn = _draw(rng, level, figure)
        while drawn is None:  # some label found no free place: another figure of the kind
            figure = make(rng, level)
            drawn = _draw(rng, level, figure)
        image, texts, strokes = drawn
        return Problem(
            family=self.name,
            level=level,
            question=rng.choice(figure.phrases),
            answer=str(figure.answer),
            terse=f"{figure.work}, {figure.answer}",
            full=f"{figure.reading}. {figure.work}. So {figure.answer}.",
            image=image,
            caption=f"{figure.reading}.",
            facts={"kind": figure.kind, **figure.facts, "texts": texts, "marks": strokes},
        )

    def check(self, problem: Problem, text: str) -> bool:
        """Equality; angles may carry their unit."""
        given = normalise(text)
        if problem.facts["kind"].split("_")[-1] in ("angle", "angles"):
            given = given.removesuffix("°").removesuffix(" degrees")
        return given == problem.answer


def _draw(rng: random.Random, level: int, figure: Figure) -> tuple[Image.Image, list[Box], list[Stroke]] | None:
    """The picture, the boxes of its labels and its strokes; None where a label would touch something."""
    width, height = ((168, 168), (168, 168), (224, 168))[level - 1]
    size = rng.randint(17, 19) if level == 1 else 14 if level == 2 else 12
    face = drawing.font(rng.choice(("sans-bold", "mono-bold") if level == 1 else drawing.BOLD_FONTS), size)
    outside = 6 if all(place != "side" for place, _, _ in figure.labels) else 2 * size - 4
    room = (width - 2 * outside, height - 2 * outside)

    xs, ys = [x for x, _ in figure.corners], [y for _, y in figure.corners]
    span = (max(xs) - min(xs), max(ys) - min(ys))
    unit = min(room[0] / span[0], room[1] / span[1]) * rng.uniform(0.9, 1)
    left = outside + rng.uniform(0, room[0] - span[0] * unit)
    low = outside + rng.uniform(0, room[1] - span[1] * unit)

    def onto(point: Point) -> Point:
        return left + (point[0] - min(xs)) * unit, height - low - (point[1] - min(ys)) * unit

    corners = [onto(corner) for corner in figure.corners]
    strokes = list(zip(corners, corners[1:] + corners[:1], strict=True))
    image, pen = drawing.canvas(rng, width, height)
    colour = drawing.COLOURS[rng.choice(("red", "green", "blue", "purple", "brown", "black"))]
    pen.polygon(corners, fill=drawing.vary(rng, (243, 243, 243), 12))
    pen.line([*corners, corners[0], corners[1]], fill=colour, width=3, joint="curve")
    if figure.extra:
        start, end = (onto(point) for point in figure.extra)
        strokes.append((start, end))
        pen.line((start, end), fill=colour, width=1)
    if figure.right_angle is not None:
        x, y = corners[figure.right_angle]
        side = 10 if figure.right_angle == 0 else -10
        pen.line((x + side, y, x + side, y - 10, x, y - 10), fill=colour)

    middle = (sum(x for x, _ in corners) / len(corners), sum(y for _, y in corners) / len(corners))
    texts: list[Box] = []
    for where, text, index in figure.labels:
        for at in _places(where, index, corners, strokes, middle, drawing.text_box((0, 0), text, face)):
            at = (round(at[0]), round(at[1]))
            box = drawing.text_box(at, text, face)
            free = drawing.clear(box, texts, (width, height), 4)
            if free and not any(drawing.crosses(start, end, box, 3) for start, end in strokes):
                texts.append(put(pen, at, text, face))
                break
        else:
            return None
    return image, texts, strokes


def _places(
    where: str, index: int, corners: Sequence[Point], strokes: Sequence[Stroke], middle: Point, box: Box
) -> list[Point]:
    """Where a label may stand, best first; `box` is the label's own, around (0, 0)."""
    wide, high = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    if where == "inside":
        return [middle]
    if where == "angle":  # along the line that halves the angle, as close to the corner as fits
        (x, y), half = corners[index], math.radians(_angle(corners, index) / 2)
        before, after = corners[index - 1], corners[(index + 1) % len(corners)]
        ways = [((p[0] - x) / math.dist(p, (x, y)), (p[1] - y) / math.dist(p, (x, y))) for p in (before, after)]
        dx, dy = (sum(way[axis] for way in ways) / (2 * math.cos(half)) for axis in (0, 1))
        return [(x + dx * reach, y + dy * reach) for reach in range(14, 70, 3)]
    (ax, ay), (bx, by) = strokes[-1] if where == "extra" else strokes[index]
    length = math.dist((ax, ay), (bx, by))
    nx, ny = (by - ay) / length, (ax - bx) / length
    away = 6 + abs(nx) * wide + abs(ny) * high
    if where == "extra":
        return [((ax + bx) / 2 + side * away, ay + (by - ay) * at) for at in (0.3, 0.4) for side in (1, -1)]
    # Outward is where the middle of the figure is not. The hollow of an L has no labels, so this holds for it too.
    if (nx * ((ax + bx) / 2 - middle[0]) + ny * ((ay + by) / 2 - middle[1])) < 0:
        nx, ny = -nx, -ny
    return [((ax + bx) / 2 + nx * away, (ay + by) / 2 + ny * away)]
