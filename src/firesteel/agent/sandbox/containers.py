"""The third tier: docker or podman, for machines without Linux's own means (or without the right to use them).

The image is the user's own, never pulled: its Python and packages run the code, locked in by `jail/main.py` as in the
other tiers. Start-up takes as long as the engine takes (a second or so), and the wall deadline counts it. A container
is the engine's child, not ours: `timeout` inside it ends it where the harness itself was killed.

Sources: docker run(1), podman-run(1).
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from firesteel.agent.sandbox.base import JAIL, Limits, Result, request
from firesteel.agent.sandbox.supervise import supervise

IMAGE = "firesteel-python"
_RECIPE = r"printf 'FROM python:3.13-slim\nRUN pip install numpy pandas matplotlib pillow'"
_LOCKED = (
    *("--rm", "--interactive", "--pull", "never", "--network", "none", "--ipc", "none", "--read-only"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--workdir", "/mnt/data"),
)
_CLIENT_NEEDS = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST", "XDG_RUNTIME_DIR", "SYSTEMROOT")


@dataclass(frozen=True)
class Container:
    name: str  # "docker" or "podman"
    sees: str = "/mnt/data"

    def obstacle(self) -> str:
        program = shutil.which(self.name)
        if program is None:
            return f"there is no {self.name}."
        try:
            asked = subprocess.run([program, "image", "inspect", IMAGE], capture_output=True, text=True, timeout=10)
        except subprocess.TimeoutExpired:
            return f"{self.name} does not answer."
        if "no such image" in asked.stderr.lower() or "image not known" in asked.stderr.lower():
            return f"there is no image {IMAGE}; make one: {_RECIPE} | {self.name} build -t {IMAGE} -"
        return asked.stderr.strip() or "its image cannot be read." if asked.returncode else ""

    async def run(self, code: str, folder: Path, limits: Limits) -> Result:
        program = shutil.which(self.name)
        assert program, "A tier with an obstacle was asked to run."
        folder, container = folder.resolve(), f"firesteel-{secrets.token_hex(8)}"
        memory = f"{limits.memory_mib}m"
        caps = ["--pids-limit", str(limits.threads), "--memory", memory, "--memory-swap", memory]
        places = ["--mount", f"type=bind,source={JAIL},target=/jail,readonly"]
        places += ["--mount", f"type=bind,source={folder},target={self.sees}"]
        command = ["timeout", "--signal", "KILL", str(math.ceil(limits.wall_s) + 5)]
        command += ["python3", "-I", "-B", "-X", "utf8", "/jail/main.py"]  # with site: the packages are the image's own
        environment = {name: os.environ[name] for name in _CLIENT_NEEDS if name in os.environ}

        async def remove() -> None:
            quiet = asyncio.subprocess.DEVNULL
            ending = await asyncio.create_subprocess_exec(
                program, "rm", "--force", container, stdout=quiet, stderr=quiet, env=environment
            )
            await ending.wait()

        argv = [program, "run", "--name", container, *_LOCKED, *caps, *self._owner(), *places, IMAGE, *command]
        asked = request(code, self.sees, limits, packages=[])
        return await supervise(argv, asked, folder, limits, environment=environment, also_kill=remove)

    def _owner(self) -> list[str]:
        """The caller's user id, so that the files in the folder are the caller's."""
        if not hasattr(os, "getuid"):
            return []
        keep = ["--userns", "keep-id"] if self.name == "podman" and os.getuid() else []
        return [*keep, "--user", f"{os.getuid()}:{os.getgid()}"]
