import random
import re

import pytest

from firesteel.tasks.albums import Album, families
from tests.tasks.albums import small


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    return Album(small.pages(tmp_path_factory.mktemp("album") / "a.zip"))


def test_every_kind_works(album):
    known = families(album)
    assert list(known) == ["name", "point", "box", "value", "count"]
    for kind, family in known.items():
        for i in range(10):
            problem = family.generate(random.Random(f"{kind}/{i}"), 1)
            assert family.check(problem, problem.answer) and not family.check(problem, "")
            assert problem.image.size == (56, 84) and problem.full.endswith(f"So {problem.answer}.")


def test_values_are_asked_only_where_there_are_some(album):
    family = families(album)["value"]
    for i in range(30):
        problem = family.generate(random.Random(i), 1)
        assert problem.answer in small.NAMES and "text of the Name field" in problem.question


def test_a_control_is_found_by_its_own_box(album):
    family = families(album)["point"]
    problem = next(p for i in range(20) if "Save button" in (p := family.generate(random.Random(i), 1)).question)
    assert family.check(problem, '{"point_2d": [200, 150]}') and not family.check(problem, '{"point_2d": [400, 150]}')


def test_training_and_evaluation_draw_different_pages(album):
    sides = []
    for held_out in (False, True):
        family = families(album, held_out)["name"]
        sides.append({family.generate(random.Random(i), 1).image.getpixel((0, 0)) for i in range(80)})
    assert sides[0] and sides[1] and not sides[0] & sides[1]


def test_the_thought_tells_where_each_control_is_from_top_to_bottom(album):
    for kind in ("point", "box"):
        problem = families(album)[kind].generate(random.Random(1), 1)
        places, chosen = problem.full.split(". ")[:2]
        told = re.findall(r"(\D+) (\d+) (\d+)(?:, |$)", places)
        assert sorted(name.lower() for name, _, _ in told) == sorted(name.lower() for name in problem.facts["labels"])
        assert [int(down) for *_, down in told] == sorted(int(down) for *_, down in told)
        assert chosen.lower() in places.lower()
