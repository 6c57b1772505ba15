"""What every visual family must hold, whatever it draws."""

import random
import re
from collections import Counter

from firesteel.tasks import drawing
from firesteel.tasks.base import Family, Problem


def draw(family: Family, level: int, count: int) -> list[Problem]:
    return [family.generate(random.Random(f"{family.name}/{level}/{index}"), level) for index in range(count)]


def tokens(text: str) -> int:
    """About what a small vocabulary needs: words, single digits, single signs."""
    return len(re.findall(r"[A-Za-z]+|\d|[^\w\s]", text))


def equations_hold(text: str) -> None:
    """Every "35+27=62" or "7x5=35" in the text is true."""
    for left, right in re.findall(r"([\d+x/-]+)=(\d+)", text):
        assert eval(left.replace("x", "*")) == int(right), text


def holds_contract(family: Family, count: int = 100) -> None:
    for level in range(1, family.levels + 1):
        for problem in draw(family, level, count):
            assert (problem.family, problem.level) == (family.name, level)
            assert family.check(problem, problem.answer)
            assert family.check(problem, f" {problem.answer.upper()}. ")
            assert not family.check(problem, problem.answer + "1")
            assert not family.check(problem, "")
            for solution in (problem.terse, problem.full):
                assert solution.rstrip(".").endswith(problem.answer)
            assert problem.full.endswith(f"So {problem.answer}.")
            assert problem.image is not None and problem.image.mode == "RGB"
            allowed = {(168, 168)} if level == 1 else {(168, 168), (224, 168), (224, 224)}
            assert problem.image.size in allowed
            assert len(problem.question.split()) <= 12
            assert problem.question == problem.question.strip() and "{" not in problem.question
            assert problem.caption.endswith(".")
            equations_hold(f"{problem.terse} {problem.full}")
            if level == 1:
                assert tokens(problem.caption) <= 40
                assert tokens(problem.terse) <= 36
                assert tokens(problem.full) <= 60
            texts = problem.facts["texts"]
            for index, box in enumerate(texts):
                assert drawing.clear(box, texts[:index], problem.image.size, gap=1), (problem.caption, box)


def is_seeded(family: Family) -> None:
    for level in range(1, family.levels + 1):
        for one, two in zip(draw(family, level, 10), draw(family, level, 10), strict=True):
            assert one.image is not None and two.image is not None
            assert one.image.tobytes() == two.image.tobytes()
            fields = ("question", "answer", "terse", "full", "caption", "facts")
            assert all(getattr(one, name) == getattr(two, name) for name in fields)
    assert len({problem.image.tobytes() for problem in draw(family, 1, 20) if problem.image}) == 20


def resists_guessing(family: Family, limit: float = 0.12) -> None:
    """Neither the commonest answer nor the commonest answer to a question's wording is right often."""
    seen = draw(family, 1, 2000)
    answers = Counter(problem.answer for problem in seen)
    assert answers.most_common(1)[0][1] / len(seen) <= limit
    by_wording: dict[str, Counter[str]] = {}
    for problem in seen:
        names = problem.facts.get("of", []) + problem.facts.get("under", [])
        wording = " ".join("_" if word.strip(".?,:") in names else word for word in problem.question.split())
        by_wording.setdefault(wording, Counter())[problem.answer] += 1
    assert sum(counter.most_common(1)[0][1] for counter in by_wording.values()) / len(seen) <= 0.15


def phrasings(family: Family, level: int = 1) -> int:
    return len({problem.question for problem in draw(family, level, 200)})
