"""Watches one jailed process from outside: deadline, output, threads, disk; and kills it for good.

The kernel holds the limits on CPU time, memory and single files (see `jail/main.py`). What it cannot hold for a user
without rights is looked at every 50 ms: threads, and the size of the folder together with files that were deleted
but are still open or mapped. Who moves folders fast enough may hide them from a look; all that a run writes is limited
as well. A run that overfills the folder loses the files that it made, and if that is not enough
those that it changed. Of a container on another machine only the folder is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import stat
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from firesteel.agent.sandbox.base import SCRATCH, Limits, Result

POLL_S = 0.05
DEEPEST = 32
ENTRY_BYTES = 4096  # counted for each file and folder, so that empty ones are not free
FLOOD_BYTES = 16 << 20
REWRITES = 16  # a run may write this many times what the folder may hold


@dataclass
class Capped:
    """The beginning and the end of a stream of bytes, at most `most` of them; the middle is only counted."""

    most: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    total: int = 0

    def add(self, data: bytes) -> None:
        room = self.most // 2 - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        self.total += len(data)
        del self.tail[: max(0, len(self.tail) - (self.most - self.most // 2))]

    @property
    def text(self) -> str:
        missing = self.total - len(self.head) - len(self.tail)
        if not missing:
            return (self.head + self.tail).decode("utf-8", errors="replace")
        head, tail = (part.decode("utf-8", errors="replace") for part in (self.head, self.tail))
        return f"{head}\n[… {missing:,} bytes left out …]\n{tail}"


@dataclass(frozen=True)
class Survey:
    """A folder's files (path inside it → what changes when the file does), its folders, their size in bytes.

    `odd` names those of the files that are none: links, pipes, devices.
    """

    files: dict[str, tuple[int, int, int]]
    folders: set[str]
    odd: set[str]
    size: int


def survey(folder: Path, most: int) -> Survey:
    """Looks through a folder without following links. Raises ValueError for more than `most` entries, or too deep."""
    files: dict[str, tuple[int, int, int]] = {}
    folders: set[str] = set()
    odd: set[str] = set()
    size = 0
    waiting = [("", 0)]
    while waiting:
        inside, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValueError(f"The working folder is nested more than {DEEPEST} deep.")
        for entry, about in _entries(folder / inside):
            path = f"{inside}/{entry}" if inside else entry
            size += ENTRY_BYTES
            if stat.S_ISDIR(about.st_mode):
                folders.add(path)
                waiting.append((path, depth + 1))
            else:
                size += about.st_size
                files[path] = _state(about)
                if not stat.S_ISREG(about.st_mode):
                    odd.add(path)
            if len(files) + len(folders) > most:
                raise ValueError(f"The working folder holds more than {most:,} files.")
    return Survey(files, folders, odd, size)


def _state(about: os.stat_result) -> tuple[int, int, int]:
    return about.st_mtime_ns, about.st_size, about.st_ino


def hidden(path: str) -> bool:
    """Whether a path inside the folder is the code's scratch, or in it."""
    return path.split("/", 1)[0] == SCRATCH


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Names and what is known of them. What vanishes meanwhile is left out: the code may be running."""
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
            for entry in found:
                with contextlib.suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False)
    except PermissionError as error:
        raise ValueError("The working folder holds a folder that cannot be read.") from error


async def supervise(
    argv: Sequence[str],
    request: Mapping[str, Any],
    folder: Path,
    limits: Limits,
    *,
    environment: Mapping[str, str] | None = None,
    also_kill: Callable[[], Awaitable[None]] | None = None,
    inner_pid: Callable[[], Awaitable[int | None]] | None = None,
) -> Result:
    """Starts `argv`, hands it the request, waits for its end. The process gets an empty environment if none is given.

    Where the code runs in a container, `also_kill` ends it and `inner_pid` tells its process: None while there is
    none, 0 where it is none of this machine's. Raises ValueError for a folder that cannot be surveyed.
    """
    before = await asyncio.to_thread(survey, folder, limits.files)
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(environment or {}), cwd="/", start_new_session=True
    )
    assert process.stdin and process.stdout and process.stderr
    streams = [Capped(limits.output), Capped(limits.output)]
    tasks = [
        asyncio.create_task(_hand_over(process.stdin, json.dumps(request).encode())),
        asyncio.create_task(_drain(process.stdout, streams[0])),
        asyncio.create_task(_drain(process.stderr, streams[1])),
    ]
    most = max(limits.folder_mib << 20, before.size)
    stopped = ""
    try:
        async with asyncio.timeout(limits.wall_s):
            stopped = await _watch(process, streams, folder, limits, most, inner_pid)
    except TimeoutError:
        stopped = f"It ran longer than {limits.wall_s:g} s."
    finally:
        if process.returncode is None:
            process.kill()
            if also_kill is not None:
                await asyncio.shield(also_kill())
        await process.wait()
        await asyncio.wait(tasks, timeout=1)
        for task in tasks:
            task.cancel()
        full, after = await asyncio.to_thread(_tidy, folder, before, limits, most)
    if full:
        stopped = f"{stopped or full} The files that it made were removed."
    changed = (path for path, about in after.files.items() if before.files.get(path) != about and not hidden(path))
    assert process.returncode is not None
    return Result(
        stdout=streams[0].text,
        stderr=streams[1].text,
        exit_code=process.returncode,
        stopped=stopped,
        changed=tuple(sorted(changed)),
    )


async def _hand_over(stdin: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # It ended before it read: its exit status and stderr say why.
        stdin.write(data)
        await stdin.drain()
        stdin.close()


async def _drain(stream: asyncio.StreamReader, into: Capped) -> None:
    while data := await stream.read(1 << 16):
        into.add(data)


async def _watch(
    process: Process,
    streams: Sequence[Capped],
    folder: Path,
    limits: Limits,
    most: int,
    inner_pid: Callable[[], Awaitable[int | None]] | None,
) -> str:
    """Returns at the end of the process, or with the reason to kill it. `most`: bytes that the folder may hold."""
    ended = asyncio.create_task(process.wait())
    watched = None if inner_pid else process.pid
    clock = asyncio.get_running_loop().time
    pause = POLL_S
    try:
        while not (await asyncio.wait({ended}, timeout=pause))[0]:
            start = clock()
            if sum(stream.total for stream in streams) > FLOOD_BYTES:
                return f"It wrote more than {FLOOD_BYTES >> 20} MiB of output."
            if inner_pid and watched is None:
                watched = await inner_pid()
            load = await asyncio.to_thread(_load, watched, limits.file_mib << 20) if watched else Load(0, 0, 0)
            if load.threads > limits.threads:
                return f"It had more than {limits.threads} threads."
            if load.written > REWRITES * limits.folder_mib << 20:
                return f"It wrote more than {REWRITES * limits.folder_mib} MiB in all."
            if full := await asyncio.to_thread(_crowded, folder, limits, most - load.held):
                return full
            pause = max(POLL_S, 4 * (clock() - start))  # watching takes at most a fifth of the time
    finally:
        ended.cancel()
    return ""


def _crowded(folder: Path, limits: Limits, most: int) -> str:
    """What is too much about a folder, in a sentence; "" if nothing is."""
    try:
        size = survey(folder, limits.files).size
    except ValueError as error:
        return str(error)
    return f"The working folder grew over {limits.folder_mib} MiB." if size > most else ""


class Load(NamedTuple):
    """`held`: bytes in files that are deleted but open or mapped; `written`: bytes written so far, to anything."""

    threads: int
    held: int
    written: int


def _load(pid: int, largest: int) -> Load:
    """Of a process and its descendants; zeros where no /proc is.

    The size of a file that is mapped but no longer open is not known: it counts as the `largest` that a file may be.
    """
    threads = written = 0
    held: dict[int, int] = {}  # by the file's number
    waiting = [pid]
    while waiting:
        one = Path("/proc") / str(waiting.pop())
        # What has just ended is gone, or belongs to root until it is waited for.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            threads += (one / "task").stat().st_nlink - 2
            for line in (one / "maps").read_bytes().splitlines():
                if line.endswith(b" (deleted)"):
                    held.setdefault(int(line.split()[4]), largest)
            for descriptor in (one / "fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    about = descriptor.stat()
                    if stat.S_ISREG(about.st_mode) and not about.st_nlink:
                        held[about.st_ino] = about.st_size
            waiting += map(int, (one / "task" / one.name / "children").read_text().split())
            counters = dict(line.split(": ") for line in (one / "io").read_text().splitlines())
            written += max(int(counters["wchar"]), int(counters["write_bytes"]))  # by calls; by pages of files
    return Load(threads, sum(held.values()), written)


def _tidy(folder: Path, before: Survey, limits: Limits, most: int) -> tuple[str, Survey]:
    """Takes away what a run left too much of, and links, which whoever looks into the folder might follow.

    Returns what was too much, in a sentence ("" if nothing), and what is there now.
    """
    reason = _crowded(folder, limits, most)
    if reason:
        _remove(folder, before, changed=False)
        if _crowded(folder, limits, most):
            _remove(folder, before, changed=True)
    after = survey(folder, limits.files)
    for path in after.odd - before.odd:
        (folder / path).unlink()
        del after.files[path]
    return reason, after


def _remove(folder: Path, before: Survey, changed: bool) -> None:
    """Removes the files and folders that were not there before, and the changed files where asked. Follows no link."""
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        for entry, about in list(_entries(folder / inside)):
            path = f"{inside}/{entry}" if inside else entry
            if stat.S_ISDIR(about.st_mode) and path in before.folders:
                waiting.append(path)
            elif stat.S_ISDIR(about.st_mode):
                _remove_tree(folder / path, folder)
            elif path not in before.files or (changed and before.files[path] != _state(about)):
                (folder / path).unlink()


def _remove_tree(tree: Path, top: Path) -> None:
    """Lifts each folder to the top before it looks inside, so that neither recursion nor long paths set a limit."""
    waiting, emptied = [tree], []
    while waiting:
        here = waiting.pop()
        here.chmod(0o700)  # it may have been made without any right
        emptied.append(here.rename(top / f".removed-{secrets.token_hex(8)}"))
        for path in list(emptied[-1].iterdir()):
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            else:
                path.unlink()
    for folder in emptied:
        folder.rmdir()
