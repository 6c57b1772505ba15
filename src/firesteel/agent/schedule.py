"""Several agents at once: equal requests become one, answers come in the order in which they are ready.

Subagents (different tasks) and Contemplating (the same task) are both `race`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from firesteel.agent.events import Emit, Event
from firesteel.agent.limits import Budget
from firesteel.agent.loop import Permit, run
from firesteel.agent.tools import Tool
from firesteel.backends import Backend, Delta, Request
from firesteel.format import Trace

_GATHER = 0.002  # seconds in which equal requests find each other


@dataclass(frozen=True, kw_only=True)
class Job:
    """One agent's work. `agent` is its number in the events, from 1."""

    agent: int
    trace: Trace
    budget: Budget
    tools: Sequence[Tool] = ()
    options: dict[str, Any] = field(default_factory=dict)


async def race(
    jobs: Sequence[Job], backend: Backend, permit: Permit, emit: Emit, round: int = 0
) -> AsyncGenerator[tuple[Job, str, ValueError | None], None]:
    """Runs the jobs at once; yields each with the reason of its end, the first to end first.

    Closing the generator cancels the others. An agent that the backend fails ends with the reason "error", and with
    what it raised.
    """
    joined = Joined(backend)

    async def follow(job: Job) -> tuple[Job, str, ValueError | None]:
        reason, failure = "error", None
        try:
            async with aclosing(
                run(job.trace, joined, job.tools, permit=permit, budget=job.budget, **job.options)
            ) as events:
                async for event in events:
                    if event.kind == "done":
                        reason = event.text
                    else:
                        emit(replace(event, agent=job.agent, round=round))
        except ValueError as error:
            failure = error
            emit(Event(kind="error", text=str(error), agent=job.agent, round=round))
        return job, reason, failure

    tasks = []
    for job in jobs:
        emit(Event(kind="agent_started", agent=job.agent, round=round))
        tasks.append(asyncio.create_task(follow(job)))
    waiting = {job.agent for job in jobs}
    try:
        for following in asyncio.as_completed(tasks):
            job, reason, failure = await following  # a defect of a tool ends everything
            waiting.discard(job.agent)
            emit(Event(kind="agent_finished", text=answer_of(job.trace), agent=job.agent, round=round))
            yield job, reason, failure
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for agent in sorted(waiting):
            emit(Event(kind="agent_cancelled", agent=agent, round=round))


def answer_of(trace: Trace) -> str:
    """What the last message says, if it is an answer."""
    last = trace.messages[-1]
    return last.text if last.role == "assistant" and not last.tool_calls else ""


class Joined:
    """A backend that puts the equal requests of several agents as one with `n` samples, so that they share one prefill.

    Equal are requests over the very same messages with the same options, put within two milliseconds.
    """

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.tokenizer, self.context = backend.tokenizer, backend.context
        self.slots, self.parallel = backend.slots, backend.parallel
        self._backend = backend
        self._gathering: dict[Any, _Group] = {}

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        assert request.n == 1
        key = (tuple(map(id, request.messages)), repr(replace(request, messages=())))
        group = self._gathering.get(key)
        if group is None:
            group = self._gathering[key] = _Group(request)
            group.work = asyncio.create_task(self._pump(key, group))
        queue: asyncio.Queue[Delta | Exception | None] = asyncio.Queue()
        group.members.append(queue)
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield replace(item, index=0)
                if item.finish_reason:  # the others may go on
                    return
        finally:
            group.left += 1
            if group.left == len(group.members) and group.work:
                if self._gathering.get(key) is group:
                    del self._gathering[key]
                group.work.cancel()
                await asyncio.gather(group.work, return_exceptions=True)

    async def close(self) -> None:
        """The backend belongs to somebody else."""

    async def _pump(self, key: Any, group: _Group) -> None:
        await asyncio.sleep(_GATHER)
        del self._gathering[key]
        failure: Exception | None = None
        try:
            request = replace(group.request, n=len(group.members))
            async with aclosing(self._backend.stream(request)) as deltas:
                async for delta in deltas:
                    group.members[delta.index].put_nowait(delta)
        except Exception as error:  # a defect too: nobody may wait for ever
            failure = error
        for member in group.members:
            member.put_nowait(failure)


@dataclass
class _Group:
    request: Request
    members: list[asyncio.Queue[Delta | Exception | None]] = field(default_factory=list)
    left: int = 0
    work: asyncio.Task[None] | None = None
