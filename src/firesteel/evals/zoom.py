"""Does looking closer pay? The family `tiny`, the same problems four times.

- "at once": the picture alone. "zoom": the model may call `zoom` in the loop that serves users. "region given": the
  harness makes the first call, of the true region, and the model goes on. "crop alone": only what that call shows.
- The gain is the paired difference to "at once". "zoom" below "region given" is a fault of looking in the wrong place,
  "region given" below "crop alone" one of using what was shown, "crop alone" below 1 one of reading.
- `looked` is the share of problems in which some crop held the middle of the target.

Protocol after V* (Wu and Xie 2023, arXiv 2312.14135) and DeepEyes (Zheng et al. 2025, arXiv 2505.14362).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from firesteel.agent import Limits, run
from firesteel.agent.eyes import Eyes, views
from firesteel.agent.tools import Tool
from firesteel.backends import Backend
from firesteel.evals.stats import Difference, paired_bootstrap, wilson
from firesteel.format import Message, Part, ToolCall, Trace
from firesteel.tasks.base import HELD_OUT, Problem
from firesteel.tasks.tiny import Tiny

ONCE = "at once"
_TURNS = 4  # of one answer: three looks


@dataclass(frozen=True)
class Outcome:
    """One problem in one condition."""

    correct: bool
    looked: bool
    tokens: int


@dataclass(frozen=True)
class Row:
    """One condition: accuracy with its 95 % interval, the paired gain over "at once", means."""

    condition: str
    accuracy: float
    low: float
    high: float
    gain: Difference
    looked: float
    tokens: float


Results = dict[str, list[Outcome]]


async def measure(
    backend: Backend,
    n: int,
    seed: int = 0,
    level: int = 3,
    strength: int = 256,
    max_tokens: int = 256,
    on_progress: Callable[[int, int], None] | None = None,
) -> Results:
    """All conditions on the same `n` problems, one at a time. Raises ValueError for what the backend refuses."""
    family, results = Tiny(), Results()
    options: dict[str, Any] = {"strength": strength, "max_tokens": max_tokens, "temperature": 0.0}
    if not 1 <= level <= family.levels:
        raise ValueError(f"The family tiny has levels 1 to {family.levels}, not {level}.")
    for done in range(n):
        problem = family.generate(random.Random(f"tiny/{level}/{HELD_OUT * (seed + 1) + done}"), level)
        for condition, (trace, tools) in (await _conditions(problem)).items():
            found = await _answered(family, problem, trace, backend, tools, options)
            results.setdefault(condition, []).append(found)
        if on_progress:
            on_progress(done + 1, n)
    return results


async def _conditions(problem: Problem) -> dict[str, tuple[Trace, list[Tool]]]:
    """The conversation that each condition begins with, and its tools."""
    assert problem.image is not None
    question = Message("user", [Part(image=problem.image), Part(text=problem.question)])
    where = {"img": 0, "bbox_2d": problem.facts["region"]}
    given = Message("assistant", "", tool_calls=[ToolCall("zoom", where, "call_0")])
    begun = {ONCE: [question], "zoom": [question], "region given": [question, given]}
    found = {}
    for condition, messages in begun.items():
        trace = Trace(messages)
        found[condition] = (trace, [] if condition == ONCE else [_zoom(trace)])
    shown = await _zoom(found["zoom"][0])(where)
    crop = [part for part in shown if part.image is not None]
    found["crop alone"] = (Trace([Message("user", [*crop, Part(text=problem.question)])]), [])
    return found


def _zoom(trace: Trace) -> Tool:
    return next(tool for tool in Eyes(trace).tools() if tool.name == "zoom")


async def _answered(
    family: Tiny, problem: Problem, trace: Trace, backend: Backend, tools: Sequence[Tool], options: dict[str, Any]
) -> Outcome:
    limits = Limits(turns=_TURNS, turn_tokens=options["max_tokens"])
    async with aclosing(run(trace, backend, tools, limits, **options)) as events:
        async for event in events:
            done = event
    last = trace.messages[-1]
    said = done.text == "stop" and last.role == "assistant" and not last.tool_calls
    return Outcome(
        correct=said and family.check(problem, last.text),
        looked=_looked(problem, trace),
        tokens=int(done.data["completion_tokens"]),
    )


def _looked(problem: Problem, trace: Trace) -> bool:
    """Whether a crop of the picture, not all of it, holds the middle of the target."""
    assert problem.image is not None
    left, top, right, bottom = problem.facts["box"]
    x, y = (left + right) / 2 / problem.image.width, (top + bottom) / 2 / problem.image.height
    crops = [view.box for view in views(trace).values() if view.box != (0.0, 0.0, 1.0, 1.0)]
    return any(crop[0] <= x <= crop[2] and crop[1] <= y <= crop[3] for crop in crops)


def summary(results: Results) -> list[Row]:
    once = [float(outcome.correct) for outcome in results[ONCE]]
    rows = []
    for condition, outcomes in results.items():
        right = [float(outcome.correct) for outcome in outcomes]
        rows.append(
            Row(
                condition,
                fmean(right),
                *wilson(int(sum(right)), len(right)),
                paired_bootstrap(right, once),
                fmean(outcome.looked for outcome in outcomes),
                fmean(outcome.tokens for outcome in outcomes),
            )
        )
    return rows
