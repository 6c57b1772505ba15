"""Held-out photographs, icons and pages of an album: accuracy of each kind of question against chance.

- Chance is what a blind answerer gets. Where the question names the options, it is one in so many; elsewhere it is the
  share of the one fixed answer that does best on these very questions (chosen knowing the truth: the bar is rather too
  high). The margin that may be claimed is the lower end of the 95 % interval less chance.
- `blank_images` asks again over grey pictures: what the model itself gets without seeing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from firesteel.backends import Backend, Request, complete
from firesteel.evals.run import blanked
from firesteel.evals.stats import wilson
from firesteel.tasks.albums import Album, families
from firesteel.tasks.base import Family, Problem, held_out


@dataclass(frozen=True)
class Score:
    """One kind of question: accuracy with its 95 % interval, and chance."""

    kind: str
    n: int
    correct: int
    low: float
    high: float
    chance: float

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    @property
    def margin(self) -> float:
        """How much better than chance it surely is; negative where that is not sure."""
        return self.low - self.chance


async def measure(
    backend: Backend,
    album: Album,
    kinds: Sequence[str] = (),
    n: int = 50,
    seed: int = 0,
    strength: int = 256,
    blank_images: bool = False,
    max_tokens: int = 512,
    concurrency: int = 4,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Score]:
    """Asks `n` questions of each kind (all that the album has where none is named) about held-out pictures.

    Raises ValueError for an unknown kind, an album without held-out pictures, and whatever the backend refuses.
    """
    known = families(album, held_out=True)
    for kind in kinds:
        if kind not in known:
            raise ValueError(f"{album.path} has no questions of kind {kind}. There are: {', '.join(known)}.")
    asked = {kind: known[kind] for kind in kinds or known}
    done, gate = 0, asyncio.Semaphore(concurrency)

    async def ask(family: Family, problem: Problem) -> bool:
        nonlocal done
        message = (blanked(problem) if blank_images else problem).message
        request = Request(messages=[message], strength=strength, temperature=0.0, max_tokens=max_tokens)
        async with gate:
            (said,) = await complete(backend, request)
        done += 1
        if on_progress:
            on_progress(done, n * len(asked))
        return said.finish_reason == "stop" and family.check(problem, said.parse().answer.strip())

    scores = []
    for kind, family in asked.items():
        problems = [family.generate(random.Random(f"{kind}/{held_out(seed, i)}"), 1) for i in range(n)]
        tasks = [asyncio.create_task(ask(family, problem)) for problem in problems]
        try:
            correct = sum(await asyncio.gather(*tasks))
        finally:  # a refused request or a cancellation ends the others too
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        scores.append(Score(kind, n, correct, *wilson(correct, n), chance(family, problems)))
    return scores


def chance(family: Family, problems: Sequence[Problem]) -> float:
    """The accuracy of whoever answers these problems of one family without looking."""
    if all("options" in problem.facts for problem in problems):
        return fmean(1 / len(problem.facts["options"]) for problem in problems)
    answers = {problem.answer for problem in problems}
    return max(fmean(family.check(problem, answer) for problem in problems) for answer in answers)
