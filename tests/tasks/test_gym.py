"""reasoning-gym's tasks keep our contract: a seed names a problem, right is right, and no answer is ever run."""

import builtins
import json
import os
import subprocess
import sys

import pytest

from firesteel.tasks import FAMILIES, get, gym, make
from firesteel.tasks.base import Problem

pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed: pip install 'firesteel[rl]'")

SLOW = {"arc_agi", "codeio", "figlet_font", "futoshiki", "group_anagrams", "zebra_puzzles"}  # > 50 ms each
FAST = [gym.PREFIX + task for task in gym.names() if task not in SLOW]
PRINT_ALL = (
    "import sys, json; from firesteel.tasks import make; "
    "print(json.dumps([[(p.question, p.answer) for p in (make(n, 3), make(n, 4))] for n in sys.argv[1:]])); "
    "assert 'torch' not in sys.modules"
)


def check(problem: Problem, text: str) -> bool:
    return get(problem.family).check(problem, text)


@pytest.mark.parametrize("name", FAST)
def test_the_library_answer_passes_and_wrong_ones_fail(name: str) -> None:
    for seed in range(3):
        problem = make(name, seed)
        assert (problem.family, problem.level, problem.terse, problem.full) == (name, 1, "", "")
        assert problem.question and check(problem, problem.answer) and check(problem, f" {problem.answer}\n")
        for wrong in ("", "no idea", "9" * 5000, "[" * 5000, "nan+1", "1e999"):
            assert not check(problem, wrong)


def test_partial_credit_is_wrong() -> None:
    problem = make("gym:chain_sum", 0)
    assert not check(problem, f"It is {problem.answer}") and not check(problem, problem.answer + "1")


def test_a_seed_names_a_problem_in_every_process() -> None:
    here = json.loads(json.dumps([[(p.question, p.answer) for p in (make(n, 3), make(n, 4))] for n in FAST]))
    assert all(first != second for first, second in here)
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    run = subprocess.run([sys.executable, "-c", PRINT_ALL, *FAST], env=environment, capture_output=True, check=True)
    assert json.loads(run.stdout) == here


@pytest.mark.parametrize("task", gym.PLAIN)
def test_what_a_model_wrote_is_not_run(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, ran = make(gym.PREFIX + task, 0), []
    monkeypatch.setattr(builtins, "firesteel_ran", lambda: ran.append(task) or [[1]], raising=False)
    for text in ("firesteel_ran()", "[firesteel_ran()]", "1+firesteel_ran()", "9**9**9**9", "9* *9**9**9"):
        assert not check(problem, text)
    assert not ran


def test_what_is_left_out_says_why() -> None:
    assert len(gym.names()) == 89 and set(FAST) < {gym.PREFIX + task for task in gym.names()}
    assert set(gym.LEFT_OUT) | SLOW | set(gym.PLAIN) <= set(gym._library().DATASETS)
    with pytest.raises(ValueError, match="no answer of its own"):
        make("gym:boxnet", 0)
    with pytest.raises(ValueError, match="gym:chain_sum"):
        get("gym:chess")
    with pytest.raises(ValueError, match="levels 1 to 1"):
        make("gym:chain_sum", 0, level=2)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    gym.family.cache_clear()
    with pytest.raises(ValueError, match=r"firesteel\[rl\]"):
        get("gym:chain_sum")


def test_it_stands_in_no_list() -> None:
    assert not any(name.startswith(gym.PREFIX) for name in FAMILIES)
    assert get("gym:chain_sum") is get("gym:chain_sum")
