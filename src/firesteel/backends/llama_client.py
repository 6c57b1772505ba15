"""HTTP to llama.cpp's server: one request a connection, the answer as it comes.

- What arrives is looked at on a beat: waking up costs more than all else of a token, and takes the cores away from
  llama.cpp. The first pieces of an answer beat fast, so that its first words come at once; then the beat slows down.
- Beats are moments of the clock, the same for all connections, so that one waking serves them all. Between them Linux
  is asked to be silent about what arrives (SO_RCVLOWAT, socket(7)); elsewhere it is heard and left lying.
- The end of an answer waits for no beat.
"""

from __future__ import annotations

import asyncio
import math
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

FAST, SLOW = 0.004, 0.032  # seconds of the slowest beat
_FIRST = 0.001  # each is twice the one before
_MUCH = 1 << 16  # bytes that do not wait for a beat
_END = b"0\r\n\r\n"


@asynccontextmanager
async def exchange(
    host: str, port: int, head: str, body: bytes, opened: Callable[[Answer], None] = lambda _: None
) -> AsyncGenerator[Answer, None]:
    """Sends a request, whose `head` lacks the length and the end; ends the connection with the body of the `with`.

    `opened` is told of the answer before anything of it has come, which may take as long as the server reads a prompt.
    Raises OSError where the server is not there or goes away before it answers.
    """
    loop = asyncio.get_running_loop()
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    connection.setblocking(False)
    try:
        await loop.sock_connect(connection, (host, port))
        transport, answer = await loop.create_connection(lambda: Answer(loop, connection), sock=connection)
    except BaseException:
        connection.close()
        raise
    answer.transport = transport
    opened(answer)
    try:
        transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await answer.begin()
        yield answer
    finally:
        transport.close()


class Answer(asyncio.Protocol):
    """What a server answers: its `status`, then its content by `read`; aborting its `transport` is the end of it."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        self.status, self.slowest = 0, SLOW
        self._loop, self._socket = loop, connection
        self._data = b""
        self._chunked = self._over = False
        self._beat = 0.0  # seconds; none before the first piece
        self._at_once = True  # what arrives wakes the reader
        self._waiter: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._at_once or data.endswith(_END):
            self._wake()

    def eof_received(self) -> None:
        self._over = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._over = True
        self._wake()

    async def begin(self) -> None:
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            if self._over:
                raise ConnectionError("llama.cpp closed the connection")
            await self._news()
        head, self._data = self._data[:end].decode("latin-1").lower(), self._data[end + 4 :]
        self.status, self._chunked = int(head.split(maxsplit=2)[1]), "transfer-encoding: chunked" in head

    async def read(self) -> bytes:
        """More of the content, as much as has arrived by the next beat; nothing at its end."""
        if self._beat and not (self._over or self._data.endswith(_END)):
            beat = math.floor(self._loop.time() / self._beat + 1) * self._beat
            self._hear(at_once=False)
            handle = self._loop.call_at(beat, self._wake)
            await self._news()
            handle.cancel()
            self._hear(at_once=True)
        content = self._content()
        while not content and not self._over and not self._data.endswith(_END):
            await self._news()
            content = self._content()
        self._beat = min(2 * self._beat, self.slowest) or _FIRST
        return content

    def _content(self) -> bytes:
        """What is whole of it, taken from what has arrived."""
        if not self._chunked:
            content, self._data = self._data, b""
            return content
        pieces, place, data = [], 0, self._data
        while (line := data.find(b"\r\n", place)) >= 0:
            size = int(data[place:line], 16)
            end = line + 2 + size
            if size == 0 or len(data) < end + 2:
                break
            pieces.append(data[line + 2 : end])
            place = end + 2
        self._data = data[place:]
        return b"".join(pieces)

    def _hear(self, at_once: bool) -> None:
        self._at_once = at_once
        if sys.platform == "linux" and not self._over:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1 if at_once else _MUCH)

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
