"""The loop: the model speaks, its tools answer, until it says something without calling a tool.

- The trace is the only state: a run may be cut anywhere and begun again on the same trace.
- Events are the only output. The work happens in a task of its own; closing the generator (or cancelling whoever reads
  it) cancels that task and with it the generation, every tool and every agent beneath.
- Calls of one turn run at once; their results are recorded in the order of the calls.
- What a tool complains about is a result like any other. Tools that change something outside the sandbox run only if
  `permit` says so, whoever or whatever talked the model into calling them.
- Tools may also be somebody else's (an API's caller runs them): a call to one ends the run, and a trace that then holds
  its result goes on.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from firesteel.agent.events import ABOVE, Above, Emit, Event, watched
from firesteel.agent.limits import Budget, LimitReached, Limits
from firesteel.agent.tools import Tool, ToolError
from firesteel.agent.turn import Turn
from firesteel.backends import Backend, Request
from firesteel.format import Message, ParseEvent, Part, ToolCall, Trace
from firesteel.format.atem import function_of

_TRIES = 3  # at a call that cannot be read
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
    theirs: Sequence[Mapping[str, Any]] = (),
    **options: Any,
) -> AsyncGenerator[Event, None]:
    """Continues `trace` to the end of the assistant's turn; the last event is `done`.

    `options` are those of a `Request` (strength, temperature, seed, …); a demanded tool is demanded once. `budget` is
    given by a run above, whose limits then hold for both. `theirs` are schemas of tools that run elsewhere. A trace
    that ends with a whole answer is done at once. Raises ValueError for an empty trace, for two tools of one name and
    when the backend refuses or fails.
    """
    if not len(trace):
        raise ValueError("The trace is empty: it needs a question.")
    offer = Offer({tool.name: tool for tool in tools}, {function_of(schema)["name"]: schema for schema in theirs})
    names = [*(tool.name for tool in tools), *(function_of(schema)["name"] for schema in theirs)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"There are two tools of the name {min(twice)}.")
    return watched(
        lambda emit: _work(trace, backend, offer, permit, budget or (limits or Limits()).start(), options, emit)
    )


@dataclass(frozen=True)
class Offer:
    """What the model may call, by name: tools that run here, and schemas of those that run elsewhere."""

    ours: Mapping[str, Tool]
    theirs: Mapping[str, Mapping[str, Any]]

    @property
    def schemas(self) -> list[dict[str, Any]]:
        return [*(dict(schema) for schema in self.theirs.values()), *(tool.schema for tool in self.ours.values())]


async def _work(
    trace: Trace,
    backend: Backend,
    offer: Offer,
    permit: Permit,
    budget: Budget,
    options: Mapping[str, Any],
    emit: Emit,
) -> None:
    ABOVE.set(Above(emit, budget, trace))  # for the tools, whose tasks start from here
    reason, tries = "stop", _TRIES
    try:
        async with asyncio.timeout_at(budget.deadline):
            await _answer(trace, open_calls(trace), offer, permit, budget, emit, again=True)
            while budget.limits.turns and not _answered(trace):
                reason, unread = await _speak(trace, backend, offer, budget, options, emit)
                calls = open_calls(trace)
                await _answer(
                    trace, [call for call in calls if call.name not in offer.theirs], offer, permit, budget, emit
                )
                if any(call.name in offer.theirs for call in calls):
                    reason = "tool_calls"
                    break
                if unread and reason != "length" and tries:  # the model is told, and speaks again
                    tries -= 1
                    trace.append(Message("developer", f"A call could not be read: {unread} Write it again."))
                elif calls and options.get("tool_choice", "auto") != "none":
                    options = {**options, "tool_choice": "auto"}
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
    offer: Offer,
    budget: Budget,
    options: Mapping[str, Any],
    emit: Emit,
) -> tuple[str, str]:
    """One turn of the model; returns why it ended, and sentences about calls that could not be read.

    Cut short, it is recorded as far as it got, unless it got to no answer at all.
    """
    request = Request(messages=list(trace), tools=offer.schemas, **options)
    request = replace(request, max_tokens=min(request.max_tokens, budget.turn()))

    numbers = itertools.count(_next_number(trace))

    def show(event: ParseEvent) -> None:
        call = event.call and _with_id(event.call, numbers)
        if call:
            calls.append(call)
        emit(Event(kind=event.kind, text=event.text, call=call))

    def tokens(data: Mapping[str, Any]) -> None:
        emit(Event(kind="tokens", data=data))

    calls: list[ToolCall] = []
    turn, whole = Turn(show, tokens), False
    try:
        await turn.run(backend, request)
        whole = True
    finally:
        said = turn.close()
        budget.used(turn.prompt_tokens, turn.cached_tokens, turn.completion_tokens)
        if not whole:
            said.tool_calls.clear()
        if whole or said.answer:
            message = replace(turn.message(said), tool_calls=calls if said.tool_calls else ())
            trace.append(message)
            data = {"stop": turn.stop_string} if turn.stop_string else {}
            emit(Event(kind="message", message=message, data=data))
    assert turn.finish_reason is not None
    return turn.finish_reason, " ".join(said.errors)


async def _answer(
    trace: Trace,
    calls: Sequence[ToolCall],
    offer: Offer,
    permit: Permit,
    budget: Budget,
    emit: Emit,
    again: bool = False,
) -> None:
    """Runs the calls at once and records their results; when cut short, those that are there."""
    for _ in calls:
        budget.call()
    tasks = [asyncio.create_task(_call(call, offer, permit, budget.limits, emit, again)) for call in calls]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and task.exception() is None:
                trace.append(task.result())


async def _call(call: ToolCall, offer: Offer, permit: Permit, limits: Limits, emit: Emit, again: bool) -> Message:
    emit(Event(kind="tool_started", call=call))
    try:
        tool = offer.ours.get(call.name)
        if tool is None:
            names = [*offer.theirs, *offer.ours]
            raise ToolError(f"There is no tool {call.name}; there are: {', '.join(names) or 'none'}.")
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


def _next_number(trace: Trace) -> int:
    """The first number that no call of the trace bears, whoever numbered it and whatever was left out since."""
    ids = (call.id.removeprefix("call_") for message in trace for call in message.tool_calls)
    return 1 + max((int(id) for id in ids if id.isdecimal() and len(id) < 10), default=-1)


def _with_id(call: ToolCall, numbers: Iterator[int]) -> ToolCall:
    return call if call.id else replace(call, id=f"call_{next(numbers)}")


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
