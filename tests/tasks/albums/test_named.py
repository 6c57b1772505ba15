import random
import re

import pytest
from PIL import Image

from firesteel.tasks.albums import Album, Record, families, webp, write_album
from tests.tasks.albums import small


@pytest.fixture(scope="module", params=["photographs", "icons"])
def album(request, tmp_path_factory):
    return Album(getattr(small, request.param)(tmp_path_factory.mktemp("album") / "a.zip"))


def drawn(album, kind: str, count: int = 60, held_out: bool = False):
    family = families(album, held_out)[kind]
    return family, [family.generate(random.Random(f"{kind}/{i}"), 1) for i in range(count)]


def test_every_kind_works_and_is_seeded(album):
    for kind in ("name", "choose", "side", "box", "count"):
        family, problems = drawn(album, kind, 12)
        again = drawn(album, kind, 12)[1]
        for problem, other in zip(problems, again, strict=True):
            assert (problem.question, problem.answer) == (other.question, other.answer)
            assert problem.image.tobytes() == other.image.tobytes() and problem.image.mode == "RGB"
            assert max(problem.image.size) <= 224
            assert family.check(problem, problem.answer)
            assert not family.check(problem, "") and not family.check(problem, "no idea")
            assert problem.terse.endswith(problem.answer) and problem.full.endswith(f"So {problem.answer}.")
            assert problem.caption.endswith(".") and problem.caption[0].isupper() == (kind != "count")


def test_an_article_is_as_good_as_none(album):
    family, problems = drawn(album, "name")
    problem = next(p for p in problems if p.answer == "ox")
    assert family.check(problem, "An ox.") and not family.check(problem, "a cup") and not family.check(problem, "oxen")


def test_the_right_name_is_among_the_four(album):
    for problem in drawn(album, "choose")[1]:
        assert problem.answer in problem.facts["options"] and len(set(problem.facts["options"])) == 4
        assert all(option in problem.question for option in problem.facts["options"])


def test_both_sides_at_once_are_no_answer(album):
    family, problems = drawn(album, "side", 20)
    assert {problem.answer for problem in problems} == {"left", "right"}
    assert family.check(problems[0], f"On the {problems[0].answer}.")
    assert not family.check(problems[0], "left or right")


def test_the_boxes_are_where_the_pictures_were_pasted(tmp_path):
    problems = drawn(Album(small.photographs(tmp_path / "a.zip")), "box")[1]
    for problem in problems:
        across = problem.image.width / 1000
        ground = problem.image.getpixel((0, 0))
        for left, top, right, bottom in problem.facts["boxes"]:
            inside = [round(left * across) + 1, round(top * across) + 1]
            assert problem.image.getpixel(tuple(inside)) != ground
            assert problem.image.getpixel((round(left * across) - 1, inside[1])) == ground
            assert problem.image.getpixel((round(right * across), inside[1])) == ground
            assert problem.image.getpixel((inside[0], round(bottom * across))) == ground


def test_the_thought_tells_where_each_picture_is(album):
    for problem in drawn(album, "box", 20)[1]:
        told = re.findall(r"([A-Za-z ]+) (\d+) (\d+)(?:, |\.)", problem.full.split(". ")[0] + ".")
        assert len(told) == len(problem.facts["boxes"])
        for (_, across, down), (left, top, right, bottom) in zip(told, problem.facts["boxes"], strict=True):
            assert left <= int(across) <= right and top <= int(down) <= bottom


def test_as_many_are_shown_as_the_answer_says(album):
    problems = drawn(album, "count")[1]
    assert {problem.answer for problem in problems} == set("12345")
    for problem in problems:
        wanted = re.search(r"(?: show| of) an? (.+)[.?]", problem.question)[1]
        names = [name.strip() for row in problem.caption.split(".") for name in row.split(":")[-1].split(",")]
        assert names.count(wanted) == int(problem.answer)


def test_a_name_with_few_pictures_is_asked_as_often_as_others(tmp_path):
    problems = drawn(Album(small.photographs(tmp_path / "a.zip")), "name", 400)[1]
    shares = [sum(p.answer == name for p in problems) / 400 for name in small.NAMES]
    assert min(shares) > 0.13


def test_a_black_drawing_takes_a_colour_even_where_it_fills_its_square(tmp_path):
    square = webp(Image.new("RGBA", (40, 40), "black"))
    records = ((Record(f"set/{i}", "square", {"tint": True}), square) for i in range(20))
    write_album(tmp_path / "a.zip", "icons", {}, records)
    family = families(Album(tmp_path / "a.zip"))["name"]
    colours = {family.generate(random.Random(i), 1).image.getpixel((56, 56)) for i in range(12)}
    assert len(colours) > 6
