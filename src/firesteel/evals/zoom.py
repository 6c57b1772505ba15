"""Does looking closer pay, and looking together? The family `tiny`, the same problems in each condition.

- "at once": the picture alone. "zoom": the model may call `zoom` in the loop that serves users. "region given": the
  harness makes the first call, of the true region, and the model goes on. "crop alone": only what that call shows.
- The gain is the paired difference to "at once". "zoom" below "region given" is a fault of looking in the wrong place,
  "region given" below "crop alone" one of using what was shown, "crop alone" below 1 one of reading.
- With `agents`, two more: "zoom, longer" is one thinker at the strongest thought with the tokens of all, "zoom, N
  agents" is Contemplating with the tool. What matters there is the difference to "zoom", and the seconds.
- `looked` is the share of problems in which some crop held the middle of the target.

Protocol after V* (Wu and Xie 2023, arXiv 2312.14135) and DeepEyes (Zheng et al. 2025, arXiv 2505.14362).
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from statistics import fmean
from time import perf_counter
from typing import Any

from firesteel.agent import Event, Limits, run
from firesteel.agent.contemplate import Plan, contemplate
from firesteel.agent.eyes import Eyes, views
from firesteel.agent.tools import Tool
from firesteel.backends import Backend
from firesteel.evals.stats import Difference, paired_bootstrap, wilson
from firesteel.format import STRENGTHS, Message, Part, ToolCall, Trace
from firesteel.tasks.base import Problem, held_out
from firesteel.tasks.tiny import Tiny

ONCE, ZOOM = "at once", "zoom"
_TURNS = 4  # of one answer: three looks


@dataclass(frozen=True)
class Outcome:
    """One problem in one condition."""

    correct: bool
    looked: bool
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """One condition: accuracy with its 95 % interval, the paired gains over "at once" and over "zoom", means."""

    condition: str
    accuracy: float
    low: float
    high: float
    gain: Difference
    over_zoom: Difference
    looked: float
    tokens: float
    seconds: float


Results = dict[str, list[Outcome]]


async def measure(
    backend: Backend,
    n: int,
    seed: int = 0,
    level: int = 3,
    strength: int = 256,
    max_tokens: int = 256,
    agents: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Results:
    """All conditions on the same `n` problems, one at a time. Raises ValueError for what the backend refuses."""
    family, results = Tiny(), Results()
    options: dict[str, Any] = {"strength": strength, "max_tokens": max_tokens, "temperature": 0.0}
    if not 1 <= level <= family.levels:
        raise ValueError(f"The family tiny has levels 1 to {family.levels}, not {level}.")
    for done in range(n):
        problem = family.generate(random.Random(f"tiny/{level}/{held_out(seed, done)}"), level)
        for condition, (trace, tools) in (await _conditions(problem)).items():
            events = run(trace, backend, tools, _limits(max_tokens), **options)
            results.setdefault(condition, []).append(await _answered(family, problem, trace, events))
        if agents:
            for condition, (trace, events) in _together(problem, backend, options, agents, done).items():
                results.setdefault(condition, []).append(await _answered(family, problem, trace, events))
        if on_progress:
            on_progress(done + 1, n)
    return results


async def _conditions(problem: Problem) -> dict[str, tuple[Trace, list[Tool]]]:
    """The conversation that each condition begins with, and its tools."""
    assert problem.image is not None
    question = problem.message
    where = {"img": 0, "bbox_2d": problem.facts["region"]}
    given = Message("assistant", "", tool_calls=[ToolCall("zoom", where, "call_0")])
    begun = {ONCE: [question], ZOOM: [question], "region given": [question, given]}
    found = {}
    for condition, messages in begun.items():
        trace = Trace(messages)
        found[condition] = (trace, [] if condition == ONCE else [_zoom(trace)])
    shown = await _zoom(found[ZOOM][0])(where)
    crop = [part for part in shown if part.image is not None]
    found["crop alone"] = (Trace([Message("user", [*crop, Part(text=problem.question)])]), [])
    return found


def _together(
    problem: Problem, backend: Backend, options: dict[str, Any], agents: int, number: int
) -> dict[str, tuple[Trace, AsyncGenerator[Event, None]]]:
    """What one thinker and several do with the tool and the tokens of `agents` thinkers."""
    alone, shared = Trace([problem.message]), Trace([problem.message])
    limits, most = _limits(options["max_tokens"], agents), options["max_tokens"] * agents
    longer = options | {"strength": STRENGTHS["xhigh"], "max_tokens": most}
    drawn = options | {"temperature": Plan.temperature, "seed": number}
    return {
        "zoom, longer": (alone, run(alone, backend, [_zoom(alone)], _limits(most), **longer)),
        f"zoom, {agents} agents": (
            shared,
            contemplate(shared, backend, Plan(agents=agents), [_zoom(shared)], limits, **drawn),
        ),
    }


def _limits(turn_tokens: int, agents: int = 1) -> Limits:
    return Limits(turns=_TURNS * agents, turn_tokens=turn_tokens)


def _zoom(trace: Trace) -> Tool:
    return next(tool for tool in Eyes(trace).tools() if tool.name == "zoom")


async def _answered(family: Tiny, problem: Problem, trace: Trace, events: AsyncGenerator[Event, None]) -> Outcome:
    began = perf_counter()
    async with aclosing(events):
        async for event in events:
            done = event
    last = trace.messages[-1]
    said = done.text == "stop" and last.role == "assistant" and not last.tool_calls
    return Outcome(
        correct=said and family.check(problem, last.text),
        looked=_looked(problem, trace),
        tokens=int(done.data.get("total_tokens", done.data.get("completion_tokens", 0))),
        seconds=perf_counter() - began,
    )


def _looked(problem: Problem, trace: Trace) -> bool:
    """Whether a crop of the picture, not all of it, holds the middle of the target."""
    assert problem.image is not None
    left, top, right, bottom = problem.facts["box"]
    x, y = (left + right) / 2 / problem.image.width, (top + bottom) / 2 / problem.image.height
    crops = [view.box for view in views(trace).values() if view.box != (0.0, 0.0, 1.0, 1.0)]
    return any(crop[0] <= x <= crop[2] and crop[1] <= y <= crop[3] for crop in crops)


def summary(results: Results) -> list[Row]:
    once, zoomed = ([float(outcome.correct) for outcome in results[condition]] for condition in (ONCE, ZOOM))
    rows = []
    for condition, outcomes in results.items():
        right = [float(outcome.correct) for outcome in outcomes]
        rows.append(
            Row(
                condition,
                fmean(right),
                *wilson(int(sum(right)), len(right)),
                paired_bootstrap(right, once),
                paired_bootstrap(right, zoomed),
                fmean(outcome.looked for outcome in outcomes),
                fmean(outcome.tokens for outcome in outcomes),
                fmean(outcome.seconds for outcome in outcomes),
            )
        )
    return rows
