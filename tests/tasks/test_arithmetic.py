"""Sums, products and equations: the answers against an independent calculation, the steps against their own claims."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from firesteel.tasks import FAMILIES, make
from firesteel.tasks.arithmetic import split, times


@pytest.mark.parametrize("level", [1, 2, 3])
def test_chain_sum_is_the_sum_of_the_question(level: int) -> None:
    lengths = set()
    for seed in range(300):
        problem = make("chain_sum", seed, level)
        signed = re.sub(
            r" *(\+|-|plus|minus) *", lambda sign: "-" if sign[1] in ("-", "minus") else "+", problem.question
        )
        terms = re.findall(r"[-+]?\d+", signed)
        assert sum(map(int, terms)) == int(problem.answer), problem.question
        lengths.add(len(terms))
    assert lengths == {level + 1, level + 2, level + 3}


@pytest.mark.parametrize("level", [1, 2, 3])
def test_product_multiplies_the_two_numbers(level: int) -> None:
    for seed in range(300):
        problem = make("product", seed, level)
        left, right = map(int, re.findall(r"\d+", problem.question))
        assert left * right == int(problem.answer), problem.question


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_solution_satisfies_the_equation(level: int) -> None:
    for seed in range(300):
        problem = make("equation", seed, level)
        left, right = re.search(r"([\w+\-() ]*) = ([\w+\-() ]*\d|[\w+\-() ]*[a-z]\b)", problem.question).groups()
        letter = re.search(r"\d([a-z])\b|\(([a-z])", problem.question)
        name = letter.group(1) or letter.group(2)
        sides = []
        for side in (left, right):
            side = re.sub(r"^.*(Solve|If|Find \w:)", "", side).strip()
            side = re.sub(r"(\d)([a-z(])", r"\1*\2", side).split(" for ")[0]
            sides.append(Fraction(eval(side, {name: int(problem.answer)})))
        assert sides[0] == sides[1], problem.question


@pytest.mark.parametrize("family", ["chain_sum", "product", "equation", "word_problem", "sequence", "bases"])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_written_calculation_is_true(family: str, level: int) -> None:
    claims = 0
    for seed in range(200):
        problem = make(family, seed, level)
        for text in (problem.terse, problem.full):
            for claim, result in re.findall(r"(?<![\w+*/=-])([\d+*/-]*\d)=(-?\d+)(?![\w*/])", text):
                if re.search(r"[+*/-]", claim[1:]) and "rest" not in text:
                    assert eval(claim) == int(result), (claim, result, text)
                    claims += 1
    assert claims > 200


def test_an_equation_may_be_answered_as_one() -> None:
    problem = make("equation", 3)
    family = FAMILIES["equation"]
    assert family.check(problem, f"x = {problem.answer}.")
    assert not family.check(problem, f"x = {int(problem.answer) + 1}")


def test_times_and_split() -> None:
    assert split(307) == [300, 7]
    assert split(0) == [0]
    assert times(47, 6) == "40*6=240, 7*6=42. 240+42: 0+2=2, 4+4=8, 2, 282"
    assert times(8, 60) == "8*60=480"
