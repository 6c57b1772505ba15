"""The tools that `--tools` names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from firesteel.agent import Tool
from firesteel.agent.eyes import Eyes
from firesteel.agent.subagents import spawn_agents
from firesteel.backends import Backend
from firesteel.cli.mind import Mind
from firesteel.format import Trace

NAMES = ("zoom", "agents")


@asynccontextmanager
async def toolbox(names: Sequence[str], trace: Trace, backend: Backend, mind: Mind) -> AsyncGenerator[list[Tool], None]:
    """The tools of one conversation, closed at its end. Raises ValueError for an unknown name."""
    if unknown := [name for name in names if name not in NAMES]:
        raise ValueError(f"There are no tools {unknown[0]}; there are: {', '.join(NAMES)}.")
    tools: list[Tool] = []
    if "zoom" in names:
        tools += Eyes(trace).tools()
    if "agents" in names:
        tools.append(spawn_agents(backend, tools, **mind.options))
    yield tools
