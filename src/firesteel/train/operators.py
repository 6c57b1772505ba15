"""Questions with answers that a policy gave to them: to be answered again in view of them, chosen from, or judged.

The first two are the operators of Contemplating, in its own words (PDR, arXiv 2510.01123, and AggLM, arXiv 2509.06870,
train theirs so too). A pool is a JSONL file, one question a line, that `gather` writes; wrong answers are the policy's
own mistakes, which are harder to tell from right ones than any that are made up.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TextIO

from firesteel.agent.answers import Candidate, clusters
from firesteel.agent.contemplate import choice, workspace
from firesteel.backends import Backend, Request, complete
from firesteel.format import STRENGTHS, Message
from firesteel.tasks import get, make
from firesteel.tasks.base import HELD_OUT, Problem, thought

_SHOWN = 4  # answers in a workspace, as in Contemplating's plan
_MAX_TOKENS = 400


@dataclass(frozen=True)
class Asked:
    """A problem by its seed, the answers that were given to it, and which of them are right."""

    family: str
    level: int
    number: int
    answers: tuple[str, ...]
    right: tuple[bool, ...]

    @property
    def problem(self) -> Problem:
        return make(self.family, self.number, self.level)


async def gather(
    backend: Backend,
    out: Path,
    families: Sequence[str],
    n: int,
    *,
    levels: Sequence[int] = (1, 2),
    samples: int = 6,
    temperature: float = 0.8,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Asks `n` problems of each family and level; those on which the samples disagree are written to `out`, a new file.

    No evaluation asks what it asks. What was found stays when it is cut off. Raises FileExistsError, and ValueError for
    an unknown family and for what the backend refuses.
    """
    rng = random.Random(f"operators/{seed}")
    jobs = [
        (name, level, rng.randrange(HELD_OUT))
        for _ in range(n)
        for level in levels
        for name in families
        if level <= get(name).levels
    ]
    done = 0

    async def work(file: TextIO, waiting: Iterator[tuple[str, int, int]]) -> None:
        nonlocal done
        for name, level, number in waiting:
            problem, family = make(name, number, level), get(name)
            request = Request(
                messages=[problem.message],
                n=samples,
                temperature=temperature,
                strength=STRENGTHS["high"],
                max_tokens=_MAX_TOKENS,
                seed=number % 2**31,
            )
            pool = [s for s in await complete(backend, request) if s.finish_reason == "stop"]
            answers = [answer for s in pool if (answer := s.parse().answer.strip())]
            done += 1
            if len(set(answers)) > 1:
                verdicts = tuple(family.check(problem, answer) for answer in answers)
                asked = Asked(name, level, number, tuple(answers), verdicts)
                file.write(json.dumps(asdict(asked)) + "\n")
                file.flush()
            if on_progress:
                on_progress(done, len(jobs))

    with out.open("x", encoding="utf-8") as file:
        waiting = iter(jobs)
        workers = [asyncio.create_task(work(file, waiting)) for _ in range(2)]
        try:
            await asyncio.gather(*workers)
        finally:  # where one fails, the other must not write to a closed file
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


@lru_cache
def read(path: str) -> list[Asked]:
    """The questions of a pool. Raises FileNotFoundError, and ValueError for a line that is none."""
    pool = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            pool.append(Asked(**row | {"answers": tuple(row["answers"]), "right": tuple(row["right"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}, line {number}: not a question with its answers ({error}).") from error
    return pool


def kinds(rng: random.Random, answers: Sequence[str]) -> list[str]:
    """One answer of each kind, the four most frequent, in an order that does not tell their counts."""
    ranked = clusters([Candidate(number, answer, 0) for number, answer in enumerate(answers) if answer])
    shown = [cluster.members[0].answer for cluster in ranked[:_SHOWN]]
    rng.shuffle(shown)
    return shown


def conversation(rng: random.Random, strength: int, pools: Sequence[str]) -> tuple[list[Message], int]:
    """A question, answers to it, and what is to be said in view of them: worked out, a number, or yes or no.

    Returns the messages and the strength that they belong to: numbers and yes are said without a thought. Raises
    ValueError for a pool that is empty.
    """
    path = rng.choice(pools)
    if not (questions := read(path)):
        raise ValueError(f"{path} holds no question: ask more with firesteel data answers.")
    asked = rng.choice(questions)
    problem = asked.problem
    verdict = dict(zip(asked.answers, asked.right, strict=True))
    shown = kinds(rng, asked.answers)
    kind = rng.random()
    before = problem.message
    if kind < 0.4:
        reply = Message("assistant", problem.answer, thought(problem, strength))
        return [before, workspace(shown), reply], strength
    right = [number for number, answer in enumerate(shown, 1) if verdict[answer]]
    if kind < 0.7 and right:
        return [before, choice(shown), Message("assistant", str(right[0]))], STRENGTHS["none"]
    # As often right as wrong, so that yes is not rarer than no.
    good = [answer for answer in shown if verdict[answer]] or [problem.answer]
    bad = [answer for answer in shown if not verdict[answer]]
    answer = rng.choice(bad if bad and rng.random() < 0.5 else good)
    how = Message("developer", "Is what follows true? Answer yes or no.")  # as a predicate of `/v1/decisions` asks it
    reply = Message("assistant", "yes" if answer in good else "no")
    return [before, how, Message("user", f"The answer is {answer}"), reply], STRENGTHS["none"]
