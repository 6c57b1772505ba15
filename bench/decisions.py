"""Calibration of `/v1/decisions`: fits a temperature on some seeds, tests it on others.

    python bench/decisions.py [MODEL] [--count 30]

Choices are text tasks with four options (those of the question, or the answer and near misses); predicates say of one
option that it is the answer, half of them rightly. ECE is the expected calibration error in ten bins of equal width
(of the chosen option, or of "true"), AUC the chance that a true statement gets more than a false one.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import re
from collections.abc import Sequence

from firesteel.backends import Backend, open_backend
from firesteel.format import Part
from firesteel.server import decisions
from firesteel.server.ask import Usage
from firesteel.server.decisions import Question, asked_of, probabilities
from firesteel.tasks import make
from firesteel.tasks.base import HELD_OUT, Problem
from firesteel.tasks.lexicon import NAMES

FAMILIES = ("compare", "logic", "strings", "letters", "sorting")
FIT, TEST = HELD_OUT + 40_000, HELD_OUT + 50_000
Case = tuple[list[float], int]  # log-probabilities of the options, which of them is right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="kindling")
    parser.add_argument("--count", type=int, default=30, help="seeds of each family")
    asked = parser.parse_args()
    asyncio.run(measure(asked.model, asked.count))


async def measure(model: str, count: int) -> None:
    decisions._TEMPERATURES = {}  # what is measured is what the model says
    backend = open_backend(model, slots=1, context=1024)
    try:
        sets = [await ask(backend, range(first, first + count)) for first in (FIT, TEST)]
    finally:
        await backend.close()
    for kind, fitted, tested in zip(("choice", "predicate"), *sets, strict=True):
        best = min((1.1**step for step in range(-10, 60)), key=lambda t: loss(fitted, t))
        print(f"{kind}: fitted on {len(fitted)}, tested on {len(tested)} questions")
        for temperature in (1.0, best):
            print(f"  temperature {temperature:.2f}: {report(kind, tested, temperature)}")


async def ask(backend: Backend, seeds: Sequence[int]) -> tuple[list[Case], list[Case]]:
    """The choices and the predicates."""
    choices, predicates = [], []
    for seed in seeds:
        for family in FAMILIES:
            rng, problem = random.Random(seed), make(family, seed)
            options = options_of(problem, rng)
            if problem.answer not in options or len(options) < 2:
                continue
            values = [{"value": option} for option in options]
            found = await judge(backend, {"type": "choice", "instructions": problem.question, "choices": values})
            choices.append((found, options.index(problem.answer)))
            true = rng.random() < 0.5
            said = problem.answer if true else rng.choice([o for o in options if o != problem.answer])
            statement = f"{problem.question} The answer is {said}."
            predicates.append((await judge(backend, {"type": "predicate", "instructions": statement}), int(not true)))
    return choices, predicates


async def judge(backend: Backend, question: dict[str, object]) -> list[float]:
    asked = asked_of(Question.model_validate(question), [Part(text=str(question["instructions"]))], "question")
    found = await probabilities(backend, [], asked, Usage())
    return [math.log(max(probability, 1e-30)) for probability in found]


def options_of(problem: Problem, rng: random.Random) -> list[str]:
    """What could be the answer; empty where nothing comes to mind."""
    if problem.family == "compare":
        return list(dict.fromkeys(re.findall(r"-?\d+(?:\.\d+)?", problem.question)))
    if problem.family == "logic":
        return list(dict.fromkeys(word for word in re.findall(r"[A-Z][a-z]+", problem.question) if word in NAMES))
    if problem.family == "letters":
        near = [str(int(problem.answer) + step) for step in (0, 1, -1, 2)] if problem.answer.isdecimal() else []
        rng.shuffle(near)
        return near
    between = ", " if ", " in problem.answer else " "
    parts, found = problem.answer.split(between), {problem.answer}
    for _ in range(60 if len(parts) > 1 else 0):
        one, two = rng.sample(range(len(parts)), 2)
        swapped = list(parts)
        swapped[one], swapped[two] = parts[two], parts[one]
        found.add(between.join(swapped))
        if len(found) == 4:
            break
    return rng.sample(sorted(found), len(found))


def flattened(logprobs: Sequence[float], temperature: float) -> list[float]:
    weights = [math.exp((logprob - max(logprobs)) / temperature) for logprob in logprobs]
    return [weight / sum(weights) for weight in weights]


def loss(cases: Sequence[Case], temperature: float) -> float:
    """Mean negative log-likelihood."""
    return -sum(math.log(max(flattened(each, temperature)[right], 1e-12)) for each, right in cases) / len(cases)


def report(kind: str, cases: Sequence[Case], temperature: float) -> str:
    told = [(flattened(logprobs, temperature), right) for logprobs, right in cases]
    if kind == "choice":
        pairs = [(max(found), found.index(max(found)) == right) for found, right in told]
        more = f"accuracy {sum(right for _, right in pairs) / len(pairs):.3f}"
    else:
        pairs = [(found[0], right == 0) for found, right in told]
        wins = [(p > q) + (p == q) / 2 for p, true in pairs if true for q, other in pairs if not other]
        more = f"AUC {sum(wins) / max(1, len(wins)):.2f}"
    mean = sum(probability for probability, _ in pairs) / len(pairs)
    return f"{more}, mean probability {mean:.2f}, ECE {ece(pairs):.3f}, loss {loss(cases, temperature):.2f}"


def ece(pairs: Sequence[tuple[float, bool]]) -> float:
    """The gap between what was said and what was so, over ten bins."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(10)]
    for probability, so in pairs:
        bins[min(9, int(probability * 10))].append((probability, so))
    return sum(abs(sum(p - so for p, so in group)) for group in bins) / len(pairs)


if __name__ == "__main__":
    main()
