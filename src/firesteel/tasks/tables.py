"""Tables of whole numbers with named rows and columns: look a cell up, compare a column, add cells."""

from __future__ import annotations

import random
from typing import Any

from PIL import Image

from firesteel.tasks import drawing, steps
from firesteel.tasks.base import Family, Problem
from firesteel.tasks.drawing import Box, put

ROWS = ("Ann", "Ben", "Cat", "Dan", "Eva", "Fay", "Gus", "Ian", "Joe", "Kim", "Leo", "Mia", "Ned", "Pam", "Sam", "Tom")
COLUMNS = ("pens", "cups", "hats", "eggs", "toys", "keys", "bags", "nuts", "maps", "pins", "cars", "jars")

# {r} and {s} are rows, {c} and {d} columns.
PHRASES = {
    "value": ("how many {c} has {r}?", "what is {r} under {c}?", "read row {r}, column {c}."),
    "largest": ("who has the most {c}?", "which row is largest under {c}?", "name the row with the most {c}."),
    "smallest": ("who has the fewest {c}?", "which row is smallest under {c}?", "name the row with the fewest {c}."),
    "sum": ("how many {c} have {r} and {s} together?", "add the {c} of {r} and {s}.", "{c}: what is {r} plus {s}?"),
    "difference": ("how many more {c} has {r} than {s}?", "{c}: what is {r} minus {s}?"),
    "across": ("how many {c} and {d} has {r} together?", "add the {c} and {d} of {r}.", "{r}: {c} plus {d}?"),
    "total": ("how many {c} are there in all?", "add the whole column {c}.", "what is the total of {c}?"),
}
KINDS = (
    ("value", "value", "value", "value", "largest", "smallest", "sum"),
    ("value", "largest", "smallest", "sum", "difference", "across"),
    ("value", "largest", "difference", "across", "total", "total"),
)


class Table(Family):
    """facts: `rows`, `columns`, `cells` (by row), `kind`, `of` (rows asked for), `under` (columns), `texts` (boxes)."""

    name = "table"
    visual = True
    levels = 3

    def generate(self, rng: random.Random, level: int) -> Problem:
        assert 1 <= level <= self.levels
        height = (3, rng.randint(4, 5), 6)[level - 1]
        width = (2 if rng.random() < 0.5 else 3, 3, 4)[level - 1]
        rows, columns = rng.sample(ROWS, height), rng.sample(COLUMNS, width)
        # Different within a column, so that the most and the fewest are single rows.
        by_column = [rng.sample(range(1, 100), height) for _ in columns]
        cells = [list(row) for row in zip(*by_column, strict=True)]
        image, texts = _draw(rng, level, rows, columns, cells)
        facts = {"rows": rows, "columns": columns, "cells": cells, "texts": texts}
        return _ask(rng, level, image, facts)


def _ask(rng: random.Random, level: int, image: Image.Image, facts: dict[str, Any]) -> Problem:
    rows, columns, cells = facts["rows"], facts["columns"], facts["cells"]
    kind = rng.choice(KINDS[level - 1])
    i, j = rng.sample(range(len(rows)), 2)
    c, d = rng.sample(range(len(columns)), 2)
    if kind == "difference" and cells[i][c] < cells[j][c]:
        i, j = j, i
    r, s, x, y = rows[i], rows[j], cells[i][c], cells[j][c]
    column = [(name, row[c]) for name, row in zip(rows, cells, strict=True)]
    read = steps.reading(column)  # the longest reading that a step needs
    answer: str | int
    if kind == "value":
        answer, long = x, f"{columns[c]} is {x}"
        row = ", ".join(f"{name} {value}" for name, value in zip(columns, cells[i], strict=True))
        read = f"{r}: {row}"
    elif kind in ("largest", "smallest"):
        best = (max if kind == "largest" else min)(column, key=lambda item: item[1])
        answer, long = best[0], steps.winner(column, kind == "largest")
    elif kind == "sum":
        answer, long = x + y, steps.plus(x, y)
    elif kind == "difference":
        answer, long = x - y, steps.minus(x, y)
    elif kind == "across":
        y = cells[i][d]
        answer, long = x + y, steps.plus(x, y)
        read = f"{r}: {columns[c]} {x}, {columns[d]} {y}"
    else:
        values = [value for _, value in column]
        answer, long = sum(values), steps.total(values)
    if not read.startswith(f"{r}:"):
        read = f"{columns[c]}: {read}"
    seen = kind in ("value", "largest", "smallest")
    return Problem(
        family=Table.name,
        level=level,
        question=rng.choice(PHRASES[kind]).format(r=r, s=s, c=columns[c], d=columns[d]),
        answer=str(answer),
        terse=f"{read}. {answer if seen else steps.bare(long)}",
        full=f"{read}. {long}. So {answer}.",
        image=image,
        caption=_caption(rows, columns, cells),
        facts=facts | {"kind": kind, "of": [r, s], "under": [columns[c], columns[d]]},
    )


def _caption(rows: list[str], columns: list[str], cells: list[list[int]]) -> str:
    """ "table: pens cups. Ann 12 40. Ben 7 31." """
    lines = [f"{name} {' '.join(map(str, row))}." for name, row in zip(rows, cells, strict=True)]
    return f"table: {' '.join(columns)}. {' '.join(lines)}"


def _draw(
    rng: random.Random, level: int, rows: list[str], columns: list[str], cells: list[list[int]]
) -> tuple[Image.Image, list[Box]]:
    """The picture and the boxes of all its words and numbers."""
    width, height = ((168, 168), (224, 168), (224, 224))[level - 1]
    image, pen = drawing.canvas(rng, width, height)
    faces = drawing.BOLD_FONTS if level > 1 else ("sans-bold", "stix-bold")
    name = rng.choice(faces)
    # sans-bold runs wide: its headers would touch in three columns
    words = drawing.font(name, 15 if level == 1 and name != "sans-bold" else 14 - len(columns) // 3 * 2)
    numbers = drawing.font(rng.choice(("sans-bold", "mono-bold") if level == 1 else faces), 17 if level == 1 else 12)
    left, top = rng.randint(1, 4), rng.randint(1, 6)
    right, bottom = width - 1 - rng.randint(0, 4), height - 1 - rng.randint(0, 6)
    first = left + 40  # where the first column of numbers begins
    step_x, step_y = (right - first) / len(columns), (bottom - top) / (len(rows) + 1)

    ruled = rng.random() < 0.6
    tint = drawing.vary(rng, (205, 215, 230), 20)
    pen.rectangle((left, top, right, top + step_y), fill=tint)
    if not ruled:
        for row in range(2, len(rows) + 1, 2):
            pen.rectangle((left, top + row * step_y, right, top + (row + 1) * step_y), fill=(255, 255, 255))
    for row in range(len(rows) + 2):
        if ruled or row in (0, 1, len(rows) + 1):
            y = top + row * step_y
            pen.line((left, y, right, y), fill=(120, 120, 120))
    if ruled:
        for x in (left, *(first + index * step_x for index in range(len(columns) + 1))):
            pen.line((x, top, x, bottom), fill=(120, 120, 120))

    texts = []
    for index, column in enumerate(columns):
        texts.append(put(pen, (first + (index + 0.5) * step_x, top + step_y / 2 + 4), column, words, anchor="ms"))
    for index, person in enumerate(rows):
        y = top + (index + 1.5) * step_y
        texts.append(put(pen, (left + 3, y + 5), person, words, anchor="ls"))
        for at, value in enumerate(cells[index]):
            texts.append(put(pen, (first + (at + 0.5) * step_x, y), str(value), numbers))
    return image, texts
