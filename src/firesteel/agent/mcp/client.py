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
import re
import shlex
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from firesteel.agent.tools import Tool
from firesteel.format.chat import RECIPIENTS

if TYPE_CHECKING:
    from firesteel.agent.mcp.link import Link

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LAUNCHERS = {"uvx", "uv", "npx", "bunx", "pipx", "python", "python3", "node", "docker", "run", "exec", "tool", "env"}
_QUIET = logging.NullHandler()


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a server is: either a `command`, spoken to through its stdin and stdout, or a `url` (streamable HTTP).

    The program sees of our environment only PATH, HOME, SHELL, TERM and the user's name, and besides that `env`;
    `headers` go with every request. `seconds` is the most that one call may take, `start_seconds` the most until the
    tools are known (a launcher may have to download the program). Raises ValueError for what is no server.
    """

    name: str
    command: Sequence[str] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    seconds: float = 120.0
    start_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in RECIPIENTS:
            raise ValueError(f"{self.name!r} is no name for an MCP server: use letters, digits, _ and -.")
        if bool(self.command) == bool(self.url):
            raise ValueError(f"The MCP server {self.name} needs either a command or a URL.")
        if self.url and (urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname):
            raise ValueError(f"The URL of the MCP server {self.name} must be http://… or https://….")

    @classmethod
    def of(cls, address: str, name: str = "") -> Server:
        """From `https://host/path` or a command line, such as `uvx some-server --flag` or `env TOKEN=… npx server`.

        Without `name` it is called like its host or program. Raises ValueError for any other address.
        """
        if "://" in address.partition(" ")[0]:
            return cls(name=name or _identifier(urlsplit(address).hostname or ""), url=address)
        words = shlex.split(address)
        programs = [PurePath(word).stem for word in words if not word.startswith("-") and "=" not in word]
        called = next((program for program in programs if program not in _LAUNCHERS), "")
        return cls(name=name or _identifier(called), command=words)


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


def _identifier(text: str) -> str:
    """As much of a name as a text allows, and no long one; never empty."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", text[:32]).lstrip("-")
    return name if _NAME.fullmatch(name) else f"_{name}"
