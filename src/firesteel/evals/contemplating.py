"""Does thinking in parallel pay? Every strategy on the same problems, against tokens, critical path and seconds.

- One pool of samples a problem (one request) serves majority@N, short-k@N and best-of-N: their accuracy
  and tokens are exact, only their seconds are not measured.
- One thinker (greedy) and Contemplating run for real, one problem at a time, on an otherwise idle backend.
- "One thinker, longer" is the strongest thought that the model was trained for (strength 512) with all agents' tokens
  to spend: what a single chain can do with the same compute.
- Differences are paired over problems, with bootstrap intervals; seeds are different problems and different samples.
- Each problem is written down when all strategies have met it, so that a run that was cut off goes on where it was.

Protocol: short-m@k (Hassid et al. 2025, arXiv 2505.17813) takes the majority of the m shortest of k chains.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any, NamedTuple

from firesteel.agent import Event, Limits, run
from firesteel.agent.answers import Candidate, clusters
from firesteel.agent.contemplate import Plan, contemplate
from firesteel.backends import Backend, Completion, Request, complete
from firesteel.evals.record import Lines
from firesteel.evals.stats import Difference, paired_bootstrap, wilson
from firesteel.format import Message, Trace
from firesteel.tasks import get, make
from firesteel.tasks.base import Problem, held_out

HIGH, LONGER = 256, 512
ONE = "one thinker"


@dataclass(frozen=True)
class Outcome:
    """One problem under one strategy; `seconds` is None where only tokens are known."""

    correct: bool
    total_tokens: int
    critical_tokens: int
    seconds: float | None = None


Results = dict[str, list[Outcome]]
Met = dict[str, Outcome]  # what every strategy made of one problem


class Key(NamedTuple):
    """A problem, and the seed of its samples."""

    family: str
    number: int
    seed: int


@dataclass(frozen=True)
class Settings:
    """What all problems of a record have in common; `model` names the weights."""

    model: str
    level: int = 1
    max_tokens: int = 512
    agents: tuple[int, ...] = (1, 2, 4, 8, 16)
    temperature: float = Plan.temperature  # of all but the lone thinkers


class Record:
    """Finished problems, in a file (`record.Lines`) if `path` is one."""

    def __init__(self, settings: Settings, path: Path | None = None) -> None:
        self.settings, self.met = settings, dict[Key, Met]()
        self._lines = None if path is None else Lines(path, settings, self._keep)

    def _keep(self, row: dict[str, Any]) -> None:
        self.met[Key(*row["problem"])] = {name: Outcome(**told) for name, told in row["outcomes"].items()}

    def add(self, key: Key, met: Met) -> None:
        self.met[key] = met
        if self._lines is not None:
            outcomes = {name: asdict(outcome) for name, outcome in met.items()}
            self._lines.append({"problem": key, "outcomes": outcomes})

    def results(self, keys: Sequence[Key]) -> Results:
        """The outcomes of those of these problems that are finished, in the same order for every strategy."""
        results: Results = {}
        for key in keys:
            for strategy, outcome in self.met.get(key, {}).items():
                results.setdefault(strategy, []).append(outcome)
        return results


def problems(families: Sequence[str], n: int, seeds: Sequence[int]) -> list[Key]:
    """`n` of each family and seed; those of the first seed come first. Raises ValueError for unknown families."""
    for name in families:
        get(name)
    return [Key(name, held_out(seed, i), seed) for seed in seeds for name in families for i in range(n)]


async def measure(
    backend: Backend, keys: Sequence[Key], record: Record, on_progress: Callable[[], None] = lambda: None
) -> None:
    """All strategies on the problems that the record does not have yet. Raises ValueError for what is refused."""
    settings = record.settings
    for key in keys:
        if key not in record.met:
            problem = make(key.family, key.number, settings.level)
            record.add(key, await _all(backend, problem, settings, key.seed))
        on_progress()


async def _all(backend: Backend, problem: Problem, settings: Settings, seed: int) -> Met:
    question, agents, max_tokens = problem.message, settings.agents, settings.max_tokens
    most = max(agents)
    limits = Limits(turn_tokens=max_tokens)
    found: dict[str, Outcome] = {}
    one: dict[str, Any] = {"strength": HIGH, "temperature": 0.0, "max_tokens": max_tokens}
    found[ONE] = await _live(problem, question, lambda trace: run(trace, backend, (), limits, **one))
    longer = Limits(turn_tokens=max_tokens * most)
    more: dict[str, Any] = {"strength": LONGER, "temperature": 0.0, "max_tokens": max_tokens * most}
    found["one thinker, longer"] = await _live(problem, question, lambda trace: run(trace, backend, (), longer, **more))
    options: dict[str, Any] = {"strength": HIGH, "max_tokens": max_tokens, "seed": seed * 1009 + 7}
    options["temperature"] = settings.temperature
    request = Request(messages=[question], n=most, logprobs=0, **options)
    found |= _from_pool(problem, await complete(backend, request), agents, seed)
    plans = [Plan(agents=k) for k in agents if k > 1]
    if 8 in agents:
        plans += [Plan(agents=8, first=8), Plan(agents=8, rounds=1), Plan(agents=8, rounds=2)]
    for plan in plans:
        name = f"contemplating, {plan.agents} agents" + (f", {plan.rounds} rounds" if plan.rounds else "")
        name += " at once" if plan.first else ""

        def think(trace: Trace, plan: Plan = plan) -> AsyncGenerator[Event, None]:
            return contemplate(trace, backend, plan, (), limits, **options)

        found[name] = await _live(problem, question, think)
    return found


async def _live(problem: Problem, question: Message, start: Callable[[Trace], AsyncGenerator[Event, None]]) -> Outcome:
    trace = Trace([question])
    began = perf_counter()
    async with aclosing(start(trace)) as events:
        async for event in events:
            done = event
    seconds = perf_counter() - began
    total = int(done.data.get("total_tokens", done.data.get("completion_tokens", 0)))
    critical = int(done.data.get("critical_path_tokens", total))
    last = trace.messages[-1]
    right = done.text == "stop" and last.role == "assistant" and get(problem.family).check(problem, last.text)
    return Outcome(right, total, critical, seconds)


def _from_pool(problem: Problem, pool: Sequence[Completion], agents: Sequence[int], seed: int) -> dict[str, Outcome]:
    """What voting over the first N of the pool would have done."""
    order = random.Random(seed).sample(range(len(pool)), len(pool))
    answers = []
    for place in order:
        sample = pool[place]
        said = sample.parse().answer.strip() if sample.finish_reason == "stop" else ""
        score = fmean([token.logprob for token in sample.logprobs]) if sample.logprobs else 0.0
        answers.append((Candidate(place, said, sample.completion_tokens), score))

    def outcome(chosen: Sequence[Candidate], total: int, critical: int) -> Outcome:
        ranked = clusters([c for c in chosen if c.answer])
        right = bool(ranked) and get(problem.family).check(problem, ranked[0].members[0].answer)
        return Outcome(right, total, critical)

    found = {}
    for k in agents:
        some = [candidate for candidate, _ in answers[:k]]
        total, longest = sum(c.length for c in some), max(c.length for c in some)
        found[f"majority@{k}"] = outcome(some, total, longest)
        if k < 2:
            continue
        ranked = sorted(some, key=lambda c: c.length)
        for m in (1, 3):
            if m < k:
                cut = ranked[m - 1].length  # the others are stopped there
                found[f"short-{m}@{k}"] = outcome(ranked[:m], sum(min(c.length, cut) for c in some), cut)
        best = max(answers[:k], key=lambda pair: pair[1])[0]
        found[f"best of {k}"] = outcome([best], total, longest)
    return found


@dataclass(frozen=True)
class Row:
    """One strategy: accuracy with its 95 % interval, means per problem, and the paired difference to one thinker."""

    strategy: str
    accuracy: float
    low: float
    high: float
    total_tokens: float
    critical_tokens: float
    seconds: float | None
    gain: Difference


def summary(results: Results) -> list[Row]:
    rows = []
    base = [float(outcome.correct) for outcome in results[ONE]]
    for strategy, outcomes in results.items():
        right = sum(outcome.correct for outcome in outcomes)
        seconds = [outcome.seconds for outcome in outcomes if outcome.seconds is not None]
        rows.append(
            Row(
                strategy=strategy,
                accuracy=right / len(outcomes),
                **dict(zip(("low", "high"), wilson(right, len(outcomes)), strict=True)),
                total_tokens=fmean(outcome.total_tokens for outcome in outcomes),
                critical_tokens=fmean(outcome.critical_tokens for outcome in outcomes),
                seconds=fmean(seconds) if seconds else None,
                gain=paired_bootstrap([float(outcome.correct) for outcome in outcomes], base),
            )
        )
    return rows


def to_json(results: Results) -> dict[str, Any]:
    return {
        "strategies": [asdict(row) for row in summary(results)],
        "outcomes": {strategy: [asdict(outcome) for outcome in outcomes] for strategy, outcomes in results.items()},
    }


def plot(rows: Sequence[Row], path: Any) -> None:
    """Accuracy against total tokens, critical-path tokens and seconds, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    kinds = {"one thinker": "o", "majority": "s", "short": "^", "best": "v", "contemplating": "*"}
    for axis, (name, title) in zip(
        axes,
        (("total_tokens", "total tokens"), ("critical_tokens", "critical-path tokens"), ("seconds", "seconds")),
        strict=True,
    ):
        for index, (kind, marker) in enumerate(kinds.items()):
            points = [(getattr(row, name), row) for row in rows if row.strategy.startswith(kind)]
            points = [(x, row) for x, row in points if x is not None]
            if points:
                errors = [[row.accuracy - row.low for _, row in points], [row.high - row.accuracy for _, row in points]]
                axis.errorbar(
                    [x for x, _ in points],
                    [row.accuracy for _, row in points],
                    yerr=errors,
                    fmt=marker,
                    color=f"C{index}",
                    label=kind,
                    alpha=0.8,
                )
        axis.set_xscale("log")
        axis.set_xlabel(f"{title} per problem")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy")
    axes[0].legend()
    figure.savefig(path, dpi=120)
