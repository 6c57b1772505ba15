"""Asks a backend many generated problems and checks what it answers.

The problems of an evaluation are held out by their seeds: seed s asks the problems numbered HELD_OUT * (s + 1) + i,
and training draws below HELD_OUT. Families with a small space of questions (a product of two digits by one has some
hundreds) still meet a question again by chance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter

from PIL import Image

from firesteel.agent.turn import Turn
from firesteel.backends.base import Backend, Request
from firesteel.evals.report import Report, Sample
from firesteel.tasks import get, make
from firesteel.tasks.base import Problem, held_out


async def evaluate(
    backend: Backend,
    families: Sequence[str],
    n: int,
    seed: int = 0,
    level: int = 1,
    strength: int = 256,
    blank_images: bool = False,
    concurrency: int = 8,
    temperature: float = 0.0,
    on_progress: Callable[[int, int], None] | None = None,
    max_tokens: int = 1024,
) -> Report:
    """Asks `n` problems of each family, at most `concurrency` at a time.

    `blank_images` puts a uniform grey picture of the same size in the place of every picture: what is still right then
    was not seen. `on_progress(done, total)` is called after every sample. A cancelled evaluation cancels its requests.

    Raises ValueError for an unknown family, a level that a family does not have, nothing to ask, and whatever request
    the backend refuses.
    """
    if not families or n < 1 or concurrency < 1:
        raise ValueError("An evaluation needs at least one family, one problem each and one request at a time.")
    for name in families:
        if not 1 <= level <= get(name).levels:
            raise ValueError(f"Family {name} has levels 1 to {get(name).levels}, not {level}.")
    jobs = [(name, held_out(seed, i)) for name in families for i in range(n)]
    samples: dict[int, Sample] = {}
    waiting = iter(enumerate(jobs))

    async def work() -> None:
        # Problems are drawn when their turn comes, so that the pictures of thousands never lie in memory together.
        for index, (name, number) in waiting:
            problem = make(name, number, level)
            asked = blanked(problem) if blank_images else problem
            request = Request(
                messages=[asked.message],
                strength=strength,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=number % 2**31 if temperature > 0 else None,
            )
            samples[index] = await _ask(backend, request, problem, number)
            if on_progress:
                on_progress(len(samples), len(jobs))

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(jobs)))]
    try:
        await asyncio.gather(*workers)
    finally:  # a refused request or a cancellation ends the others too
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    settings = {
        "backend": backend.name,
        "families": list(families),
        "n": n,
        "seed": seed,
        "level": level,
        "strength": strength,
        "blank_images": blank_images,
        "temperature": temperature,
        "max_tokens": max_tokens,
    }
    return Report(settings, [samples[index] for index in range(len(jobs))])


def blanked(problem: Problem) -> Problem:
    """The same question about a uniform grey picture of the same size."""
    if problem.image is None:
        return problem
    return replace(problem, image=Image.new("RGB", problem.image.size, (128, 128, 128)))


async def _ask(backend: Backend, request: Request, problem: Problem, number: int) -> Sample:
    """One request to its end."""
    start = perf_counter()
    turn = Turn(lambda event: None)
    try:
        await turn.run(backend, request)
    except ValueError:
        if turn.finish_reason != "error":  # refused, and not failed on the way
            raise
    got = turn.close().answer.strip()
    truncated, failed = turn.finish_reason == "length", turn.finish_reason == "error"
    family = get(problem.family)
    return Sample(
        family=problem.family,
        seed=number,
        visual=family.visual,
        question=problem.question,
        expected=problem.answer,
        got=got,
        correct=not truncated and not failed and family.check(problem, got),
        thinking_tokens=turn.reasoning_tokens,
        answer_tokens=turn.completion_tokens - turn.reasoning_tokens,
        truncated=truncated,
        failed=failed,
        seconds=perf_counter() - start,
    )
