"""`truncation: "auto"`: the oldest turns are left out until the rest fits the context.

A turn begins with a user's message, so calls stay with their results. What the system says first stays, and so does the
last turn, whatever its length. A quarter of the context is kept for the answer, or what it may have if that is less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from firesteel.backends import Backend
from firesteel.format import Message, render


async def fitted(
    backend: Backend, messages: Sequence[Message], tools: Sequence[dict[str, Any]], most: int
) -> Sequence[Message]:
    """The messages that fit; all, where the backend does not tell its context. `most` tokens may be answered."""
    if backend.tokenizer is None or backend.context is None:
        return messages
    return await asyncio.to_thread(_fitted, backend, messages, tools, most)


def _fitted(
    backend: Backend, messages: Sequence[Message], tools: Sequence[dict[str, Any]], most: int
) -> Sequence[Message]:
    assert backend.context is not None
    limit = backend.context - min(most, backend.context // 4) - 1
    kept = next((at for at, message in enumerate(messages) if message.role not in ("system", "developer")), 0)
    turns = [at for at, message in enumerate(messages) if message.role == "user" and at > kept]

    def fits(number: int) -> bool:
        rest = [*messages[:kept], *messages[turns[number] :]]
        return len(render(rest, tools, tokenizer=backend.tokenizer).ids) <= limit

    if not turns or len(render(messages, tools, tokenizer=backend.tokenizer).ids) <= limit:
        return messages
    low, high = 0, len(turns) - 1  # the first turn from which on everything fits, or the last one
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return [*messages[:kept], *messages[turns[low] :]]
