"""What the policy is asked: an episode is a question, the tools that are there, and a judge of the finished trace.

- Problems of the task families, drawn where they teach most: a pair of family and level is drawn by p(1 - p) of its
  running pass rate p, which vanishes where all samples are right or all are wrong (zero-variance groups teach nothing);
  to compress, by p squared: among right answers the price of thinking decides.
- Calls: the conversations of `firesteel.train.calls`, with the tool really called and its result really read.
- Operators: a question together with answers that the policy gave to it, to be refined or to be chosen from; built by
  the functions that Contemplating uses (PDR, arXiv 2510.01123, and AggLM, arXiv 2509.06870, train theirs so too).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from firesteel.agent.contemplate import choice, workspace
from firesteel.agent.tools import Tool
from firesteel.format import STRENGTHS, Message
from firesteel.tasks import get, make
from firesteel.tasks.base import HELD_OUT, Problem
from firesteel.train import calls
from firesteel.train.operators import kinds

_FLOOR = 0.02  # so that what seems mastered or hopeless is still looked at
_SMOOTHING = 0.3


@dataclass(frozen=True)
class Episode:
    """`messages` end with the question; `judge` (of the messages that follow) tells whether they are right."""

    key: str  # family and level, or the kind
    messages: tuple[Message, ...]
    strength: int
    judge: Callable[[Sequence[Message]], bool]
    tools: tuple[Tool, ...] = ()


@dataclass
class Curriculum:
    """Running pass rates of (family, level) pairs, by "family/level"."""

    rates: dict[str, float] = field(default_factory=dict)

    def draw(
        self, rng: random.Random, families: Sequence[str], levels: Sequence[int], mastered: bool = False
    ) -> tuple[str, int]:
        pairs = [(name, level) for name in families for level in levels if level <= get(name).levels]
        weights = []
        for name, level in pairs:
            rate = self.rates.get(f"{name}/{level}", 0.5)
            weights.append((rate**2 if mastered else rate * (1 - rate)) + _FLOOR)
        return rng.choices(pairs, weights)[0]

    def note(self, key: str, pass_rate: float) -> None:
        self.rates[key] = self.rates.get(key, 0.5) * (1 - _SMOOTHING) + pass_rate * _SMOOTHING


def of_problem(problem: Problem, strength: int) -> Episode:
    family = get(problem.family)

    def judge(said: Sequence[Message]) -> bool:
        return family.check(problem, said[-1].text.strip())

    return Episode(f"{problem.family}/{problem.level}", (problem.message,), strength, judge)


def draw_problem(
    rng: random.Random,
    curriculum: Curriculum,
    families: Sequence[str],
    levels: Sequence[int],
    strengths: Sequence[str],
    mastered: bool = False,
) -> Episode:
    """A problem that no evaluation asks: its seed lies below `HELD_OUT`."""
    name, level = curriculum.draw(rng, families, levels, mastered)
    return of_problem(make(name, rng.randrange(HELD_OUT), level), STRENGTHS[rng.choice(strengths)])


def draw_call(rng: random.Random, families: Sequence[str]) -> Episode:
    """A conversation with tools: right are exactly the calls that are needed, and an answer that tells their result.

    A question that needs no tool is of `families`.
    """
    strength = STRENGTHS[rng.choice(("low", "medium", "high"))]
    while True:
        messages, schemas = calls.conversation(rng, strength, families)
        if schemas:
            break
    wanted = [dict(call) for call in messages[1].tool_calls]
    results = {message.name: message.text for message in messages if message.role == "tool"}
    told = messages[-1].text if messages[-1].role == "assistant" and not messages[-1].tool_calls else None

    async def handler_of(name: str) -> str:
        return results.get(name, "done")

    tools = tuple(_tool(schema["function"], handler_of) for schema in schemas)

    def judge(said: Sequence[Message]) -> bool:
        called = [dict(call) for message in said for call in message.tool_calls]
        return called == wanted and (told is None or said[-1].text.strip() == told.strip())

    return Episode("calls", (messages[0],), strength, judge, tools)


def _tool(function: dict, result: Callable) -> Tool:
    async def handler(**arguments: object) -> str:
        return await result(function["name"])

    return Tool(
        name=function["name"],
        description=function.get("description", ""),
        parameters=function["parameters"],
        handler=handler,
    )


def draw_operator(
    rng: random.Random, episode: Episode, answers: Sequence[str], right: Sequence[bool]
) -> Episode | None:
    """A refinement or a choice on an episode's own answers; None where they all say the same.

    A choice is only asked where one of the answers that are shown is right.
    """
    verdict = dict(zip(answers, right, strict=True))
    shown = kinds(rng, answers)
    if len(shown) < 2:
        return None
    if rng.random() < 0.5 or not any(verdict[answer] for answer in shown):
        messages = (*episode.messages, workspace(shown))
        return Episode("refine", messages, episode.strength, episode.judge, episode.tools)

    def judge(said: Sequence[Message]) -> bool:
        number = re.search(r"\d+", said[-1].text)
        return number is not None and 1 <= int(number[0]) <= len(shown) and verdict[shown[int(number[0]) - 1]]

    return Episode("choose", (*episode.messages, choice(shown)), episode.strength, judge)
