"""What happens while a trace grows. Everybody who watches (terminal, API, app, training) reads this one stream.

A tool may run agents of its own, and agents share their tools: `ABOVE` tells a tool which run called it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from firesteel.agent.limits import Budget
from firesteel.format import Message, ToolCall, Trace

Kind = Literal[
    "reasoning",  # new text of the thought
    "commentary",  # said to the user while the turn goes on
    "content",  # new text of the answer
    "tokens",  # where log-probabilities were asked: `data` holds ids, logprobs, and whether each is said to the user
    "tool_call",  # a call was read
    "tool_started",
    "tool_finished",  # `message` is the result
    "permission",  # a tool that changes something waits for the user's word; `data` holds id and seconds
    "permitted",  # the word came, or the time was up: `data` holds id and answer
    "message",  # the assistant's message is in the trace; `data` holds the stop string that ended it, as `stop`
    "error",  # a sentence about something that went wrong and was told to the model
    "limit",  # which limit ended the run
    "agent_started",
    "agent_finished",  # `text` is its answer
    "agent_cancelled",
    "vote",  # `data` holds the clusters of answers
    "done",  # `text` is the reason (stop, length, limit, tool_calls), `data` the ledger
]


@dataclass(frozen=True, kw_only=True)
class Event:
    """`agent` numbers the agents of a run from 0 (the run itself); `round` those of Contemplating."""

    kind: Kind
    text: str = ""
    agent: int = 0
    round: int = 0
    call: ToolCall | None = None
    message: Message | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


Emit = Callable[[Event], None]


async def watched(work: Callable[[Emit], Coroutine[Any, Any, None]]) -> AsyncGenerator[Event, None]:
    """Does `work` in a task of its own and yields what it emits, then raises what it raised.

    Closing the generator, or cancelling whoever reads it, cancels the work and waits until it has ended.
    """
    queue: asyncio.Queue[Event | None] = asyncio.Queue()
    task = asyncio.create_task(work(queue.put_nowait))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (event := await queue.get()) is not None:
            yield event
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@dataclass(frozen=True)
class Above:
    """The run in whose tool one is: where its events go, what it may use, and what was said in it."""

    emit: Emit
    budget: Budget
    trace: Trace


ABOVE: ContextVar[Above | None] = ContextVar("the run above", default=None)
