"""Scenes of coloured shapes on a loose grid: `count` (how many of a kind) and `relation` (what stands where).

Both families read a scene in the same order and words: row by row from the top, each row from the left, every cell
of the grid named ("empty" where nothing stands). Who counts in full counts while reading: a small model does badly when
it must count in the list afterwards.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass

from PIL import Image, ImageDraw

from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.drawing import COLOURS, canvas, vary

Cell = tuple[str, str] | None  # (colour, shape), or nothing
Grid = list[list[Cell]]  # rows from the top, each from the left
Group = tuple[str | None, str | None]  # (colour, shape); None accepts any

_COLOURS = ("red", "green", "blue", "yellow", "purple", "black")
_SHAPES = ("circle", "square", "triangle", "star")


@dataclass(frozen=True)
class _Layout:
    """How a level's scene is divided: rows x columns cells of `cell` pixels on a canvas of width x height."""

    rows: int
    columns: int
    cell: int
    width: int
    height: int


_LAYOUTS = {
    1: (_Layout(3, 3, 56, 168, 168),),
    2: (_Layout(3, 4, 56, 224, 168), _Layout(4, 4, 42, 168, 168)),
    3: (_Layout(4, 4, 56, 224, 224), _Layout(5, 5, 44, 224, 224)),
}


def _kinds_of_shape(level: int) -> list[tuple[str, str]]:
    """Every (colour, shape) that stands in scenes of a level."""
    colours = _COLOURS if level == 1 else (*_COLOURS, "orange", "pink")
    shapes = _SHAPES if level == 1 else (*_SHAPES, "diamond")
    return [(colour, shape) for colour in colours for shape in shapes]


def _name(cell: Cell) -> str:
    return " ".join(cell) if cell else "empty"


def _numbers(text: str) -> list[str]:
    return re.findall(r"-?[0-9]+(?:\.[0-9]+)?", text)


def _line(title: str, cells: list[Cell]) -> str:
    return f"{title}: {', '.join(_name(cell) for cell in cells)}."


def _describe(grid: Grid) -> str:
    return " ".join(_line(f"row {number}", row) for number, row in enumerate(grid, 1))


def _describe_counting(grid: Grid, groups: list[Group]) -> tuple[str, str]:
    """Every shape of a group followed by how many there were so far: "row 1: red star 1, empty, blue star 2."

    The second text has what was counted alone, "1: red star 1, blue star 2."
    """
    rows, short, seen = [], [], [0] * len(groups)
    for number, row in enumerate(grid, 1):
        cells, counted = [], []
        for cell in row:
            counts = []
            for at, group in enumerate(groups):
                if _matches(group, cell):
                    seen[at] += 1
                    counts.append(str(seen[at]))
            cells.append(" ".join([_name(cell), *counts]))
            if counts:
                counted.append(cells[-1])
        rows.append(f"row {number}: {', '.join(cells)}.")
        short.append(f"{number}: {', '.join(counted) or 'none'}.")
    return " ".join(rows), " ".join(short)


def _facts(grid: Grid, boxes: list[tuple[int, int, int, int]], **more: object) -> dict[str, object]:
    """The scene as plain data: names by cell, and the boxes of the shapes in reading order."""
    return {"grid": [[_name(cell) if cell else None for cell in row] for row in grid], "boxes": boxes, **more}


def _deal(rng: random.Random, layout: _Layout, cells: list[Cell]) -> Grid:
    """Spreads the shapes at random over the cells of the grid."""
    places = [*cells, *[None] * (layout.rows * layout.columns - len(cells))]
    rng.shuffle(places)
    return [places[start : start + layout.columns] for start in range(0, len(places), layout.columns)]


def _ring(x: float, y: float, radii: tuple[float, ...], points: int) -> list[tuple[float, float]]:
    """Corners around (x, y), the first straight up, at distances that take turns."""
    turn = 2 * math.pi / points
    return [
        (x + radii[k % len(radii)] * math.sin(turn * k), y - radii[k % len(radii)] * math.cos(turn * k))
        for k in range(points)
    ]


def _draw_shape(pen: ImageDraw.ImageDraw, shape: str, box: tuple[int, int, int, int], fill: tuple[int, ...]) -> None:
    left, top, right, bottom = box
    x, y, radius = (left + right) / 2, (top + bottom) / 2, (right - left) / 2
    if shape == "circle":
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        inset = radius * 0.1  # as large to the eye as the circle
        pen.rectangle((left + inset, top + inset, right - inset, bottom - inset), fill=fill)
    elif shape == "triangle":
        pen.polygon([(x, top), (right, bottom), (left, bottom)], fill=fill)
    elif shape == "diamond":
        pen.polygon([(x, top), (x + radius * 0.75, y), (x, bottom), (x - radius * 0.75, y)], fill=fill)
    else:
        pen.polygon(_ring(x, y, (radius, radius * 0.42), 10), fill=fill)


def _draw(rng: random.Random, layout: _Layout, grid: Grid) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """The picture and the box (left, top, right, bottom; pixels) of every shape in reading order.

    Each shape stays two pixels inside its cell, so shapes never touch. Drawn at twice the size for smooth edges.
    """
    image, pen = canvas(rng, layout.width * 2, layout.height * 2)
    x0 = (layout.width - layout.columns * layout.cell) // 2
    y0 = (layout.height - layout.rows * layout.cell) // 2
    boxes = []
    for row, cells in enumerate(grid):
        for column, cell in enumerate(cells):
            if cell is None:
                continue
            side = rng.randint(round(layout.cell * 0.62), round(layout.cell * 0.79))
            left = x0 + column * layout.cell + rng.randint(2, layout.cell - side - 2)
            top = y0 + row * layout.cell + rng.randint(2, layout.cell - side - 2)
            boxes.append((left, top, left + side, top + side))
            colour, shape = cell
            fill = vary(rng, COLOURS[colour], 8)
            _draw_shape(pen, shape, (2 * left, 2 * top, 2 * (left + side), 2 * (top + side)), fill)
    return image.reduce(2), boxes


def _matches(group: Group, cell: Cell) -> bool:
    return cell is not None and group[0] in (None, cell[0]) and group[1] in (None, cell[1])


def _noun(group: Group) -> str:
    """The group as a question names it: "red shapes", "circles", "red circles", "shapes"."""
    colour, shape = group
    return " ".join(word for word in (colour, f"{shape}s" if shape else "shapes") if word)


def _label(group: Group) -> str:
    return "all" if group == (None, None) else _noun(group).removesuffix(" shapes")


def _groups(rng: random.Random, number: int, by: str, every: list[tuple[str, str]]) -> list[Group]:
    """`number` groups without a common member: "colour", "shape" or "both" names them, "all" is the one of all."""
    if by == "colour":
        return [(colour, None) for colour in rng.sample(sorted({colour for colour, _ in every}), number)]
    if by == "shape":
        return [(None, shape) for shape in rng.sample(sorted({shape for _, shape in every}), number)]
    return [(None, None)] if by == "all" else [*rng.sample(every, number)]


COUNT_QUESTIONS = {
    "one": ("How many {0} are there?", "Count the {0}.", "How many {0} do you see?", "What is the number of {0}?"),
    "two": (
        "How many {0} and how many {1} are there?",
        "Count the {0} and the {1}.",
        "How many {0} do you see, and how many {1}?",
    ),
    "more": (
        "How many more {0} than {1} are there?",
        "There are more {0} than {1}. How many more?",
        "How many {0} are there beyond the number of {1}?",
    ),
    "not": ("How many shapes are not {0}?", "Count the shapes that are not {0}.", "How many are not {0}?"),
}


_COUNT_MOST = {1: 9, 2: 12, 3: 20}  # shapes in a scene
# What is asked for at each level, with weights: one group or two, by colour, shape, both or neither ("all").
_COUNT_KINDS = {
    1: {"one colour": 35, "one shape": 35, "one all": 8, "two colour": 11, "two shape": 11},
    2: {"one colour": 15, "one shape": 15, "one both": 30, "two colour": 15, "two shape": 15, "two both": 10},
    3: {"one both": 20, "two both": 30, "more colour": 15, "more shape": 15, "not colour": 20},
}


class Count(Family):
    """How many shapes of a kind, or of two kinds; from level 2 also "red circles", at level 3 "more" and "not"."""

    name = "count"
    visual = True
    levels = 3

    def generate(self, rng: random.Random, level: int) -> Problem:
        layout = rng.choice(_LAYOUTS[level])
        every = _kinds_of_shape(level)
        kinds = _COUNT_KINDS[level]
        kind, by = rng.choices(list(kinds), list(kinds.values()))[0].split()
        groups = _groups(rng, 1 if kind in ("one", "not") else 2, by, every)
        most = min(_COUNT_MOST[level], layout.rows * layout.columns)
        grid = _deal(rng, layout, self._shapes(rng, every, groups, self._sizes(rng, kind, by, most), most))
        image, boxes = _draw(rng, layout, grid)

        counts = [sum(_matches(group, cell) for row in grid for cell in row) for group in groups]
        names, work, answer = [_noun(group) for group in groups], "", " and ".join(map(str, counts))
        if kind == "not":
            groups = [(None, None), *groups]
            counts = [sum(cell is not None for row in grid for cell in row), *counts]
            names = [names[0].removesuffix(" shapes")]
        if kind in ("not", "more"):
            answer = str(counts[0] - counts[1])
            work = f". {counts[0]}-{counts[1]}={answer}"
        counting, counted = _describe_counting(grid, groups)
        told = ", ".join(f"{_label(group)} {count}" for group, count in zip(groups, counts, strict=True)) + work
        return Problem(
            family=self.name,
            level=level,
            question=rng.choice(COUNT_QUESTIONS[kind]).format(*names),
            answer=answer,
            terse=f"{counted} {told if work else answer}",
            full=f"{counting} {told}. So {answer}.",
            image=image,
            caption=_describe(grid),
            facts=_facts(grid, boxes, kind=kind, groups=groups),
        )

    def _sizes(self, rng: random.Random, kind: str, by: str, most: int) -> tuple[int, ...]:
        """How large each asked group is; spread evenly, so that no answer is a good guess."""
        if kind == "two":
            return rng.choice([(a, b) for a in range(most + 1) for b in range(most + 1 - a)])
        if kind == "more":
            gap = rng.randint(1, most // 2)
            fewer = rng.randint(0, (most - gap) // 2)
            return fewer + gap, fewer
        return (rng.randint(2 if by == "all" else 0, most),)

    def _shapes(
        self,
        rng: random.Random,
        every: list[tuple[str, str]],
        groups: list[Group],
        sizes: tuple[int, ...],
        most: int,
    ) -> list[Cell]:
        """`sizes[i]` members of `groups[i]` and some strangers, at most `most` in all."""
        cells: list[Cell] = []
        for group, size in zip(groups, sizes, strict=True):
            cells += rng.choices([cell for cell in every if _matches(group, cell)], k=size)
        strangers = [cell for cell in every if not any(_matches(group, cell) for group in groups)]
        if strangers:
            cells += rng.choices(strangers, k=rng.randint(max(2, len(cells)), most) - len(cells))
        return cells

    def check(self, problem: Problem, text: str) -> bool:
        """The same numbers in the same order and no others, whatever words stand around them."""
        return _numbers(text) == _numbers(problem.answer)


Place = tuple[int, int]  # (row, column), from 0

_WAYS = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
RELATION_QUESTIONS = {
    "next": (
        "What is directly {0} the {1}?",
        "What is just {0} the {1}?",
        "Which shape is directly {0} the {1}?",
        "Look just {0} the {1}. What is there?",
    ),
    "corner": (
        "What is in the {0} corner?",
        "Which shape is in the {0} corner?",
        "Name the shape in the {0} corner.",
    ),
    "far": (
        "What is two places {0} the {1}?",
        "Which shape is two places {0} the {1}?",
        "Look two places {0} the {1}. What is there?",
    ),
    "hops": (
        "What is {1} the shape {0} the {2}?",
        "Which shape is {1} the one {0} the {2}?",
        "Name the shape {1} the one {0} the {2}.",
    ),
    "where": (
        "Where is the {0}, seen from the {1}?",
        "Seen from the {1}, where is the {0}?",
        "In which direction is the {0} from the {1}?",
    ),
}


def _walks(grid: Grid, kind: str) -> list[tuple[tuple[str, ...], tuple[Place, ...]]]:
    """Every walk of a kind that starts and turns on shapes and stays on the grid: its ways, and its places."""
    rows, columns = len(grid), len(grid[0])
    if kind == "corner":
        corners = {"top left": (0, 0), "top right": (0, columns - 1)}
        corners |= {"bottom left": (rows - 1, 0), "bottom right": (rows - 1, columns - 1)}
        return [((name,), (place,)) for name, place in corners.items()]
    stride = 2 if kind == "far" else 1
    walks: list[tuple[tuple[str, ...], tuple[Place, ...]]]
    walks = [((), ((row, column),)) for row in range(rows) for column in range(columns)]
    for _ in range(2 if kind == "hops" else 1):
        walks = [
            ((*ways, way), (*places, (row, column)))
            for ways, places in walks
            if grid[places[-1][0]][places[-1][1]]
            for way, (down, right) in _WAYS.items()
            for row, column in [(places[-1][0] + stride * down, places[-1][1] + stride * right)]
            if 0 <= row < rows and 0 <= column < columns and (row, column) not in places
        ]
    return walks


def _where(place: Place, other: Place) -> str:
    """The direction in which `place` lies, seen from `other`."""
    down, right = place[0] - other[0], place[1] - other[1]
    words = ("above" if down < 0 else "below" if down else "", "left" if right < 0 else "right" if right else "")
    return " ".join(word for word in words if word)


def _along(grid: Grid, way: str) -> list[tuple[str, list[Cell]]]:
    """The rows or columns of a scene read in the direction of a way, each with its title."""
    upright = way in ("above", "below")
    back = {"above": " up", "left of": " left"}.get(way, "")
    lines = [list(line) for line in (zip(*grid, strict=True) if upright else grid)]
    name = "column" if upright else "row"
    return [(f"{name} {k}{back}", line[::-1] if back else line) for k, line in enumerate(lines, 1)]


def _at(label: str, place: Place) -> str:
    return f"{label}: row {place[0] + 1} column {place[1] + 1}."


_RELATION_FEWEST = {1: 5, 2: 8, 3: 10}  # shapes in a scene
_RELATION_KINDS = {
    1: {"next": 75, "corner": 25},
    2: {"next": 50, "corner": 15, "far": 35},
    3: {"far": 30, "hops": 40, "where": 30},
}


class Relation(Family):
    """What stands beside a shape or in a corner; level 2 also "nothing" and two places on; level 3 two hops and where.

    All shapes of a scene differ, so a name is never two shapes'.
    """

    name = "relation"
    visual = True
    levels = 3

    def generate(self, rng: random.Random, level: int) -> Problem:
        layout = rng.choice(_LAYOUTS[level])
        kinds = _RELATION_KINDS[level]
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        empty = level > 1 and kind != "where" and rng.random() < 0.08
        most = min(16, layout.rows * layout.columns - empty)
        walks: list[tuple[tuple[str, ...], tuple[Place, ...]]] = []
        while not walks:  # a sparse scene may lack what is asked for; then another is dealt
            grid = _deal(rng, layout, [*rng.sample(_kinds_of_shape(level), rng.randint(_RELATION_FEWEST[level], most))])
            walks = [walk for walk in _walks(grid, kind) if (grid[walk[1][-1][0]][walk[1][-1][1]] is None) == empty]
        if kind == "where":
            question, answer, terse, steps = self._ask_where(rng, grid)
        else:
            question, answer, terse, steps = self._ask_walk(rng, grid, kind, *rng.choice(walks))
        image, boxes = _draw(rng, layout, grid)
        return Problem(
            family=self.name,
            level=level,
            question=question,
            answer=answer,
            terse=f"{terse} So {answer}",
            full=f"{steps} So {answer}.",
            image=image,
            caption=_describe(grid),
            facts=_facts(grid, boxes, kind=kind),
        )

    def _ask_walk(
        self, rng: random.Random, grid: Grid, kind: str, ways: tuple[str, ...], places: tuple[Place, ...]
    ) -> tuple[str, str, str, str]:
        """Question, answer, the lines of the scene that show it, and the steps that find it.

        Along one way the scene is read in its direction, so that what is asked for comes after the name: a small mind
        reads without a mistake, and then cannot tell in which row and column it has read a name.
        """
        names = [_name(grid[row][column]) for row, column in places]
        answer = "nothing" if names[-1] == "empty" else names[-1]
        question = rng.choice(RELATION_QUESTIONS[kind]).format(*ways, names[0])
        if kind in ("next", "far"):
            lines = _along(grid, ways[0])
            ((title, line),) = [each for each in lines if names[0] in map(_name, each[1])]
            start = [_name(cell) for cell in line].index(names[0])
            path = ", ".join(_name(cell) for cell in line[start : start + (3 if kind == "far" else 2)])
            return question, answer, _line(title, line), f"{' '.join(_line(*each) for each in lines)} {path}."
        if kind == "hops":
            shown = " ".join(f"{way} {name}: {stop}." for way, name, stop in zip(ways, names, names[1:], strict=False))
        else:
            shown = _line(f"row {places[0][0] + 1}", grid[places[0][0]])
        labels = ways if kind == "corner" else (names[0], *ways)
        return question, answer, shown, f"{_describe(grid)} {' '.join(map(_at, labels, places))}"

    def _ask_where(self, rng: random.Random, grid: Grid) -> tuple[str, str, str, str]:
        """The same four for the direction from one shape to another."""
        taken = [(row, column) for row, cells in enumerate(grid) for column, cell in enumerate(cells) if cell]
        place, other = rng.sample(taken, 2)
        names = [_name(grid[row][column]) for row, column in (place, other)]
        steps = " ".join(map(_at, names, (place, other)))
        question = rng.choice(RELATION_QUESTIONS["where"]).format(*names)
        return question, _where(place, other), steps, f"{_describe(grid)} {steps}"

    def check(self, problem: Problem, text: str) -> bool:
        """The name with or without an article; a direction by its words in any order."""
        said = normalise(text)
        if problem.facts["kind"] == "where":
            return set(re.findall("above|below|left|right", said)) == set(problem.answer.split())
        return re.sub(r"^(?:an?|the) ", "", said) == problem.answer
