"""`firesteel ask`: one question, one answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firesteel.backends import resolve
from firesteel.backends.base import Request
from firesteel.cli.terminal import Printer, complain
from firesteel.agent.turn import Turn
from firesteel.format import Message, Parse, Part, strength_number


def ask(question: str, images: Sequence[Path], strength: str, model: str, as_json: bool, **sampling: Any) -> None:
    """Prints thought and answer as they come, or at the end one JSON object. `sampling` goes into the request."""
    message = user_message(question, [Part.image_of(path) for path in images])
    request = Request(messages=[message], strength=strength_number(strength), **sampling)
    printer = Printer()
    turn = Turn((lambda event: None) if as_json else printer.show)
    try:
        said = asyncio.run(_answer(model, request, turn))
    finally:
        printer.end()
    if as_json:
        print(json.dumps(_record(said, turn, model), indent=2, ensure_ascii=False))
    elif turn.finish_reason == "length":
        complain(f"The answer was cut off at {turn.completion_tokens} tokens; --max-tokens allows more.")


def user_message(text: str, images: Sequence[Part]) -> Message:
    """What a user says: the pictures come first. Raises ValueError for bytes that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("The question is not readable as text (UTF-8).") from error
    return Message("user", [*images, Part(text=text)])


async def _answer(model: str, request: Request, turn: Turn) -> Parse:
    backend = resolve.open_backend(model, slots=1)
    try:
        await turn.run(backend, request)
        return turn.close()
    finally:
        await backend.close()


def _record(said: Parse, turn: Turn, model: str) -> dict[str, Any]:
    return {
        "reasoning": said.reasoning,
        "content": said.content,
        "tool_calls": [dict(call) for call in said.tool_calls],
        "finish_reason": turn.finish_reason,
        "usage": {
            "prompt_tokens": turn.prompt_tokens,
            "completion_tokens": turn.completion_tokens,
            "reasoning_tokens": turn.reasoning_tokens,
            "cached_tokens": turn.cached_tokens,
        },
        "model": model,
    }
