"""Pointing and boxing: true frames, answers within them, a lenient checker that no garbage breaks or fools."""

from __future__ import annotations

import json
import re

import pytest

from firesteel.tasks.base import Family, Problem
from firesteel.tasks.drawing import overlaps
from firesteel.tasks.interface import BoundingBox, Point, iou
from tests.tasks import checks

FAMILIES = (Point(), BoundingBox())


def target(problem: Problem) -> tuple[float, float, float, float]:
    return problem.facts["boxes"][problem.facts["target"]]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_windows(family: Family, level: int) -> None:
    for problem in checks.draw(family, level, 200):
        image, boxes, labels = problem.image, problem.facts["boxes"], problem.facts["labels"]
        assert image is not None and image.mode == "RGB"
        assert image.size == (168, 168) if level == 1 else image.size in {(168, 168), (224, 168), (224, 224)}
        assert len(boxes) == len(labels) == len(set(labels))
        assert (3 <= len(boxes) <= 5) if level == 1 else (4 <= len(boxes) <= 8)
        for index, box in enumerate(boxes):
            assert all(0 < value < 1000 for value in box)
            assert not any(overlaps(box, other) for other in boxes[:index]), problem.caption
            if level == 1:
                assert (box[2] - box[0]) * 0.168 >= 40 and (box[3] - box[1]) * 0.168 >= 20
        # The controls are drawn: every box holds more than one colour.
        for left, top, right, bottom in boxes:
            crop = (left * image.width, top * image.height, right * image.width, bottom * image.height)
            assert len(image.crop(tuple(round(value / 1000) for value in crop)).getcolors(100_000)) > 1


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_texts(family: Family, level: int) -> None:
    for problem in checks.draw(family, level, 200):
        boxes, labels = problem.facts["boxes"], problem.facts["labels"]
        numbers = next(iter(json.loads(problem.answer).values()))
        middle = [(target(problem)[0] + target(problem)[2]) / 2, (target(problem)[1] + target(problem)[3]) / 2]
        truth = middle if family.name == "point" else target(problem)
        assert all(abs(number - true) <= 5 for number, true in zip(numbers, truth, strict=True))
        assert family.check(problem, problem.answer)
        told = re.findall(r"([a-z ]+?) (\d+) (\d+)[,.]", problem.caption.split(": ", 1)[1])
        assert [label.strip() for label, _, _ in told] == labels
        for (_, x, y), box in zip(told, boxes, strict=True):
            assert box[0] < int(x) < box[2] and box[1] < int(y) < box[3]
        read, _, last = problem.terse.partition(". So ")[0].rpartition(", ")  # as far as the control, and no farther
        assert last.startswith(f"{labels[problem.facts['target']]} ") and f"{read}, {last}".strip(", ") in problem.full
        assert problem.terse.endswith(problem.answer)
        assert problem.full.startswith(problem.caption) and problem.full.endswith(f"So {problem.answer}.")
        assert len(problem.question.split()) <= 12
        if level == 1:
            assert checks.tokens(problem.caption) <= 50 and checks.tokens(problem.full) <= 90


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_question_names_one_control(family: Family, level: int) -> None:
    for problem in checks.draw(family, level, 200):
        asked = re.search(r"\bthe ((?:(?!the ).)*?(?:button|field|checkbox|icon|slider))", problem.question)
        assert asked is not None, problem.question
        words = set(asked[1].removesuffix("button").split())
        fits = [index for index, label in enumerate(problem.facts["labels"]) if words <= set(label.split())]
        if asked[1].endswith("button"):  # a checkbox, say, may be called as a button is; the kind tells them apart
            kinds = ("field", "checkbox", "icon", "slider")
            fits = [index for index in fits if not problem.facts["labels"][index].endswith(kinds)]
        assert fits == [problem.facts["target"]], (problem.question, problem.facts["labels"])


def test_no_constant_point_is_often_right() -> None:
    boxes = [target(problem) for problem in checks.draw(Point(), 1, 2000)]
    grid = [(x, y) for x in range(100, 1000, 25) for y in range(100, 1000, 25)]
    best = max(sum(box[0] <= x <= box[2] and box[1] <= y <= box[3] for box in boxes) for x, y in grid)
    assert best / 2000 <= 0.15


def test_no_constant_box_is_often_right() -> None:
    boxes = [target(problem) for problem in checks.draw(BoundingBox(), 1, 2000)]
    assert max(sum(iou(guess, box) >= 0.5 for box in boxes) for guess in boxes[:200]) / 2000 <= 0.15


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_seed_names_a_problem(family: Family) -> None:
    checks.is_seeded(family)
    assert checks.phrasings(family) >= 50


FACTS = {"target": 1, "boxes": [(0, 0, 100, 100), (200, 300, 600, 500)]}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('{"point_2d": [400, 400]}', True),
        ('[{"point_2d": [400, 400], "label": "ok"}]', True),
        ("The point is (400, 400).", True),
        ("x 400 y 400", True),
        ("200.5 300.5", True),
        ('{"point_2d": [50, 50]}', False),
        ("400", False),
        ("400 400 400", False),
        ('{"point_2d": [400, 1400]}', False),
        ('{"point_2d": [-400, 400]}', False),
        ('{"bbox_2d": [200, 300, 600, 500]}', False),
        ("4" * 5000, False),
        ("[[[[", False),
        ("nan inf", False),
        ("", False),
    ],
)
def test_point_checker(text: str, right: bool) -> None:
    assert Point().check(Problem("point", 1, "", "", "", "", facts=FACTS), text) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('{"bbox_2d": [200, 300, 600, 500]}', True),
        ('{"bbox_2d": [220, 310, 640, 520]}', True),
        ("200 300 600 500", True),
        ("box: 200, 300, 600, 500.", True),
        ('{"bbox_2d": [0, 0, 1000, 1000]}', False),
        ('{"bbox_2d": [600, 500, 200, 300]}', False),
        ('{"bbox_2d": [400, 400, 400, 400]}', False),
        ('{"bbox_2d": [200, 300, 600]}', False),
        ('{"bbox_2d": [0, 0, 100, 100]}', False),
        ('{"point_2d": [400, 400]}', False),
        ("{}", False),
        ("", False),
    ],
)
def test_box_checker(text: str, right: bool) -> None:
    assert BoundingBox().check(Problem("box", 1, "", "", "", "", facts=FACTS), text) is right


def test_iou() -> None:
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 2, 2), (2, 2, 3, 3)) == 0
