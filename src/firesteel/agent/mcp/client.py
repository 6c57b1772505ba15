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
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from firesteel.agent.mcp.address import Server
from firesteel.agent.tools import Tool

if TYPE_CHECKING:
    from firesteel.agent.mcp.link import Link

_QUIET = logging.NullHandler()


@asynccontextmanager
async def connect(*servers: Server | str, taken: Collection[str] = ()) -> AsyncGenerator[list[Tool], None]:
    """The tools of all these servers, which start at once and end with the block, whatever ends it.

    `taken` are names of tools that there are already. A server that ends earlier makes its calls fail with a sentence.
    Raises ValueError for a server that cannot be used and for two tools of one name.
    """
    require_sdk()
    from firesteel.agent.mcp.link import Link

    wanted = [server if isinstance(server, Server) else Server.of(server) for server in servers]
    logging.getLogger("mcp").addHandler(_QUIET)  # else what a server writes wrongly would be shown in the terminal
    links = [Link(server) for server in wanted]
    try:
        tools = [tool for link in links for tool in await link.tools()]
        names = [*taken, *(tool.name for tool in tools)]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise ValueError(f"Two tools are called {twice}: give an MCP server another name, or leave it out.")
        yield tools
    finally:
        await _closed(links)
    for link in links:
        link.check()


def require_sdk() -> None:
    """Raises ValueError where the `mcp` package is missing."""
    if find_spec("mcp") is None:
        raise ValueError("MCP needs the mcp extra: pip install 'firesteel[mcp]'.")


async def _closed(links: Sequence[Link]) -> None:
    """Closes the connections; being cancelled while it waits leaves none of them behind."""
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
