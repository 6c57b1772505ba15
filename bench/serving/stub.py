"""A server process for measurements: firesteel with an engine that only counts, or a bare route with the same answers.

    python -m serving.stub firesteel --slots 64 --pause 0.001
    python -m serving.stub bare --recorded FILE

The engine says `w0 w1 w2 …`, a word a token, as many as `max_tokens`, with a pause before each; a pause of 0 lets
everybody else run once. The bare route reads the body and sends pieces that were recorded from the other server.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import pickle
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from firesteel.backends import Delta, Request
from firesteel.server import logs, run
from firesteel.server.settings import Settings


class Counting:
    """Says words that are numbered, so that a lost or reordered one is seen."""

    name, tokenizer, context = "stub", None, None

    def __init__(self, slots: int, pause: float) -> None:
        self.slots, self._pause = slots, pause

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        head = " to=user<|message|>"
        for number in range(request.max_tokens):
            await asyncio.sleep(self._pause)
            yield Delta(text=f"{head}w{number} ", token_ids=(number,))
            head = ""
        yield Delta(text="<|eot|>", finish_reason="stop", prompt_tokens=16)

    async def close(self) -> None:
        pass


def firesteel(options: argparse.Namespace) -> int:
    settings = Settings(
        port=0,
        backend="stub",
        slots=options.slots,
        queue=options.queue,
        queue_seconds=options.queue_seconds,
        data=options.data,
        drain_seconds=2,
        log_requests=options.log,
    )
    logs.set_up("json")
    if not options.log:
        logging.disable(logging.INFO)
    return run.run(settings, lambda url: print(url, flush=True), lambda _: Counting(options.slots, options.pause))


def bare(options: argparse.Namespace) -> int:
    recorded: list[bytes] = pickle.loads(options.recorded.read_bytes())

    async def pieces() -> AsyncGenerator[bytes, None]:
        for piece in recorded:
            await asyncio.sleep(options.pause)
            yield piece

    async def answer(request: HttpRequest) -> Response:
        await request.body()
        return StreamingResponse(pieces(), media_type="text/event-stream")

    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)).run([listener])
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("firesteel", "bare"))
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--queue-seconds", type=float, default=60.0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--recorded", type=Path)
    parser.add_argument("--log", action="store_true", help="write a line for each request")
    options = parser.parse_args()
    return firesteel(options) if options.kind == "firesteel" else bare(options)


if __name__ == "__main__":
    sys.exit(main())
