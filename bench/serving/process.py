"""Server processes as a benchmark needs them: started, told where they listen, watched, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

BENCH = Path(__file__).parent.parent


@dataclass
class Server:
    """A running server. Its first line on stdout ended in, or held, its URL."""

    process: subprocess.Popen[str]
    host: str
    port: int
    errors: Path

    def seconds(self) -> float:
        """Processor time that it used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def own_seconds(self) -> float:
        """Processor time of its first thread, in which Firesteel's event loop runs and llama.cpp does not."""
        process = self.process.pid
        return int(Path(f"/proc/{process}/task/{process}/schedstat").read_text().split()[0]) / 1e9

    def megabytes(self) -> float:
        """Resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise AssertionError("the server is gone")


def start(command: Sequence[str], folder: Path, patience: float = 120.0) -> Server:
    """Starts a Python program that prints its URL. Raises RuntimeError with the end of stderr if it does not."""
    errors = folder / f"{time.monotonic_ns()}.err"
    with errors.open("w") as log:
        process = subprocess.Popen([sys.executable, *command], cwd=BENCH, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    end = time.monotonic() + patience
    while time.monotonic() < end and (line := process.stdout.readline()):
        for word in line.split():
            parts = urlsplit(word.strip(";"))
            if parts.scheme == "http" and parts.hostname and parts.port:
                return Server(process, parts.hostname, parts.port, errors)
    process.kill()
    raise RuntimeError(f"{' '.join(command)} did not start: {errors.read_text()[-2000:]}")


def stop(server: Server, patience: float = 60.0) -> int:
    server.process.send_signal(signal.SIGTERM)
    try:
        return server.process.wait(patience)
    except subprocess.TimeoutExpired:
        server.process.kill()
        return server.process.wait()


@contextmanager
def running(*command: str) -> Iterator[Server]:
    """A server that is stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = start(command, Path(folder))
        try:
            yield server
        finally:
            stop(server)


@contextmanager
def stub(*options: str) -> Iterator[Server]:
    """Firesteel with the stub engine, on a store of its own."""
    with (
        tempfile.TemporaryDirectory() as data,
        running("-m", "serving.stub", "firesteel", "--data", data, *options) as server,
    ):
        yield server
