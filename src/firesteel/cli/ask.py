"""`firesteel ask`: one question, one answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from firesteel.agent import Event
from firesteel.agent.mind import Mind
from firesteel.agent.toolbox import toolbox
from firesteel.backends import resolve
from firesteel.cli.terminal import Printer, complain
from firesteel.format import Message, Part, Trace


def ask(
    question: str,
    images: Sequence[Path],
    model: str,
    mind: Mind,
    tools: Sequence[str] = (),
    file: Path | None = None,
    as_json: bool = False,
) -> None:
    """Prints thought and answer as they come, or at the end one JSON object.

    With `file` the conversation in it goes on, and what is said is appended.
    """
    asked = user_message(question, [Part.image_of(path) for path in images])
    trace = Trace.open(file) if file else Trace()
    start, printer = len(trace), Printer()
    show = (lambda event: None) if as_json else printer.show
    try:
        done = asyncio.run(_answer(model, trace, asked, mind, tools, show))
    finally:
        printer.end()
    if as_json:
        print(json.dumps(_record(trace.messages[start:], done, model), indent=2, ensure_ascii=False))
    elif done.text == "length":
        complain(f"The answer was cut off at {mind.limits.turn_tokens} tokens; --max-tokens allows more.")


def user_message(text: str, images: Sequence[Part]) -> Message:
    """What a user says: the pictures come first. Raises ValueError for bytes that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("The question is not readable as text (UTF-8).") from error
    return Message("user", [*images, Part(text=text)])


async def _answer(
    model: str, trace: Trace, asked: Message, mind: Mind, names: Sequence[str], show: Callable[[Event], None]
) -> Event:
    slots = mind.plan.agents if "agents" in names else mind.slots
    backend = resolve.open_backend(model, slots=slots)
    try:
        trace.append(asked)
        async with (
            toolbox(names, trace, backend, mind, complain) as tools,
            aclosing(mind.answer(trace, backend, tools)) as events,
        ):
            async for event in events:
                show(event)
        return event
    finally:
        await backend.close()


def _record(messages: Sequence[Message], done: Event, model: str) -> dict[str, Any]:
    """What this question brought. A limit may have struck before there was any answer."""
    said = messages[-1] if messages[-1].role == "assistant" else Message("assistant")
    return {
        "reasoning": said.reasoning,
        "content": said.commentary + said.text,
        "tool_calls": [dict(call) for message in messages for call in message.tool_calls],
        "finish_reason": done.text,
        "usage": dict(said.usage) | dict(done.data),
        "model": model,
    }
