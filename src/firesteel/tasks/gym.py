"""The families of reasoning-gym behind our interface: `make("gym:chain_sum", seed=7)` (needs the `rl` extra).

- A task gives a question and an answer only: `terse` and `full` are empty, so it can be asked and rewarded but not
  taught by its own solutions. There is one level, the library's default settings, so that figures compare with others'.
- Right is what the library's `score_answer` gives full marks; its partial credit rewards talk and counts as wrong.
- Some of its checkers evaluate what a model wrote, as Python. Where full marks need none of that (`PLAIN`), anything
  else than the plain form is wrong unread; the others are left out (`LEFT_OUT`), together with tasks that have no
  answer of their own, that are not the same in the next process, and whose checker takes what is wrong.

reasoning-gym 0.1.25 (Stojanovski et al. 2025, arXiv 2505.24760); the lists are what was found in that version.
"""

from __future__ import annotations

import random
import re
from functools import cache
from typing import Any

from firesteel.tasks.base import Family, Problem

PREFIX = "gym:"

_NO_ANSWER = "it has no answer of its own"
_CHANGES = "its problems differ from process to process"
_EVALUATES = "its checker runs what the model wrote"
LEFT_OUT = {
    "boxnet": _NO_ANSWER,
    "graph_color": _NO_ANSWER,
    "propositional_logic": _NO_ANSWER,
    "rubiks_cube": _NO_ANSWER,
    "rush_hour": _NO_ANSWER,
    "isomorphic_strings": _CHANGES,
    "knight_swap": _CHANGES,
    "list_functions": _CHANGES,
    "polynomial_multiplication": _CHANGES,
    "ransom_note": _CHANGES,
    "word_ladder": _CHANGES,
    "intermediate_integration": _EVALUATES,
    "simple_integration": _EVALUATES,
    "game_of_life_halting": "its checker takes any words for False",
    "puzzle24": "its checker takes any four numbers that make 24",
    "bf": "it prints while it draws",
    "composite": "it is a mixture of the others",
}

# The only form in which an answer is shown to a checker that would evaluate it. Powers are no part of countdown.
PLAIN = {
    "binary_matrix": r"[\d\s]+",
    "countdown": r"(?!.*\*\s*\*)[\d\s()+*/-]{1,120}",
    "n_queens": r"[Q_\s]+",
    "spiral_matrix": r"[\d\s-]+",
    "string_insertion": r"[A-Z]+",
}
# What checkers raise for text that they cannot read.
_UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)


class Gym(Family):
    """The task `task` of reasoning-gym; a problem keeps the library's own record in `facts["entry"]`."""

    visual = False
    levels = 1

    def __init__(self, task: str) -> None:
        self.name, self._task = PREFIX + task, task

    def generate(self, rng: random.Random, level: int) -> Problem:
        while True:
            dataset = self._dataset(rng.getrandbits(31))
            entry = dataset[0]
            if dataset.score_answer(entry["answer"], entry) >= 1:  # base_conversion writes 0 as nothing
                break
        return Problem(self.name, level, entry["question"].strip(), entry["answer"], "", "", facts={"entry": entry})

    def check(self, problem: Problem, text: str) -> bool:
        text = text.strip()
        plain = PLAIN.get(self._task)
        if not text or (plain and not re.fullmatch(plain, text, re.DOTALL)):
            return False
        entry = problem.facts["entry"]
        if text == entry["answer"].strip():
            text = entry["answer"]
        try:
            return bool(_checker(self._task).score_answer(text, entry) >= 1)
        except _UNREADABLE:
            return False

    def _dataset(self, seed: int) -> Any:
        return _library().create_dataset(self._task, size=1, seed=seed)


@cache
def family(name: str) -> Gym:
    """The family called `name` ("gym:TASK").

    Raises ValueError where reasoning-gym is missing, for a task that it does not have and for one that is left out.
    """
    task = name.removeprefix(PREFIX)
    if task in LEFT_OUT:
        raise ValueError(f"The reasoning-gym task {task} is left out: {LEFT_OUT[task]}.")
    if task not in _library().DATASETS:
        raise ValueError(f"reasoning-gym has no task {task!r}. It has: {', '.join(map(PREFIX.__add__, names()))}.")
    return Gym(task)


def names() -> list[str]:
    """The tasks that can be asked, without their prefix. Raises ValueError where reasoning-gym is missing."""
    return [task for task in sorted(_library().DATASETS) if task not in LEFT_OUT]


@cache
def _checker(task: str) -> Any:
    """Some data set of the task: `score_answer` reads nothing but the entry it is given."""
    return _library().create_dataset(task, size=1, seed=0)


def _library() -> Any:
    try:
        from reasoning_gym import factory
    except ModuleNotFoundError as error:
        if error.name != "reasoning_gym":
            raise
        raise ValueError("The gym: families need reasoning-gym: pip install 'firesteel[rl]'.") from error
    return factory
