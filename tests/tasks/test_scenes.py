"""Counting and relations: answers recomputed from the facts, honest pictures, no cheap guess."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from firesteel.tasks.base import Family, Problem
from firesteel.tasks.drawing import COLOURS, overlaps
from firesteel.tasks.scenes import Count, Relation
from tests.tasks import checks

FAMILIES = (Count(), Relation())
SIZES = {1: {(168, 168)}, 2: {(168, 168), (224, 168)}, 3: {(224, 224)}}
WAYS = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}


def names(problem: Problem) -> list[str]:
    return [name for row in problem.facts["grid"] for name in row if name]


def counted(problem: Problem) -> str:
    """The answer from the words of the question and the names in the scene."""
    question = re.sub(r"[.,?]", "", problem.question)

    def number(group: str) -> int:
        words = [word.removesuffix("s") for word in group.split() if word != "shapes"]
        return sum(all(word in name.split() for word in words) for name in names(problem))

    known = set(COLOURS) | {"circles", "squares", "triangles", "stars", "diamonds"}
    groups: list[list[str]] = [[]]
    for word in question.split():
        if word in known or word == "shapes":
            groups[-1].append(word)
        elif groups[-1]:
            groups.append([])
    counts = [number(" ".join(group)) for group in groups if group]
    kind = problem.facts["kind"]
    if kind == "not":
        return str(len(names(problem)) - counts[-1])
    if kind == "more":
        return str(counts[0] - counts[1])
    return " and ".join(map(str, counts))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_counts_are_right(level: int) -> None:
    for problem in checks.draw(Count(), level, 300):
        assert counted(problem) == problem.answer, problem.question
        checks.equations_hold(f"{problem.terse} {problem.full}")


@pytest.mark.parametrize("level", [1, 2, 3])
def test_relations_are_right(level: int) -> None:
    seen = set()
    for problem in checks.draw(Relation(), level, 300):
        assert len(set(names(problem))) == len(names(problem))
        grid = problem.facts["grid"]
        places = {name: (row, column) for row, line in enumerate(grid) for column, name in enumerate(line) if name}
        named = sorted((name for name in places if name in problem.question), key=problem.question.index)
        kind = problem.facts["kind"]
        seen.add(kind)
        if kind == "corner":
            row = 0 if "top" in problem.question else -1
            expected = grid[row][0 if "left corner" in problem.question else -1] or "nothing"
        elif kind == "where":
            one, other = places[named[0]], places[named[1]]
            if problem.question.startswith("Seen"):
                one, other = other, one
            words = {"above": one[0] < other[0], "below": one[0] > other[0]}
            words |= {"left": one[1] < other[1], "right": one[1] > other[1]}
            expected = " ".join(word for word, holds in words.items() if holds)
        else:
            asked = sorted((way for way in WAYS if way in problem.question), key=problem.question.rindex, reverse=True)
            if len(asked) == 1 and problem.question.count(asked[0]) == 2:
                asked *= 2
            row, column = places[named[0]]
            for way in asked:
                stride = 2 if "two places" in problem.question else 1
                row, column = row + stride * WAYS[way][0], column + stride * WAYS[way][1]
            assert row >= 0 and column >= 0
            expected = grid[row][column] or "nothing"
        assert problem.answer == expected, (problem.question, grid)
    assert seen == {1: {"next", "corner"}, 2: {"next", "corner", "far"}, 3: {"far", "hops", "where"}}[level]


@pytest.mark.parametrize("level", [1, 2])
def test_along_one_way_what_is_asked_for_is_read_after_the_name(level: int) -> None:
    for problem in checks.draw(Relation(), level, 200):
        if problem.facts["kind"] not in ("next", "far"):
            continue
        *lines, path, _ = problem.full.split(". ")
        places = path.split(", ")
        assert len(places) == (3 if problem.facts["kind"] == "far" else 2)
        assert sum(path in line for line in lines) == 1 and places[0] in problem.question
        told = sorted(cell for line in lines for cell in line.partition(": ")[2].split(", "))
        assert told == sorted(cell or "empty" for row in problem.facts["grid"] for cell in row)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_pictures_show_what_the_facts_say(family: Family, level: int) -> None:
    for problem in checks.draw(family, level, 60):
        image, boxes = problem.image, problem.facts["boxes"]
        assert image is not None and image.mode == "RGB" and image.size in SIZES[level]
        assert len(boxes) == len(names(problem))
        for index, (box, name) in enumerate(zip(boxes, names(problem), strict=True)):
            assert box[0] >= 0 and box[1] >= 0 and box[2] <= image.width and box[3] <= image.height
            assert 26 <= box[2] - box[0] <= 44
            assert not any(overlaps(box, other) for other in boxes[:index])
            pixel = image.getpixel(((box[0] + box[2]) // 2, (box[1] + box[3]) // 2))
            nearest = min(
                COLOURS, key=lambda colour: sum((a - b) ** 2 for a, b in zip(pixel, COLOURS[colour], strict=True))
            )
            assert nearest == name.split()[0]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_texts_are_short_and_end_in_the_answer(family: Family) -> None:
    for level in (1, 2, 3):
        for problem in checks.draw(family, level, 200):
            assert len(problem.question.split()) <= 12, problem.question
            assert problem.terse.endswith(problem.answer)
            without_counts = re.sub(r"(?<=[a-z])( \d+)+(?=[,.])", "", problem.full)
            if problem.facts["kind"] not in ("next", "far"):  # those read the scene in another direction
                assert without_counts.startswith(problem.caption)
            assert problem.full.endswith(f"So {problem.answer}.")
            assert family.check(problem, problem.answer) and not family.check(problem, "")
            if level == 1:
                assert checks.tokens(problem.caption) <= 50
                assert checks.tokens(problem.terse) <= 50
                assert checks.tokens(problem.full) <= 76


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_guessing_fails(family: Family, level: int) -> None:
    answers = Counter(problem.answer for problem in checks.draw(family, level, 2000))
    assert answers.most_common(1)[0][1] / 2000 <= 0.15


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_seed_names_a_problem(family: Family) -> None:
    checks.is_seeded(family)
    assert checks.phrasings(family) >= 50


def problem_with(family: Family, answer: str, kind: str = "") -> Problem:
    return Problem(family.name, 1, "", answer, "", "", facts={"kind": kind})


@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ("3", "There are 3.", True),
        ("3", "3 circles", True),
        ("3", "13", False),
        ("3", "-3", False),
        ("3", "3.5", False),
        ("3", "1 or 3", False),
        ("3", "three", False),
        ("3 and 2", "3 circles and 2 squares", True),
        ("3 and 2", "3, 2", True),
        ("3 and 2", "2 and 3", False),
        ("3 and 2", "3", False),
    ],
)
def test_count_checker(answer: str, text: str, right: bool) -> None:
    assert Count().check(problem_with(Count(), answer), text) is right


@pytest.mark.parametrize(
    ("kind", "answer", "text", "right"),
    [
        ("next", "blue square", "The blue square.", True),
        ("next", "blue square", "a Blue  Square", True),
        ("next", "blue square", "square", False),
        ("next", "blue square", "blue square or red circle", False),
        ("next", "nothing", "Nothing.", True),
        ("where", "above left", "left above", True),
        ("where", "above left", "above", False),
        ("where", "above left", "above left and right", False),
    ],
)
def test_relation_checker(kind: str, answer: str, text: str, right: bool) -> None:
    assert Relation().check(problem_with(Relation(), answer, kind), text) is right
