"""MCP servers that are not ours, as tools of our agent: `async with connect("uvx some-server") as tools`.

- A tool is called `<server>.<tool>`. The server's part comes from the user or the address, never from the server, so
  that no server can pass its tools off as another's, or as those that a user permits by name.
- Every tool needs permission: it acts outside our sandbox, and what its server says about that ("read-only") may be a
  lie. Descriptions and results are text like any other, and permit nothing.
- We connect to what the user names and to nothing else: a redirect to another host or port is not followed.
- Sampling, elicitation and roots are not offered: a server cannot ask the model or the user anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from firesteel.agent.mcp.address import Server
from firesteel.agent.tools import Tool, distinct

if TYPE_CHECKING:
    from firesteel.agent.mcp.link import Link

_QUIET = logging.NullHandler()


@asynccontextmanager
async def connect(*servers: Server | str) -> AsyncGenerator[list[Tool], None]:
    """The tools of all these servers, which start at once and end with the block, whatever ends it.

    A server that ends earlier makes its calls fail with a sentence. Raises ValueError for a server that cannot be used
    and for two tools of one name.
    """
    connected = Servers(*servers)
    try:
        yield await connected.tools()
    finally:
        await connected.close()
    connected.check()


class Servers:
    """Servers that stay from one question to the next, with what they remember; to be closed at the end."""

    def __init__(self, *servers: Server | str) -> None:
        """Starts none of them. Raises ValueError for an address that is none, and without the package."""
        require_sdk()
        self._wanted = [server if isinstance(server, Server) else Server.of(server) for server in servers]
        self._links: dict[int, Link] = {}  # by their place among those wanted
        self._ended: list[Link] = []

    async def tools(self) -> list[Tool]:
        """The tools of all; what has not started, or answers no more, starts. Raises ValueError as `connect` does."""
        from firesteel.agent.mcp.link import Link

        logging.getLogger("mcp").addHandler(_QUIET)  # else what a server writes wrongly would be shown in the terminal
        for place, server in enumerate(self._wanted):
            link = self._links.get(place)
            if link and not await link.stands():
                link.close()
                self._ended.append(self._links.pop(place))
            if place not in self._links:
                self._links[place] = Link(server)
        return distinct([tool for _, link in sorted(self._links.items()) for tool in await link.tools()])

    async def close(self) -> None:
        """Ends the connections; being cancelled while it waits leaves none of them behind."""
        links = [*self._ended, *self._links.values()]
        for link in links:
            link.close()
        interrupted = None
        while tasks := [link.task for link in links if not link.task.done()]:
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError as error:
                interrupted = error
        if interrupted:
            raise interrupted

    def check(self) -> None:
        """Raises what ended a connection if that is a defect, and no failure of a server."""
        for link in (*self._ended, *self._links.values()):
            link.check()


def require_sdk() -> None:
    """Raises ValueError where the `mcp` package is missing."""
    if find_spec("mcp") is None:
        raise ValueError("MCP needs the mcp extra: pip install 'firesteel[mcp]'.")
