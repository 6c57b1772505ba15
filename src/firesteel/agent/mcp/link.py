"""One connection to a foreign MCP server, held by a task of its own.

What breaks in the connection breaks in that task and not in whoever calls a tool: callers get a sentence. The task is
never cancelled from outside, because only a scope that knows shields leaves no process behind; it is told to close.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import anyio
import httpx2
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError

from firesteel import __version__
from firesteel.agent.mcp.address import Server
from firesteel.agent.mcp.foreign import MOST_ERROR, inert, read_result, tool_of
from firesteel.agent.tools import Tool, ToolError
from firesteel.format import Part

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

MOST_TOOLS = 256
_MOST_EVENT = 64_000_000  # bytes of one server-sent event, which holds all pictures of a result
_LAST_WORDS = 300  # characters of a program's stderr
_FAREWELL = 5.0  # seconds that a server may take to be told that the connection ends
_EXPECTED = (OSError, ValueError, RuntimeError, MCPError, httpx2.HTTPError, httpx2.InvalidURL)


class Link:
    """Connects as soon as it is made. `task` ends some seconds after `close` at the latest."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ready: asyncio.Future[list[Tool]] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._scope = anyio.CancelScope()
        self._stderr = bytearray()
        self._client: Client | None = None  # once it is connected
        self.task = asyncio.create_task(self._hold())
        self.task.add_done_callback(_innermost)  # a failure that nobody asks about is no news for the terminal

    async def tools(self) -> list[Tool]:
        """Raises ValueError, with what the program last said, where there are none to be had."""
        name, seconds = self._server.name, self._server.start_seconds
        either: list[asyncio.Future[Any]] = [self._ready, self.task]
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        self.check()
        last_words = inert(self._stderr.decode(errors="replace").strip(), _LAST_WORDS)
        said = f" It last said: {last_words}" if last_words else ""
        if not self.task.done():
            raise ValueError(f"The MCP server {name} was not ready within {seconds:g} seconds.{said}")
        reason = inert(str(_innermost(self.task)), _LAST_WORDS).rstrip(".")
        raise ValueError(f"The MCP server {name} cannot be used: {reason}.{said}")

    async def stands(self) -> bool:
        """Whether the server still answers."""
        if self._client is None or self.task.done():
            return False
        try:
            async with asyncio.timeout(self._server.start_seconds):
                await self._client.list_tools()
        except _EXPECTED:  # one that is late is an OSError too
            return False
        return True

    def close(self) -> None:
        """Ends the connection, politely if it ever stood."""
        self._closing.set()
        if self._ready.done():
            self._scope.deadline = anyio.current_time() + _FAREWELL
        else:
            self._scope.cancel()

    def check(self) -> None:
        """Raises what ended the connection if that is a defect, and no failure of the server."""
        error = _innermost(self.task) if self.task.done() else None
        if error is not None and not isinstance(error, _EXPECTED):
            raise error

    async def _hold(self) -> None:
        us = types.Implementation(name="firesteel", version=__version__)
        with self._scope:
            async with Client(self._streams(), client_info=us, cache=None) as client:
                self._ready.set_result(await self._listed(client))
                self._client = client
                await self._closing.wait()

    @asynccontextmanager
    async def _streams(self) -> AsyncGenerator[TransportStreams, None]:
        server = self._server
        if server.url:
            timeout = httpx2.Timeout(30.0, read=None)  # how long an answer may take is a matter of the call
            async with (
                _Http(headers=dict(server.headers), timeout=timeout) as http,
                streamable_http_client(server.url, http_client=http, max_sse_event_size=_MOST_EVENT) as streams,
            ):
                yield streams
        else:
            program, *arguments = server.command
            parameters = StdioServerParameters(command=program, args=arguments, env=dict(server.env))
            with _end_of(self._stderr) as stderr:
                async with stdio_client(parameters, errlog=stderr) as streams:
                    yield streams

    async def _listed(self, client: Client) -> list[Tool]:
        tools: list[Tool] = []
        cursor = None
        while True:
            page = await client.list_tools(cursor=cursor)
            tools += [self._tool(client, listed) for listed in page.tools]
            if len(tools) > MOST_TOOLS:
                raise ValueError(f"it offers more than {MOST_TOOLS} tools")
            cursor = page.next_cursor
            if not cursor:
                return tools

    def _tool(self, client: Client, listed: types.Tool) -> Tool:
        server, seconds = self._server.name, self._server.seconds

        async def call(**arguments: Any) -> list[Part]:
            try:
                async with asyncio.timeout(seconds):
                    result = await client.call_tool(listed.name, arguments)
            except TimeoutError as error:
                late = f"The MCP server {server} did not answer within {seconds:g} seconds."
                raise ToolError(f"{late} What was asked may still happen.") from error
            except (MCPError, RuntimeError, ValidationError) as error:
                if self._closing.is_set() or str(error) == "Connection closed":
                    raise ToolError(f"The MCP server {server} has ended. Go on without its tools.") from error
                raise ToolError(f"The MCP server {server} fails: {inert(str(error), MOST_ERROR)}") from error
            return await asyncio.to_thread(read_result, result)

        return tool_of(listed, server, call)


class _Http(httpx2.AsyncClient):
    """A request that cannot be sent is answered with an error, which ends that call and not the connection."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        try:
            return await super().send(request, **options)
        except httpx2.TransportError as error:
            reason = f"it cannot be reached ({error or type(error).__name__})"
            failure = {"jsonrpc": "2.0", "id": None, "error": {"code": types.INTERNAL_ERROR, "message": reason}}
            return httpx2.Response(503, json=failure, request=request)


@contextmanager
def _end_of(kept: bytearray) -> Generator[TextIO, None, None]:
    """A file of which only the last bytes are kept: a program's stderr may fill neither terminal nor disk."""
    read, write = os.pipe()

    def drain() -> None:
        with os.fdopen(read, "rb", buffering=0) as pipe:
            while chunk := pipe.read(4096):
                kept.extend(chunk)
                del kept[:-_LAST_WORDS]

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    try:
        with os.fdopen(write, "w") as file:
            yield file
    finally:
        thread.join(0.5)  # no longer: the program may have left a child that still holds the pipe


def _innermost(task: asyncio.Task[None]) -> BaseException | None:
    """Why the task ended, out of the groups that it is wrapped in."""
    error = None if task.cancelled() else task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
