"""Every payload on every tier that this machine has: none gets out. And most of them do get out where there is no jail,
so that the first claim means something."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from firesteel.agent import sandbox
from firesteel.agent.container import Workspace
from firesteel.agent.sandbox import Limits
from firesteel.agent.tools import ToolError
from tests.agent.sandbox import payloads

SMALL = Limits(wall_s=5, cpu_s=2, memory_mib=512, threads=32, file_mib=8, folder_mib=32, files=200, output=4000)
ROOT = Path(__file__).parents[3]
# They show nothing where there is no jail, or not on every machine.
NO_CONTROL = {
    "set an attribute of a file outside",
    "the environment",
    "the environment of the C library",
    "the environment of itself",
    "the environment of process 1",
    "the environment of the parent",
    "the environment of the harness",
    "the root of process 1",
    "standard input",
    "the frames below",
    "an address on a connected pair",
    "the x32 numbers",
    "a daemon that lives on",
    "leave the session",
    "leave a device by renaming",
    "the terminal of the harness",
    "a socket of the virtual machine",
    "a packet socket",
    "the kernel's ciphers",
}


class World:
    """What surrounds a jail: a secret, a folder, listeners, a process; an escape shows in one of them."""

    def __init__(self, place):
        self.canary, self.mark = secrets.token_hex(16), f"firesteel-mark-{secrets.token_hex(4)}"
        self.secret, self.outside, self.folder = place / "secret" / "file", place / "outside", place / "folder"
        for folder in (self.secret.parent, self.outside, self.folder, place / "other"):
            folder.mkdir()
        self.secret.write_text(self.canary)
        os.utime(self.secret, (10**9, 10**9))
        (place / "other" / "file").write_text(self.canary)
        self.known = self.secret.stat()
        self.inherited = os.open(self.secret, os.O_RDONLY)
        os.set_inheritable(self.inherited, True)
        self.victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=self.environment)
        self.reached, self.listeners = [], []
        tcp = self._listen(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        udp = self._listen(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self._listen(socket.AF_UNIX, socket.SOCK_STREAM, str(place / "unix"))
        self._listen(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + self.mark)
        self._listen(socket.AF_UNIX, socket.SOCK_DGRAM, str(place / "datagram"))
        self.variables = {
            "SECRET": str(self.secret),
            "OUTSIDE": str(self.outside),
            "OTHER": str(place / "other" / "file"),
            "CHECKOUT": str(ROOT),
            "SHARED": f"/tmp/{self.mark}",
            "SHM": f"/dev/shm/{self.mark}",
            "SHM_NAME": f"{self.mark}-2",
            "HARNESS": os.getpid(),
            "VICTIM": self.victim.pid,
            "INHERITED": self.inherited,
            "TCP": tcp,
            "UDP": udp,
            "UNIX": str(place / "unix"),
            "ABSTRACT": "\0" + self.mark,
            "DATAGRAM": str(place / "datagram"),
        }

    @property
    def environment(self):
        return {"CANARY": self.canary}

    def _listen(self, family, kind, address):
        listener = socket.socket(family, kind)
        listener.bind(address)
        if kind == socket.SOCK_STREAM:
            listener.listen()

        def wait():
            with contextlib.suppress(OSError):
                while True:
                    if kind == socket.SOCK_STREAM:
                        listener.accept()[0].close()
                    else:
                        listener.recv(10)
                    self.reached.append(address)

        threading.Thread(target=wait, daemon=True).start()
        self.listeners.append(listener)
        return listener.getsockname()[1] if family == socket.AF_INET else None

    def code(self, payload):
        values = "\n".join(f"{name} = {value!r}" for name, value in self.variables.items())
        return f"{payloads.PRELUDE}\n{values}\n{payload}"

    def escapes(self, said):
        """What shows that the code got out, in words."""
        time.sleep(0.05)  # for the listeners
        about = self.secret.stat() if self.secret.exists() else None
        same = about and [(about.st_mode, about.st_size, about.st_mtime)] == [
            (self.known.st_mode, self.known.st_size, self.known.st_mtime)
        ]
        marks = (f"/tmp/{self.mark}", f"/dev/shm/{self.mark}", f"/dev/shm/{self.mark}-2")
        found_in_folder = [(entry.name, entry.stat(follow_symlinks=False)) for entry in os.scandir(self.folder)]
        odd = [name for name, about in found_in_folder if not plain(about)]
        found = {
            "the canary was read": self.canary in said,
            "it said so": "ESCAPED" in said,
            "the secret was changed": not same,
            "something was written outside": list(self.outside.iterdir()) or any(map(os.path.exists, marks)),
            f"a listener was reached: {self.reached}": self.reached,
            "the victim was killed": self.victim.poll() is not None,
            f"a trap was left: {odd}": odd,
            "a process lives on": self.lives(),
            "the harness was led out": self.canary in self.told_by_the_harness(),
        }
        return [what for what, happened in found.items() if happened]

    def lives(self):
        """Whether someone still holds the lock that each payload takes."""
        if not (self.folder / "alive").is_file():
            return False
        with (self.folder / "alive").open() as file:
            for _ in range(20):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return False
                time.sleep(0.1)
        return True

    def told_by_the_harness(self):
        """What its file tools tell about the folder, and about what the payloads tried to link."""
        tools = {tool.name: tool for tool in Workspace(self.folder, None).tools()}
        said = []
        for name in (".", "link", "notes.txt", "more/file", "m/file", "../secret/file"):
            with contextlib.suppress(ToolError):
                said += asyncio.run(tools["container.view"]({"path": name}))
        said += asyncio.run(tools["container.file_search"]({"queries": [self.canary]}))
        return " ".join(part.text for part in said)

    def close(self):
        os.close(self.inherited)
        self.victim.kill()
        self.victim.communicate()
        for listener in self.listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for name in (f"/tmp/{self.mark}", f"/dev/shm/{self.mark}"):
            Path(name).unlink(missing_ok=True)


def plain(about):
    """Whether it is a folder, or a file with one name that runs as nobody else."""
    alone = stat.S_ISREG(about.st_mode) and about.st_nlink == 1
    return stat.S_ISDIR(about.st_mode) or (alone and not about.st_mode & (stat.S_ISUID | stat.S_ISGID))


@pytest.fixture
def world(tmp_path, monkeypatch):
    if sys.platform != "linux":
        pytest.skip("The payloads are written for Linux.")
    made = World(tmp_path)
    monkeypatch.setenv("CANARY", made.canary)
    yield made
    made.close()


@pytest.fixture(scope="session")
def reasons():
    return dict(sandbox.available())


def test_there_are_enough_payloads():
    assert len(payloads.ALL) > 120


@pytest.mark.parametrize("tier", sandbox.TIERS, ids=lambda tier: tier.name)
@pytest.mark.parametrize("name", payloads.ALL)
def test_no_payload_gets_out(tier, name, world, reasons):
    if reasons[tier.name]:
        pytest.skip(f"No {tier.name} here: {reasons[tier.name]}")
    limits = SMALL if name in payloads.EXHAUSTION else Limits(wall_s=60)
    result = asyncio.run(tier.run(world.code(payloads.ALL[name]), world.folder, limits))
    assert world.escapes(result.stdout + result.stderr) == []
    size = sum(path.stat().st_size for path in world.folder.rglob("*") if path.is_file())
    assert size <= limits.folder_mib << 20
    assert len(result.stdout) + len(result.stderr) < 2 * limits.output + 200


@pytest.mark.parametrize("name", [name for name in payloads.WITHOUT_A_JAIL if name not in NO_CONTROL])
def test_without_a_jail_the_payload_gets_out(name, world):
    code = world.code(payloads.ALL[name])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=world.folder, env=dict(os.environ), pass_fds=[world.inherited], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, start_new_session=True,
    )  # fmt: skip
    assert world.escapes(done.stdout + done.stderr), done.stderr
