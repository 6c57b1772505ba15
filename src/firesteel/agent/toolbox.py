"""The tools that `--tools` names, each like an address: `python`, `web`, `folder:DIR`, `mcp:COMMAND or URL`."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from os.path import expanduser
from pathlib import Path

from firesteel.agent.eyes import Eyes
from firesteel.agent.grounding import visual_grounding
from firesteel.agent.mind import Mind
from firesteel.agent.subagents import spawn_agents
from firesteel.agent.tools import Tool, distinct
from firesteel.backends import Backend
from firesteel.format import Trace

HELP = "zoom, ground, python, files, artifacts, web, searxng:URL, folder:DIR, mcp:COMMAND or URL, agents"
_PYTHON = "container.python_execution"
# Each apart, because every schema takes some of a small mind's attention.
_WORKSPACE = {
    "python": (_PYTHON,),
    "files": ("container.view", "container.file_search", "container.insert", "container.str_replace"),
    "artifacts": ("container.create_web_artifact",),
}
NAMES = {name.split(":")[0] for name in HELP.replace(" or URL", "").split(", ")}


@asynccontextmanager
async def toolbox(
    names: Sequence[str],
    trace: Trace,
    backend: Backend,
    mind: Mind,
    say: Callable[[str], None],
    folder: Path | None = None,
    connected: Sequence[Tool] = (),
) -> AsyncGenerator[list[Tool], None]:
    """The tools of one conversation, closed at its end; `say` is told what the user should know about them.

    Files of a conversation lie in `folder`, else beside its trace, else for a while in a temporary folder; those of the
    workspace in its folder `data`. `connected` are tools of MCP servers that outlast this conversation.
    Raises ValueError for an unknown name and for what a tool misses.
    """
    wanted: dict[str, list[str]] = {}
    for name in names:
        kind, _, value = name.partition(":")
        if kind not in NAMES:
            raise ValueError(f"There are no tools {name}; there are: {HELP}.")
        wanted.setdefault(kind, []).append(value)
    async with AsyncExitStack() as stack:
        if folder is None and trace.path:
            folder = trace.path.with_suffix(".files")
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firesteel-")))
        tools: list[Tool] = []
        if "zoom" in wanted:
            tools += Eyes(trace).tools()
        if "ground" in wanted:
            tools.append(visual_grounding(backend, trace, explain=backend.name != "kindling"))
        if chosen := [tool for kind in wanted for tool in _WORKSPACE.get(kind, ())]:
            tools += _workspace(folder / "data", chosen, say)
        if {"web", "searxng", "folder"} & wanted.keys():
            far = bool(connected) or "mcp" in wanted
            tools += _browser(wanted, folder / "index.sqlite", trace, far, stack)
        if "mcp" in wanted:
            from firesteel.agent.mcp import connect

            tools += await stack.enter_async_context(connect(*wanted["mcp"]))
        tools = distinct([*tools, *connected])
        if "agents" in wanted:  # last: agents get all the others
            tools.append(spawn_agents(backend, tools, permit=mind.permit, **mind.sampling()))
        yield tools


def _workspace(folder: Path, chosen: Sequence[str], say: Callable[[str], None]) -> list[Tool]:
    from firesteel.agent import sandbox
    from firesteel.agent.container import Workspace

    tier = sandbox.best() if _PYTHON in chosen else None
    if _PYTHON in chosen and tier is None:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sandbox.available())
        raise ValueError(f"Python has no sandbox here ({reasons}).")
    if tier is not None:
        say(f"Python runs in the sandbox {tier.name}.")
    return [tool for tool in Workspace(folder, tier).tools() if tool.name in chosen]


def _browser(wanted: dict[str, list[str]], index: Path, trace: Trace, far: bool, stack: AsyncExitStack) -> list[Tool]:
    from firesteel.agent.web import Browser, Fetcher, LocalIndex, MetaSearch, SearXNG

    search = SearXNG(wanted["searxng"][0]) if "searxng" in wanted else MetaSearch() if "web" in wanted else None
    index.parent.mkdir(parents=True, exist_ok=True)
    files = LocalIndex([Path(expanduser(value)) for value in wanted["folder"]], index) if "folder" in wanted else None
    if files:
        stack.push_async_callback(files.close)
    browser = Browser(
        search=search,
        fetch=Fetcher() if search else None,
        files=files,
        # What subagents hear of far tools is in traces of their own.
        heard=lambda: far or any(message.role == "tool" for message in trace),
        earlier=trace,
    )
    for message in trace:
        if message.role == "user":
            browser.allow(message.text)
    return browser.tools()
