"""Where an MCP server that is not ours is, and what it is called."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from urllib.parse import urlsplit

from firesteel.format.chat import RECIPIENTS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LAUNCHERS = {"uvx", "uv", "npx", "bunx", "pipx", "python", "python3", "node", "docker", "run", "exec", "tool", "env"}


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


def _identifier(text: str) -> str:
    """As much of a name as a text allows, and no long one; never empty."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", text[:32]).lstrip("-")
    return name if _NAME.fullmatch(name) else f"_{name}"
