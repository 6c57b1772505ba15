"""Reading: what is drawn is what is answered, in legible type and in full."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from PIL import Image

from firesteel.tasks.base import Problem
from firesteel.tasks.drawing import overlaps
from firesteel.tasks.reading import LONG_WORDS, SHORT_WORDS, Reading
from tests.tasks import checks

READING = Reading()


def test_the_word_lists_are_large_and_clean() -> None:
    words = SHORT_WORDS + LONG_WORDS
    assert len(set(words)) == len(words) >= 500
    assert all(word.isalpha() and word.islower() for word in words)
    assert {len(word) for word in SHORT_WORDS} == {3, 4, 5}
    assert {len(word) for word in LONG_WORDS} == {6, 7, 8, 9}


@pytest.mark.parametrize("level", [1, 2, 3])
def test_answers_and_texts(level: int) -> None:
    for problem in checks.draw(READING, level, 300):
        lines, asked = problem.facts["lines"], problem.facts["asked"]
        assert (asked > 0) == ("line" in problem.question)
        wanted = [lines[asked - 1]] if asked else lines
        assert " ".join(wanted).lower() == problem.answer.lower()
        assert problem.terse.endswith(problem.answer) and problem.full.endswith(f"So {problem.answer}.")
        for line in wanted:
            assert " ".join(line).lower() in problem.terse.lower()
        for line in lines:
            assert f"{' '.join(line)}, {line}".lower() in problem.caption.lower()
        assert len(problem.question.split()) <= 12
        if level == 1:
            assert len(lines) == 1 and 3 <= len(lines[0]) <= 5
            assert checks.tokens(problem.caption) <= 50 and checks.tokens(problem.full) <= 60


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_ink_stays_inside_and_lines_apart(level: int) -> None:
    for problem in checks.draw(READING, level, 100):
        image = problem.image
        assert image is not None and image.mode == "RGB"
        assert image.size == (168, 168) if level == 1 else image.size in {(168, 168), (224, 168), (224, 224)}
        ground = Image.new("RGB", image.size, image.getpixel((0, 0)))
        frame = [image.crop(edge) for edge in ((0, 0, image.width, 1), (0, 0, 1, image.height))]
        frame += [image.crop((0, image.height - 1, *image.size)), image.crop((image.width - 1, 0, *image.size))]
        assert all(strip.tobytes() == ground.crop((0, 0, *strip.size)).tobytes() for strip in frame)
        boxes = problem.facts["boxes"]
        assert not any(overlaps(box, other) for index, box in enumerate(boxes) for other in boxes[:index])
        if level == 1:
            line = problem.facts["lines"][0]
            tall = line.isupper() or any(letter in "bdfhklt" for letter in line)
            assert not tall or boxes[0][3] - boxes[0][1] >= 20


def test_half_are_words_and_codes_are_unambiguous() -> None:
    answers = [problem.answer for problem in checks.draw(READING, 1, 2000)]
    codes = [answer for answer in answers if not answer.isalpha()]
    assert 0.4 < len(codes) / 2000 < 0.6
    for code in codes:
        assert not set(code) & set("01OI") and code.isupper()
        assert not any(one.isalpha() and two.isalpha() for one, two in pairwise(code))
    assert Counter(answers).most_common(1)[0][1] / 2000 < 0.02


def test_a_seed_names_a_problem() -> None:
    checks.is_seeded(READING)
    assert checks.phrasings(READING) >= 3


@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ("house", "House.", True),
        ("house", '"HOUSE"', True),
        ("house", "h o u s e", True),
        ("K7M2", "k7m2", True),
        ("snake U2B", "snake\nU2B", True),
        ("house", "houses", False),
        ("house", "it says house", False),
        ("house", "", False),
        ("K7M2", "K7M", False),
    ],
)
def test_checker(answer: str, text: str, right: bool) -> None:
    assert READING.check(Problem("reading", 1, "", answer, "", ""), text) is right
