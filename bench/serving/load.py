"""The load generator: HTTP/1.1 by hand over kept connections, so that it costs less than what it measures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.process import Server

_END = b"\r\n0\r\n\r\n"


@dataclass
class Reply:
    """One answer; times are of `perf_counter`, 0 for what did not happen."""

    due: float = 0.0
    first: float = 0.0
    token: float = 0.0  # when the marker came that was asked for
    ended: float = 0.0
    status: int = 0
    broken: bool = False  # the connection ended before the answer did
    data: list[bytes] = field(default_factory=list)

    @property
    def head(self) -> bytes:
        return b"".join(self.data).partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """What was sent, without the lines of its chunks."""
        head, _, rest = b"".join(self.data).partition(b"\r\n\r\n")
        if b"chunked" not in head:
            return rest
        pieces = []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            if not (count := int(size or b"0", 16)):
                break
            pieces.append(rest[:count])
            rest = rest[count + 2 :]
        return b"".join(pieces)

    def events(self) -> list[Any]:
        """The JSON of its events."""
        lines = (line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: {"))
        return [json.loads(line) for line in lines]

    def text(self) -> str:
        """What was said in chunks of a chat completion."""
        return "".join(c["delta"].get("content") or "" for event in self.events() for c in event["choices"])


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self.reply = Reply()
        self._left = 0  # bytes of a body with a length; -1 where it comes in chunks
        self._tail = self._marker = b""
        self._done: asyncio.Future[None] | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: bytes, due: float, marker: bytes = b"") -> Reply:
        self.reply, self._tail, self._marker = Reply(due), b"", marker
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self._done
        self.reply.ended = time.perf_counter()
        return self.reply

    def data_received(self, data: bytes) -> None:
        reply = self.reply
        if not reply.first:
            reply.first = time.perf_counter()
            reply.status = int(data[9:12])
            head, _, rest = data.partition(b"\r\n\r\n")
            lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self._left = int(lengths[0]) - len(rest) if lengths else -1
        elif self._left > 0:
            self._left -= len(data)
        reply.data.append(data)
        if self._marker and not reply.token and self._marker in data:
            reply.token = time.perf_counter()
        self._tail = (self._tail + data)[-len(_END) :]
        if self._left == 0 or (self._left < 0 and self._tail == _END):
            self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = self.reply.broken = True
        self._finish()

    def _finish(self) -> None:
        if self._done and not self._done.done():
            self._done.set_result(None)


class Client:
    """Keeps connections to a server; opens more when all are in use."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._free: list[Connection] = []

    def request(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> bytes:
        data = json.dumps(body).encode() if body is not None else b""
        method = method or ("POST" if body is not None else "GET")
        return (
            f"{method} {path} HTTP/1.1\r\nHost: {self._server.host}:{self._server.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        ).encode() + data

    async def connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._server.host, self._server.port)
        return connection

    async def ask(self, request: bytes, due: float = 0.0, marker: bytes = b"") -> Reply:
        """The whole answer; its time counts from `due`, when the request should have been sent."""
        due = due or time.perf_counter()
        while True:
            reused = bool(self._free)
            connection = self._free.pop() if reused else await self.connect()
            if connection.lost:
                continue
            reply = await connection.ask(request, due, marker)
            if reply.broken and reused and not reply.first:  # closed as it was idle
                continue
            if not connection.lost:
                self._free.append(connection)
            return reply

    def close(self) -> None:
        for connection in self._free:
            connection.transport.abort()


def chat(tokens: int, stream: bool = True) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Count, please."}]
    return {"model": "stub", "messages": messages, "max_tokens": tokens, "stream": stream}


async def open_loop(send: Callable[[float], Awaitable[Reply]], rate: float, seconds: float) -> list[Reply]:
    """Sends at a fixed rate, whether or not answers come; times count from when a request was due."""
    tasks, began = [], time.perf_counter() + 0.01
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.ensure_future(send(due)))
    return await asyncio.gather(*tasks)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(values: Sequence[float]) -> str:
    return f"p50 {quantile(values, 0.5) * 1e3:7.2f}   p99 {quantile(values, 0.99) * 1e3:7.2f} ms"
