"""Where code that nobody trusts runs: the first tier that proves itself on this machine. No tier, no tool.

The order: bubblewrap (namespaces), Landlock (pure Python), docker or podman, WebAssembly. Before a tier is used it must
print, compute and write in its folder, and fail to read a secret beside it, to open a socket and to start a process.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from firesteel.agent.sandbox.base import Limits, Result, Sandbox
from firesteel.agent.sandbox.bubblewrap import Bubblewrap
from firesteel.agent.sandbox.containers import Container
from firesteel.agent.sandbox.landlock import Landlock
from firesteel.agent.sandbox.wasm import WebAssembly

__all__ = ["TIERS", "Limits", "Result", "Sandbox", "available", "best"]

TIERS: tuple[Sandbox, ...] = (Bubblewrap(), Landlock(), Container("docker"), Container("podman"), WebAssembly())

_SECRET = "not for the jail"
_PROBE = """
import os
open("written", "w").write("done")
def held(attempt):
    try:
        attempt()
    except (OSError, AttributeError, ImportError):
        return 1
    return 0
def read(): return open({secret!r}).read()
def connect(): return __import__("socket").socket()
def fork(): return os.fork() or os._exit(0)
print("held", held(read), held(connect), held(fork))
"""


def best() -> Sandbox | None:
    """The first tier that works here, or None. Asked once; the first call takes a fraction of a second."""
    return next((tier for tier in TIERS if not _reason(tier)), None)


def available() -> list[tuple[str, str | None]]:
    """All tiers in their order, each with the sentence why it cannot be used, or None. Tests every one."""
    return [(tier.name, _reason(tier) or None) for tier in TIERS]


@functools.cache
def _reason(tier: Sandbox) -> str:
    if obstacle := tier.obstacle():
        return obstacle
    with ThreadPoolExecutor(1) as pool:  # a loop of its own: the caller may be inside one
        return pool.submit(asyncio.run, _test(tier)).result()


async def _test(tier: Sandbox) -> str:
    with tempfile.TemporaryDirectory(prefix="firesteel-") as place:
        folder, secret = Path(place, "folder"), Path(place, "secret")
        folder.mkdir()
        secret.write_text(_SECRET)
        result = await tier.run(_PROBE.format(secret=str(secret)), folder, Limits(wall_s=30))
    if result.stdout.strip() != "held 1 1 1" or result.changed != ("written",):
        said = (result.stderr.strip() or result.stdout.strip() or f"exit status {result.exit_code}").splitlines()[-1]
        return f"its self-test failed: {result.stopped or said}"
    return ""
