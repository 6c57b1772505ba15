"""The loop: the model speaks, its tools answer, until it says something without calling a tool.

- The trace is the only state: a run may be cut anywhere and begun again on the same trace.
- Events are the only output. The work happens in a task of its own; closing the generator (or cancelling whoever reads
  it) cancels that task and with it the generation, every tool and every agent beneath.
- Calls of one turn run at once; their results are recorded in the order of the calls.
- What a tool complains about is a result like any other. Tools that change something outside the sandbox run only if
  `permit` says so, whoever or whatever talked the model into calling them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from firesteel.agent.events import ABOVE, Above, Emit, Event, watched
from firesteel.agent.limits import Budget, LimitReached, Limits
from firesteel.agent.tools import Tool, ToolError
from firesteel.agent.turn import Turn
from firesteel.backends import Backend, Request
from firesteel.format import Message, ParseEvent, Part, ToolCall, Trace

Permit = Callable[[Tool, ToolCall], Awaitable[bool]]


async def deny(tool: Tool, call: ToolCall) -> bool:
    """The permission of those who gave none."""
    return False


def allow(names: Sequence[str]) -> Permit:
    """Permits the tools of these names."""

    async def permit(tool: Tool, call: ToolCall) -> bool:
        return tool.name in names

    return permit


def run(
    trace: Trace,
    backend: Backend,
    tools: Sequence[Tool] = (),
    limits: Limits | None = None,
    *,
    permit: Permit = deny,
    budget: Budget | None = None,
    **options: Any,
) -> AsyncGenerator[Event, None]:
    """Continues `trace` to the end of the assistant's turn; the last event is `done`.

    `options` are those of a `Request` (strength, temperature, seed, …). `budget` is given by a run above, whose limits
    then hold for both. A trace that ends with a whole answer is done at once. Raises ValueError for an empty trace and
    when the backend refuses or fails.
    """
    if not len(trace):
        raise ValueError("The trace is empty: it needs a question.")
    named = {tool.name: tool for tool in tools}
    return watched(
        lambda emit: _work(trace, backend, named, permit, budget or (limits or Limits()).start(), options, emit)
    )


async def _work(
    trace: Trace,
    backend: Backend,
    tools: Mapping[str, Tool],
    permit: Permit,
    budget: Budget,
    options: Mapping[str, Any],
    emit: Emit,
) -> None:
    ABOVE.set(Above(emit, budget))  # for the tools, whose tasks start from here
    reason = "stop"
    try:
        async with asyncio.timeout_at(budget.deadline):
            await _answer(trace, open_calls(trace), tools, permit, budget, emit, again=True)
            while not _answered(trace):
                reason, unread = await _speak(trace, backend, tools, budget, options, emit)
                await _answer(trace, open_calls(trace), tools, permit, budget, emit)
                if unread:  # the model is told, and speaks again
                    trace.append(Message("developer", f"A call could not be read: {unread} Write it again."))
    except LimitReached as limit:
        reason = "limit"
        emit(Event(kind="limit", text=str(limit)))
    except TimeoutError:
        reason = "limit"
        emit(Event(kind="limit", text="The time is up."))
    emit(Event(kind="done", text=reason, data=budget.ledger()))


async def _speak(
    trace: Trace,
    backend: Backend,
    tools: Mapping[str, Tool],
    budget: Budget,
    options: Mapping[str, Any],
    emit: Emit,
) -> tuple[str, str]:
    """One turn of the model; returns why it ended, and sentences about calls that could not be read.

    Cut short, it is recorded as far as it got, unless it got to no answer at all.
    """
    request = Request(messages=list(trace), tools=[t.schema for t in tools.values()], **options)
    request = replace(request, max_tokens=min(request.max_tokens, budget.turn()))

    def show(event: ParseEvent) -> None:
        emit(Event(kind=event.kind, text=event.text, call=event.call))

    turn, whole = Turn(show), False
    try:
        await turn.run(backend, request)
        whole = True
    finally:
        said = turn.close()
        budget.used(turn.prompt_tokens, turn.cached_tokens, turn.completion_tokens)
        if not whole:
            said.tool_calls.clear()
        if whole or said.answer:
            message = turn.message(said)
            first = sum(len(m.tool_calls) for m in trace)
            calls = [replace(c, id=c.id or f"call_{first + i}") for i, c in enumerate(message.tool_calls)]
            message = replace(message, tool_calls=calls)
            trace.append(message)
            emit(Event(kind="message", message=message))
    assert turn.finish_reason is not None
    return turn.finish_reason, " ".join(said.errors)


async def _answer(
    trace: Trace,
    calls: Sequence[ToolCall],
    tools: Mapping[str, Tool],
    permit: Permit,
    budget: Budget,
    emit: Emit,
    again: bool = False,
) -> None:
    """Runs the calls at once and records their results; when cut short, those that are there."""
    for _ in calls:
        budget.call()
    tasks = [asyncio.create_task(_call(call, tools, permit, budget.limits, emit, again)) for call in calls]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and task.exception() is None:
                trace.append(task.result())


async def _call(
    call: ToolCall, tools: Mapping[str, Tool], permit: Permit, limits: Limits, emit: Emit, again: bool
) -> Message:
    emit(Event(kind="tool_started", call=call))
    try:
        tool = tools.get(call.name)
        if tool is None:
            raise ToolError(f"There is no tool {call.name}; there are: {', '.join(tools) or 'none'}.")
        if tool.changes and again:
            raise ToolError("The run was cut here: it is not known whether this was done. Look before you repeat it.")
        if tool.changes and not await permit(tool, call):
            raise ToolError(f"The user does not permit {tool.name} here. Go on without it.")
        parts = [_cut(part, limits.reply_chars) for part in await tool(call.arguments)]
    except ToolError as error:
        emit(Event(kind="error", text=str(error), call=call))
        parts = [Part(text=f"Error: {error}")]
    message = Message("tool", parts, name=call.name, tool_call_id=call.id)
    emit(Event(kind="tool_finished", call=call, message=message))
    return message


def open_calls(trace: Trace) -> list[ToolCall]:
    """The calls of the last assistant message that have no result yet."""
    answered = set()
    for message in reversed(trace.messages):
        if message.role == "assistant":
            return [call for call in message.tool_calls if call.id not in answered]
        answered.add(message.tool_call_id)
    return []


def _answered(trace: Trace) -> bool:
    """Whether the last word is an assistant's that calls no tool."""
    last = trace.messages[-1]
    return last.role == "assistant" and not last.tool_calls


def _cut(part: Part, most: int) -> Part:
    if len(part.text) <= most:
        return part
    half = most // 2
    return Part(text=f"{part.text[:half]}\n[… {len(part.text) - 2 * half} characters left out …]\n{part.text[-half:]}")
