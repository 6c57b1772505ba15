"""`firesteel mcp`: our tools for any MCP client, over stdin and stdout or on a port of this machine.

All that is asked is one conversation: its files lie in one temporary folder, and `zoom` sees the pictures that it began
with and those that tools gave since.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from firesteel.agent import Tool
from firesteel.agent.mcp import serve_http, serve_stdio
from firesteel.agent.mind import Mind
from firesteel.agent.toolbox import toolbox
from firesteel.agent.tools import parts_of
from firesteel.backends import resolve
from firesteel.cli.terminal import complain
from firesteel.format import Message, Part, Trace


def mcp(names: Sequence[str], images: Sequence[Path], model: str, port: int | None) -> None:
    """Serves until the client closes our stdin, or with a `port` (0: any that is free) until Ctrl-C or SIGTERM.

    Raises ValueError for what the toolbox refuses, and for tools of other MCP servers.
    """
    if any(name.partition(":")[0] == "mcp" for name in names):
        raise ValueError("Name other MCP servers to the client itself; --tools serves only ours.")
    trace = Trace([Message("user", [Part.image_of(path) for path in images])])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # else files would be left behind
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(names, trace, model, port))


async def _serve(names: Sequence[str], trace: Trace, model: str, port: int | None) -> None:
    mind = Mind()
    backend = resolve.open_backend(model, slots=mind.plan.agents)
    try:
        async with toolbox(names, trace, backend, mind, complain) as tools:
            offered = [_recorded(tool, trace) for tool in tools]
            if port is None:
                await serve_stdio(offered)
                return
            async with serve_http(offered, port=port) as url:
                complain(f"{len(offered)} tools at {url}; Ctrl-C ends.")
                await asyncio.Event().wait()
    finally:
        await backend.close()


def _recorded(tool: Tool, trace: Trace) -> Tool:
    """The same tool; the pictures that it gives become pictures of the conversation."""

    async def handler(**arguments: Any) -> list[Part]:
        parts = parts_of(await tool.handler(**arguments))
        if any(part.image for part in parts):
            trace.append(Message("tool", parts, name=tool.name))
        return parts

    return replace(tool, handler=handler)
