"""Contemplating: several agents think about one question in parallel and settle on an answer.

1. Propose: all start from one prefix (a single prefill), at a temperature that lets them differ. Where a few cores
   compute all of them, two start, and the others only if these two disagree.
2. Agree: each finished answer is compared with the others; once the vote cannot sensibly change, the rest is cancelled.
3. Exchange and refine, only on disagreement: every agent reads the same few answers, one of each kind, in random order
   and without their counts, so that a majority cannot persuade by being one; refined answers weigh 1.5.
4. Vote; a tie goes to the shorter thought. Of long answers no two agree: there the model picks one by its number, which
   guards the end: what is answered was always proposed by an agent.

Sources: PaCoRe and RSA (bounded exchange of answers), adaptive consistency (the early stop), early-stopping
self-consistency (few first, Li et al. 2024, arXiv 2401.10480), short-m@k (shortness breaks ties). The ledger tells what
it cost, on the critical path and in all.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from firesteel.agent.answers import LONG, Candidate, Cluster, clusters, settled
from firesteel.agent.events import Emit, Event, watched
from firesteel.agent.limits import Budget, Limits
from firesteel.agent.loop import Permit, deny
from firesteel.agent.schedule import Job, answer_of, race
from firesteel.agent.tools import Tool
from firesteel.backends import Backend, Request, complete
from firesteel.format import Message, Trace

REFINED = 1.5  # the vote of an answer that was given in view of the others
_SHOWN = 1200  # characters of an answer that others read
_REFINE = (
    "Other thinkers answered the same question. Some of their answers may be wrong, perhaps all.\n\n{items}\n\n"
    "Check each by working it out again. Keep your own answer unless you find an error in it; if all are wrong, begin "
    "anew. Then answer the question."
)
_SELECT = (
    "Here are {count} answers to the question above.\n\n{items}\n\n"
    "Which one is correct and most helpful? Reply with its number only."
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to contemplate. `seconds` is the time for all of it: what is not finished by then is left out.

    `rounds` of refinement follow only on disagreement; `items` answers are exchanged; `early` stops on agreement, and
    then only the `first` agents start at once (None: two, or all of them where the backend is `parallel`). At
    temperature 1 a small model's long chains break too often: votes were right 5 points less often than at 0.6.
    """

    agents: int = 8
    rounds: int = 0
    items: int = 4
    seconds: float | None = None
    early: bool = True
    first: int | None = None
    temperature: float = 0.6

    def __post_init__(self) -> None:
        if not 1 <= self.agents <= 64 or self.rounds < 0 or self.items < 2:
            raise ValueError("Contemplating takes 1 to 64 agents, 0 or more rounds and at least 2 items.")
        if self.first is not None and self.first < 2:
            raise ValueError("At least two agents start, or none could disagree.")

    def waves(self, parallel: bool) -> list[range]:
        """The agents, from 0, that start together: all, or some and then the others."""
        first = (self.agents if parallel else 2) if self.first is None else self.first
        if not self.early or first >= self.agents:
            return [range(self.agents)]
        return [range(first), range(first, self.agents)]


@dataclass
class Ledger:
    """What an answer cost; tokens are generated ones unless named.

    `agents_spared` never started, because those before them agreed. `agreement` is the winner's share of the votes.
    """

    total_tokens: int = 0
    critical_path_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0
    agents_started: int = 0
    agents_cancelled: int = 0
    agents_spared: int = 0
    rounds: int = 0
    agreement: float = 0.0


@dataclass
class _State:
    """One contemplation in progress."""

    trace: Trace
    backend: Backend
    plan: Plan
    tools: Sequence[Tool]
    budget: Budget
    permit: Permit
    theirs: Sequence[Mapping[str, Any]]
    options: dict[str, Any]
    emit: Emit
    ledger: Ledger = field(default_factory=Ledger)
    candidates: list[Candidate] = field(default_factory=list)
    said: dict[int, list[Message]] = field(default_factory=dict)  # by agent: what its trace gained
    failures: list[ValueError] = field(default_factory=list)  # of agents that the backend refused or failed


def contemplate(
    trace: Trace,
    backend: Backend,
    plan: Plan | None = None,
    tools: Sequence[Tool] = (),
    limits: Limits | None = None,
    *,
    permit: Permit = deny,
    budget: Budget | None = None,
    theirs: Sequence[Mapping[str, Any]] = (),
    **options: Any,
) -> AsyncGenerator[Event, None]:
    """Answers the last message of `trace`; the winner's messages are appended, its ledger on the last of them.

    Events carry the agent's number (from 1) and the round; `vote` and `done` come last. Only tools that are
    `parallel_safe` are given to the agents. A call to a tool that runs elsewhere (`theirs`) is an answer too: equal
    calls agree. `budget` is given by a run above. Raises ValueError for an empty trace and when the backend refuses or
    fails every agent.
    """
    if not len(trace):
        raise ValueError("The trace is empty: it needs a question.")
    plan = plan or Plan()
    safe = [tool for tool in tools if tool.parallel_safe]
    options = {"temperature": plan.temperature} | options

    async def work(emit: Emit) -> None:
        within = (budget or (limits or Limits()).start()).child(seconds=plan.seconds)
        await _work(_State(trace, backend, plan, safe, within, permit, theirs, options, emit))

    return watched(work)


async def _work(state: _State) -> None:
    began = time.monotonic()
    plan, ledger = state.plan, state.ledger
    await _round(state, list(state.trace), 0)
    for number in range(1, plan.rounds + 1):
        ranked = clusters(state.candidates)
        if len(ranked) < 2 or settled(state.candidates, 0 if _late(state) else plan.agents):
            break
        shown = [cluster.members[0].answer for cluster in ranked[: plan.items]]
        await _round(state, [*state.trace, workspace(shown)], number)
    ranked = clusters(state.candidates)
    if ranked and len(ranked) > 1 and len(ranked[0].members) == 1 and len(ranked[0].members[0].answer) > LONG:
        ranked = await _select(state, ranked[: plan.items])
    ledger.total_tokens, ledger.seconds = state.budget.completion_tokens, round(time.monotonic() - began, 3)
    ledger.prompt_tokens, ledger.cached_tokens = state.budget.prompt_tokens, state.budget.cached_tokens
    reason = "limit"
    if ranked:
        winner = ranked[0].members[0]
        reason = "tool_calls" if state.said[winner.agent][-1].tool_calls else "stop"
        ledger.agreement = round(ranked[0].weight / sum(cluster.weight for cluster in ranked), 4)
        votes = [
            {"answer": c.members[0].answer, "votes": c.weight, "agents": [m.agent for m in c.members]} for c in ranked
        ]
        state.emit(Event(kind="vote", text=winner.answer, agent=winner.agent, data={"clusters": votes}))
        *before, last = state.said[winner.agent]
        for message in [*before, replace(last, usage=last.usage | asdict(ledger))]:
            state.trace.append(message)
        state.emit(Event(kind="message", message=state.trace.messages[-1]))
    elif len(state.failures) == ledger.agents_started:
        raise state.failures[-1]
    else:
        state.emit(Event(kind="limit", text="No agent came to an answer."))
    state.emit(Event(kind="done", text=reason, data=asdict(ledger)))


async def _round(state: _State, prefix: list[Message], number: int) -> None:
    """All agents from one prefix, wave after wave, to agreement or to the end of the time."""
    plan, votes = state.plan, list[Candidate]()
    state.ledger.rounds = number
    clock, deadline = asyncio.get_running_loop().time, state.budget.deadline
    if deadline is not None and number < plan.rounds:  # rounds to come need their share of the time
        deadline -= (deadline - clock()) * 0.35
    for wave in plan.waves(state.backend.parallel):
        if wave.start and settled(votes, plan.agents - wave.start, first=min(3, wave.start)):
            state.ledger.agents_spared += len(wave)
            break
        seconds = None if deadline is None else (deadline - clock()) / (1 if wave.stop == plan.agents else 2)
        votes += await _wave(state, prefix, number, wave, seconds, votes)
    state.candidates += votes


async def _wave(
    state: _State,
    prefix: list[Message],
    number: int,
    agents: range,
    seconds: float | None,
    before: Sequence[Candidate],
) -> list[Candidate]:
    """The votes of these agents, who start at once; `before` are those of agents that started before them."""
    plan, ledger = state.plan, state.ledger
    outstanding = plan.agents - agents.start  # votes that may still come, of later agents too
    options = state.options | {"theirs": state.theirs}
    if options.get("seed") is not None:  # agents that start later draw other samples
        options["seed"] += agents.start
    jobs = [
        Job(
            agent=number * plan.agents + i + 1,
            trace=Trace(list(prefix)),
            budget=state.budget.child(seconds=seconds),
            tools=state.tools,
            options=options,
        )
        for i in agents
    ]
    ledger.agents_started += len(jobs)
    votes: list[Candidate] = []
    ended = 0
    async with aclosing(race(jobs, state.backend, state.permit, state.emit, number)) as outcomes:
        async for job, reason, failure in outcomes:
            ended += 1
            if failure:
                state.failures.append(failure)
            answer = _calls_of(job.trace) if reason == "tool_calls" else answer_of(job.trace)
            if answer and reason in ("stop", "tool_calls"):  # one that was cut short is no vote
                weight = REFINED if number else 1.0
                votes.append(Candidate(job.agent, answer, job.budget.completion_tokens, weight))
                state.said[job.agent] = job.trace.messages[len(prefix) :]
            if plan.early and settled([*before, *votes], outstanding - ended):
                break
    ledger.agents_cancelled += len(jobs) - ended
    ledger.critical_path_tokens += max(job.budget.completion_tokens for job in jobs)
    return votes


def _calls_of(trace: Trace) -> str:
    """The calls of the last message in a form in which equal ones are equal."""
    return json.dumps([[call.name, call.arguments] for call in trace.messages[-1].tool_calls], sort_keys=True)


def _late(state: _State) -> bool:
    deadline = state.budget.deadline
    return deadline is not None and asyncio.get_running_loop().time() >= deadline


def workspace(answers: Sequence[str]) -> Message:
    """What all agents of a round read: one answer of each kind, counts hidden."""
    shown = list(answers)
    # In random order, but the same for all agents, who share the prefix, and for a repetition of the run.
    random.Random("".join(shown)).shuffle(shown)
    return Message("user", _REFINE.format(items=_numbered(shown)))


async def _select(state: _State, ranked: list[Cluster]) -> list[Cluster]:
    """Moves the answer that the model picks to the front; what it says besides a number changes nothing.

    Nor does it if it cannot say one: where it is refused, fails or is late, the votes stand.
    """
    answers = [cluster.members[0].answer for cluster in ranked]
    # Of the options only this one: a demanded call, a schema or a stop string is for answers, not for their number.
    strength = {name: value for name, value in state.options.items() if name == "strength"}
    request = Request(messages=[*state.trace, choice(answers)], temperature=0.0, max_tokens=1024, **strength)
    try:
        async with asyncio.timeout_at(state.budget.deadline):
            (sample,) = await complete(state.backend, request)
    except (ValueError, TimeoutError):
        return ranked
    state.budget.used(sample.prompt_tokens, sample.cached_tokens, sample.completion_tokens)
    state.ledger.critical_path_tokens += sample.completion_tokens
    number = re.search(r"\d{1,9}", sample.parse().answer)
    if number and 1 <= int(number[0]) <= len(ranked):
        ranked.insert(0, ranked.pop(int(number[0]) - 1))
    return ranked


def choice(answers: Sequence[str]) -> Message:
    """Asks for the number, from 1, of the best of these answers."""
    return Message("user", _SELECT.format(count=len(answers), items=_numbered(answers)))


def _numbered(answers: Sequence[str]) -> str:
    return "\n\n".join(f"Answer {number}:\n{answer[:_SHOWN]}" for number, answer in enumerate(answers, 1))
