"""The third tier: docker or podman, for machines without Linux's own means (or without the right to use them).

- The image is the user's own, never pulled: its Python and packages run the code, locked in by `jail/main.py` as in the
  other tiers. Where the engine's kernel has Landlock, the code sees no more of the image than Python needs.
- Start-up takes as long as the engine takes (half a second or so), and the wall deadline counts it.
- A container is the engine's child, not ours: `timeout` inside it ends it where the harness itself was killed. What it
  holds is watched where the engine runs on this machine; elsewhere only the folder is.

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
# What Python and its packages need of an image; /usr/share and /usr/local hold time zones and packages.
_READ = ["/usr", "/lib", "/lib64", "/opt", "/etc/ld.so.cache", "/jail", "/dev/urandom", "/dev/random"]
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
        # With site, for the packages are the image's own. The name is there for `pid` to find.
        command += ["python3", "-I", "-B", "-X", "utf8", "/jail/main.py", container]
        environment = {name: os.environ[name] for name in _CLIENT_NEEDS if name in os.environ}

        async def ask(*arguments: str) -> str:
            quiet = asyncio.subprocess.DEVNULL
            asked = await asyncio.create_subprocess_exec(
                program, *arguments, container, stdout=asyncio.subprocess.PIPE, stderr=quiet, env=environment
            )
            return (await asked.communicate())[0].decode()

        async def remove() -> None:
            await ask("rm", "--force")

        async def pid() -> int | None:
            said = (await ask("container", "inspect", "--format", "{{.State.Pid}}")).strip()
            if not said.isdigit() or said == "0":
                return None
            try:
                ours = container.encode() in Path("/proc", said, "cmdline").read_bytes()
            except OSError:  # not Linux, not this machine, or ended
                ours = False
            return int(said) if ours else 0

        argv = [program, "run", "--name", container, *_LOCKED, *caps, *self._owner(), *places, IMAGE, *command]
        rules = {"read": _READ, "write": [self.sees, "/dev/null"], "abi": None}
        asked = request(code, self.sees, limits, packages=[], landlock=rules)
        return await supervise(argv, asked, folder, limits, environment=environment, also_kill=remove, inner_pid=pid)

    def _owner(self) -> list[str]:
        """The caller's user id, so that the files in the folder are the caller's."""
        if not hasattr(os, "getuid"):
            return []
        keep = ["--userns", "keep-id"] if self.name == "podman" and os.getuid() else []
        return [*keep, "--user", f"{os.getuid()}:{os.getgid()}"]
