"""Asks k samples of every problem under every condition, and keeps what came on disk.

- A condition is a strength, or a baseline: the same model told to be brief, or with its thought cut at a budget.
- All samples of a problem share one request (one prefill), at temperature 1 and one fixed cap; truncated is wrong.
- Problems are those of `evals.run`: held out by their seeds, never shaped by a reward.
- The record is JSON lines: a head with the settings, then one finished (model, condition, problem) each. A run that was
  killed goes on behind its last line; records of the same settings, say of other seeds, merge by `cat`.
- A model is known by the hash of its weights, so that what another said is never taken for its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from os.path import expanduser
from pathlib import Path
from typing import Any, NamedTuple

from firesteel.agent.schedule import Joined
from firesteel.backends import Backend, Request
from firesteel.backends.resolve import PACKAGED
from firesteel.evals.estimators import Shot
from firesteel.evals.record import Lines
from firesteel.evals.run import _ask
from firesteel.format import STRENGTHS, Message, Part, strength_number
from firesteel.tasks import get, make
from firesteel.tasks.base import Problem, held_out

BRIEF = "Be brief: think only as much as you need."


@dataclass(frozen=True)
class Settings:
    """What must be equal for results to be compared: samples of a problem, cap on all tokens of one, temperature."""

    samples: int = 16
    max_tokens: int = 512
    temperature: float = 1.0


@dataclass(frozen=True)
class Condition:
    """How much a model is asked to think. Baselines are those with `brief` or a `budget` (tokens of thought)."""

    name: str
    strength: int
    brief: bool = False
    budget: int | None = None

    @property
    def baseline(self) -> bool:
        return self.brief or self.budget is not None


class Key(NamedTuple):
    """A problem: the arguments of `tasks.make`."""

    family: str
    number: int
    level: int


@dataclass(frozen=True)
class Model:
    """Who is asked. Models of one `arm` (training seeds of one recipe) are reported as one."""

    arm: str
    address: str
    weights: str


@dataclass(frozen=True)
class Pool:
    """The samples of one problem under one condition; `strength` is the condition's."""

    arm: str
    weights: str
    condition: str
    strength: int
    key: Key
    shots: tuple[Shot, ...]


def conditions(strengths: Sequence[str], brief: bool = True, budgets: Sequence[int] = ()) -> list[Condition]:
    """One for each strength (a word or a number), by strength; then the baselines, at the highest of them.

    Raises ValueError for a strength that does not exist, for none, and for a negative budget.
    """
    if not strengths or any(budget < 0 for budget in budgets):
        raise ValueError("Name at least one strength, and budgets of 0 or more tokens.")
    numbers = sorted({strength_number(word) for word in strengths})
    names = {number: word for word, number in STRENGTHS.items()}
    asked = [Condition(names.get(number, str(number)), number) for number in numbers]
    if brief:
        asked.append(Condition("be brief", numbers[-1], brief=True))
    return asked + [Condition(f"budget {budget}", numbers[-1], budget=budget) for budget in sorted(set(budgets))]


def problems(families: Sequence[str], levels: Sequence[int], n: int, seeds: Sequence[int]) -> list[Key]:
    """`n` problems of each family, level and seed; levels that a family lacks are left out.

    Raises ValueError for an unknown family and where nothing is left to ask.
    """
    keys = [
        Key(family, held_out(seed, i), level)
        for seed in seeds
        for family in dict.fromkeys(families)
        for level in levels
        if 1 <= level <= get(family).levels
        for i in range(n)
    ]
    if not keys:
        raise ValueError("There is nothing to ask: name families that have these levels, and at least one problem.")
    return keys


def model_of(argument: str) -> Model:
    """From `ADDRESS` or `NAME=ADDRESS`. A server is taken at its word: its address stands for its weights."""
    name, separator, address = argument.partition("=")
    if not separator or any(mark in name for mark in ":/\\"):  # an address that holds a "=" itself
        name, address = argument, argument
    return Model(name, address, _weights(address))


def _weights(address: str) -> str:
    path = Path(expanduser(address.removeprefix("hf:")))
    if address == PACKAGED:
        path = Path(str(resources.files("firesteel"))) / "assets" / PACKAGED
    files = [path] if path.is_file() else sorted([*path.glob("*.safetensors"), *path.glob("*.gguf")])
    if not files:
        return address
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()[:16]


class Record:
    """The file of finished pools (`record.Lines`)."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._pools: dict[tuple[str, str, int, Key], Pool] = {}
        self._lines = Lines(path, settings, lambda row: self._keep(_pool(row)))

    def find(self, model: Model, condition: Condition, key: Key) -> Pool | None:
        """The pool, under the arm's present name; whoever has the same weights has answered already."""
        found = self._pools.get((model.weights, condition.name, condition.strength, key))
        return found and replace(found, arm=model.arm)

    def append(self, pool: Pool) -> None:
        self._lines.append(asdict(pool))
        self._keep(pool)

    def _keep(self, pool: Pool) -> None:
        self._pools[pool.weights, pool.condition, pool.strength, pool.key] = pool


def _pool(row: dict[str, Any]) -> Pool:
    shots = tuple(Shot(**shot) for shot in row["shots"])
    return Pool(**row | {"key": Key(*row["key"]), "shots": shots})


Job = tuple[Model, Condition, Key]


def plan(models: Iterable[Model], asked: Sequence[Condition], keys: Sequence[Key]) -> list[Job]:
    """All that there is to ask, problem by problem; baselines are asked of the first arm alone."""
    models = list(models)
    return [
        (model, condition, key)
        for model in models
        for key in keys
        for condition in asked
        if not condition.baseline or model.arm == models[0].arm
    ]


def missing(jobs: Sequence[Job], record: Record) -> list[Job]:
    return [job for job in jobs if record.find(*job) is None]


async def ask(
    backend: Backend,
    jobs: Sequence[Job],
    record: Record,
    settings: Settings,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Asks the jobs of one model, one after the other, and appends each to the record as it ends.

    Raises ValueError for what the backend refuses; what ended before is kept.
    """
    last: tuple[Key, Problem] | None = None
    for model, condition, key in jobs:
        if last is None or last[0] != key:
            last = key, make(*key)
        shots = await _sample(backend, last[1], key, condition, settings)
        record.append(Pool(model.arm, model.weights, condition.name, condition.strength, key, shots))
        on_progress()


async def _sample(
    backend: Backend, problem: Problem, key: Key, condition: Condition, settings: Settings
) -> tuple[Shot, ...]:
    question = problem.message
    if condition.brief:
        question = Message("user", [*question.parts, Part(text="\n" + BRIEF)])
    request = Request(
        messages=[question],
        strength=condition.strength,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=key.number % 2**31,
        thinking_budget=condition.budget,
    )
    joined = Joined(backend)
    samples = await asyncio.gather(*(_ask(joined, request, problem, key.number) for _ in range(settings.samples)))
    return tuple(Shot(s.got, s.correct, s.thinking_tokens, s.answer_tokens, s.truncated, s.failed) for s in samples)


def powers(k: int) -> list[int]:
    """1, 2, 4, ... and k itself: the j of the pass@j that k samples tell."""
    return sorted({2**i for i in range(int(math.log2(k)) + 1)} | {k})
