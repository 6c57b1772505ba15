"""Files of one conversation, opened so that no name leads out of its folder.

- Names come from the model, the folder's content from code that nobody trusts. So each step of a path is opened by
  itself, relative to the step before, and no link is followed: there is no moment in which a checked path could change.
- Where the system cannot open relative to a folder (Windows), the resolved path must be the path itself.
- Only regular files are read, and only up to a size.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path

CONTAINER = "/mnt/data"  # what the published harness calls the folder
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def locate(name: str, folder: Path) -> str:
    """The path inside the folder that `name` means: relative, below /mnt/data, or below the folder's real path.

    Raises ValueError for a name that leads elsewhere.
    """
    path = name.strip()
    if path.startswith("container://"):
        path = urllib.parse.unquote(path.removeprefix("container://"))
    for root in (CONTAINER, str(folder)):
        if path == root or path.startswith(f"{root}/"):
            path = path[len(root) :].lstrip("/")
            break
    parts = [part for part in path.split("/") if part not in ("", ".")]
    strange = "\0" in path or any("\ud800" <= letter <= "\udfff" for letter in path)  # half a character: bytes, no text
    if path.startswith("/") or ".." in parts or strange or (os.name == "nt" and ("\\" in path or ":" in path)):
        raise ValueError(f"{name!r} lies outside the working folder; use a path relative to it.")
    return "/".join(parts)


def read_file(folder: Path, inside: str, most: int) -> bytes:
    """The content of a regular file. Raises ValueError if there is none, or it has more than `most` bytes."""
    with _opened(folder, inside, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)) as descriptor:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{inside} is not a file.")
        if about.st_size > most:
            raise ValueError(f"{inside} has {about.st_size:,} bytes, more than the {most:,} that can be read at once.")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(most)


def write_file(folder: Path, inside: str, data: bytes) -> None:
    """Writes a file, new or over an old one, and makes the folders on the way. Raises ValueError where it cannot."""
    if not inside:
        raise ValueError("A file needs a name.")
    with _opened(folder, inside, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{inside} is not a file.")
        os.ftruncate(descriptor, 0)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)


@contextlib.contextmanager
def _opened(folder: Path, inside: str, flags: int) -> Iterator[int]:
    *above, name = inside.split("/")
    try:
        if os.open in os.supports_dir_fd:
            descriptor = _open_stepwise(folder, above, name, flags)
        else:
            descriptor = _open_resolved(folder, inside, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:  # also of reading and writing: a full disk
        raise ValueError(_reason(inside, error)) from error


def _open_stepwise(folder: Path, above: Sequence[str], name: str, flags: int) -> int:
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in above:
            if flags & os.O_CREAT:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=here)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        return os.open(name, flags | _NOFOLLOW, 0o600, dir_fd=here)
    finally:
        os.close(here)


def _open_resolved(folder: Path, inside: str, flags: int) -> int:
    path = folder.resolve() / inside
    if path.resolve() != path:
        raise OSError(errno.ELOOP, "a link")
    if flags & os.O_CREAT:
        path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, flags | _NOFOLLOW, 0o600)


def _reason(inside: str, error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return f"{inside} is or goes through a link or a file that is no folder: it is not opened."
    if error.errno == errno.ENOENT:
        return f"There is no file {inside}."
    return f"{inside} cannot be read or written: {error.strerror}."
