"""What the tests of the command line share: a model that says what a test wrote down, a picture, an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from PIL import Image

from firesteel.backends.base import Delta, Request

THOUGHT = [" to=self<|message|>", "Two and ", "two.", "<|eom|>", "<|start|>assistant"]
ANSWER = [" to=user<|message|>", "It is ", "4", "<|eot|>"]


class Scripted:
    """Says the pieces that `script` makes of a request, one token each."""

    tokenizer = None
    context = None
    slots, parallel = 8, True

    def __init__(self, script: Callable[[Request], Sequence[str]]) -> None:
        self.script, self.name = script, ""
        self.requests: list[Request] = []
        self.reason = "stop"
        self.between: Callable[[str], None] = lambda piece: None  # called after each piece was consumed
        self.opened = self.closed = self.ended = 0

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        try:
            for piece in self.script(request):
                yield Delta(text=piece, token_ids=(0,))
                await queues()
                self.between(piece)
                await queues()
            yield Delta(finish_reason=self.reason, prompt_tokens=7, cached_tokens=3)
        finally:
            self.ended += 1

    async def close(self) -> None:
        self.closed += 1


async def queues() -> None:
    """Long enough for an event, or a cancellation, to reach whoever waits for it."""
    for _ in range(5):
        await asyncio.sleep(0)


def refused(result: tuple[int, str, str]) -> str:
    """The one sentence of an error."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("firesteel: ") and err.count("\n") == 1 and err.endswith("\n")
    return err


def picture(path: Path, color: str = "red") -> Path:
    Image.new("RGB", (40, 30), color).save(path)
    return path
