"""What a sandbox is: it runs Python code that nobody trusts, in one folder, within limits.

A run is one process with threads: it sees the folder, Python's library and the installed packages, and nothing else
of the machine; no network, no environment, no other process. What it leaves behind are files in the folder.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

JAIL = Path(__file__).parent / "jail"
SCRATCH = ".scratch"  # inside the folder: temporary files and caches of the code, shown to nobody


@dataclass(frozen=True)
class Limits:
    """What one run may use. `output` caps each of stdout and stderr; `folder_mib` and `files` count what was there."""

    wall_s: float = 60.0
    cpu_s: int = 30
    memory_mib: int = 2048
    threads: int = 64
    descriptors: int = 128
    file_mib: int = 64
    folder_mib: int = 256
    files: int = 2000
    output: int = 16_000


@dataclass(frozen=True)
class Result:
    """How a run ended. `exit_code` is negative or above 128 after a signal; `changed` holds paths in the folder.

    `stopped` says in a sentence why the run was killed, and is empty if it ended by itself.
    """

    stdout: str
    stderr: str
    exit_code: int
    stopped: str = ""
    changed: tuple[str, ...] = ()


class Sandbox(Protocol):
    """One tier. `sees` is the path at which the code finds its folder, or "" where it finds it at the real path."""

    @property
    def name(self) -> str: ...

    @property
    def sees(self) -> str: ...

    def __hash__(self) -> int: ...

    def obstacle(self) -> str:
        """Why this machine cannot have the tier, in a sentence; "" if nothing is known to stand against it."""
        ...

    async def run(self, code: str, folder: Path, limits: Limits) -> Result:
        """Runs Python code with `folder` as its working directory. Cancelling kills the run at once.

        Raises ValueError if the folder is over its limits in a way that no run could mend.
        """
        ...


def packages() -> list[str]:
    """The folders that hold the installed packages of this interpreter."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages") and Path(path).is_dir()]


def readable() -> list[str]:
    """What Python and its packages need to read, and the code may see: libraries, time zones, packages."""
    paths = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo"]
    paths += [str(Path(sys.base_prefix) / "lib"), sysconfig.get_path("stdlib"), *packages()]
    return list(dict.fromkeys(path for path in paths if Path(path).exists()))


def interpreter() -> str:
    """The interpreter itself, not a link to it from a virtual environment."""
    return str(Path(sys.executable).resolve())


# The options: no user's settings (-I), no start-up files of packages (-S), no compiled files written (-B).
OPTIONS = ("-I", "-S", "-B", "-X", "utf8")


def request(code: str, folder: str, limits: Limits, **more: Any) -> Mapping[str, Any]:
    """What `jail/main.py` reads. `more` replaces entries: `packages`, `landlock`, `parent`, `processes`."""
    from firesteel.agent.sandbox import seccomp

    return {
        "code": code,
        "folder": folder,
        "scratch": SCRATCH,
        "packages": packages(),
        "cpu": limits.cpu_s,
        "memory": limits.memory_mib << 20,
        "file": limits.file_mib << 20,
        "descriptors": limits.descriptors,
        "processes": None,  # counted by user: only a user of one's own has nothing else that counts
        "landlock": None,
        "parent": 0,
        "seccomp": seccomp.programs(),
    } | more
