"""The second tier: Landlock, seccomp and resource limits, from pure Python. Needs no program and no rights.

Landlock must be of ABI 3 (Linux 6.2), the first that covers truncation. It has no say over names: code can learn that
a file of some name exists (stat), not what is in it. The code finds its folder at the real path.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from firesteel.agent.sandbox import seccomp
from firesteel.agent.sandbox.base import JAIL, OPTIONS, Limits, Result, interpreter, readable, request
from firesteel.agent.sandbox.supervise import supervise

OLDEST_ABI = 3
_CREATE_RULESET, _ASK_VERSION = 444, 1
_DEVICES = ("/dev/urandom", "/dev/random")  # not zero: mapped and shared, it is memory that no limit counts


class Landlock:
    name = "landlock"
    sees = ""

    def obstacle(self) -> str:
        if missing := seccomp.obstacle():
            return missing
        if (abi := version()) < OLDEST_ABI:
            found = f"has ABI {abi}" if abi > 0 else "has none"
            return f"it needs a kernel with Landlock ABI {OLDEST_ABI} (Linux 6.2), this one {found}."
        return ""

    async def run(self, code: str, folder: Path, limits: Limits) -> Result:
        folder = folder.resolve()
        rules = {"read": [*readable(), str(JAIL), *_DEVICES], "write": [str(folder), "/dev/null"], "abi": version()}
        asked = request(code, str(folder), limits, landlock=rules, parent=os.getpid())
        return await supervise([interpreter(), *OPTIONS, str(JAIL / "main.py")], asked, folder, limits)


def version() -> int:
    """The kernel's Landlock ABI; -1 if it has none or it is switched off."""
    return int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _ASK_VERSION))
