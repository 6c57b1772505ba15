import random

import pytest

from firesteel.format.images import image_tokens
from firesteel.tasks.tiny import REGION, SIDES, Tiny

FAMILY = Tiny()


def draw(level: int, count: int = 25):
    return [FAMILY.generate(random.Random(f"{level}/{i}"), level) for i in range(count)]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_problems_hold_together(level):
    for problem, again in zip(draw(level, 5), draw(level, 5), strict=True):
        assert problem.image.tobytes() == again.image.tobytes() and problem.answer == again.answer
        assert problem.image.size == (SIDES[level],) * 2
        assert image_tokens(problem.image) == (SIDES[level] // 28) ** 2
        assert problem.terse.endswith(problem.answer) and problem.full.endswith(f"So {problem.answer}.")
        assert FAMILY.check(problem, f'"{problem.answer.lower()}".') and not FAMILY.check(problem, problem.answer + "1")
        assert not FAMILY.check(problem, "")


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_region_holds_the_whole_label_and_lies_in_the_picture(level):
    for problem in draw(level):
        side = problem.image.width
        region = [edge * side / 1000 for edge in problem.facts["region"]]
        left, top, right, bottom = problem.facts["box"]
        assert region[0] <= left and region[1] <= top and right <= region[2] and bottom <= region[3]
        assert min(problem.facts["region"]) >= 0 and max(problem.facts["region"]) <= 1000
        assert region[2] - region[0] == pytest.approx(REGION, abs=1.1)


def test_two_signs_or_more_share_an_image_token():
    for problem in draw(3):
        left, _, right, _ = problem.facts["box"]
        assert (right - left) / len(problem.answer) < 14
        assert problem.facts["box"][3] - problem.facts["box"][1] <= 17


def test_a_code_cannot_be_guessed():
    assert len({problem.answer for problem in draw(1, 150)}) > 140
