"""What every family owes: determinism, distinct streams, honest solutions, answers that cannot be guessed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from firesteel.tasks import FAMILIES, make
from firesteel.tasks.base import Problem, thought

TEXT = [name for name, family in FAMILIES.items() if not family.visual]


def plain(problem: Problem) -> tuple[str, str, str, str]:
    return problem.question, problem.answer, problem.terse, problem.full


def test_the_registry_is_complete() -> None:
    assert len(FAMILIES) == 22
    assert len(TEXT) == 11
    assert all(name == family.name and family.levels >= 1 for name, family in FAMILIES.items())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_works(name: str) -> None:
    family = FAMILIES[name]
    for level in range(1, family.levels + 1):
        for seed in range(5):
            problem, again = make(name, seed, level), make(name, seed, level)
            assert plain(problem) == plain(again)
            assert (problem.family, problem.level) == (name, level)
            assert (problem.image is not None) == family.visual == bool(problem.caption)
            if problem.image is not None:
                assert problem.image.tobytes() == again.image.tobytes()
            assert family.check(problem, problem.answer)
            assert not family.check(problem, "")
            assert not family.check(problem, "no idea")


@pytest.mark.parametrize("name", TEXT)
def test_solutions_end_with_the_answer(name: str) -> None:
    for level in (1, 2, 3):
        for seed in range(200):
            problem = make(name, seed, level)
            assert problem.terse.endswith(problem.answer), problem
            assert problem.full.endswith(f"So {problem.answer}."), problem
            assert thought(problem, 512) == f"{problem.full}\nCheck: {problem.full}"


def test_a_terse_thought_is_about_half_of_the_full_one() -> None:
    shares = []
    for name in FAMILIES:
        problems = [make(name, seed) for seed in range(40)]
        terse, full = (sum(len(thought(p, strength).split()) for p in problems) for strength in (16, 64))
        shares.append(terse / full)
    assert max(shares) < 0.85 and sum(shares) / len(shares) < 0.65


@pytest.mark.parametrize("name", TEXT)
def test_level_one_is_short(name: str) -> None:
    problems = [make(name, seed) for seed in range(500)]
    assert max(len(problem.question.split()) for problem in problems) <= 25
    assert sum(len(problem.full) for problem in problems) / 500 <= 100
    assert all("{" not in problem.question for problem in problems)
    openings = Counter(" ".join(problem.question.split()[:2]) for problem in problems)
    assert len(openings) >= 3


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_guessing_fails(name: str, level: int) -> None:
    answers = Counter(make(name, seed, level).answer for seed in range(2000))
    assert answers.most_common(1)[0][1] / 2000 <= 0.15


def test_streams_are_independent() -> None:
    assert len({make("chain_sum", seed).question for seed in range(500)}) > 490
    # The same draws would give the same first number in two families that draw alike.
    assert make("strings", 1, 2).question != make("strings", 1, 3).question


def test_unknown_names_and_levels_are_explained() -> None:
    with pytest.raises(ValueError, match="chain_sum"):
        make("chess", 0)
    with pytest.raises(ValueError, match="levels 1 to 3, not 4"):
        make("chain_sum", 0, level=4)
    with pytest.raises(ValueError, match="not 0"):
        make("chain_sum", 0, level=0)


def test_a_problem_is_the_same_in_every_process_without_torch() -> None:
    code = "from firesteel.tasks import make; print(make('logic', 5).question)"
    code += "; import sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == make("logic", 5).question
