"""The files of a thread: what its user gave, and what lay in the tools' working folder at the end of each turn.

- A turn begins with the files that the turn before it left, so every branch has its own; they are blobs that the turn's
  row names, and go with it. Files that the user gave are named in the thread's settings (`{"files": [{"id"}]}`, uploads
  of the same owner) and lie in the folder of every turn until they are taken back.
- A given file whose name has no place in the folder, as a folder of the tools bears it, is left out of the turn.
- Code wrote the folder: links are not followed, and what is too large or too much is left out.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from firesteel.agent.files import read_file, write_file
from firesteel.agent.sandbox import Limits
from firesteel.agent.sandbox.supervise import DEEPEST, hidden, survey
from firesteel.server.errors import invalid
from firesteel.server.responses.blobs import placed
from firesteel.server.store import Store, StoredResponse, Thread

_LOG = logging.getLogger("firesteel.server")
# Files of a turn that tools made; bytes of one of them; bytes of all; files that the user gave.
MOST, LARGEST, MOST_BYTES, GIVEN = 200, 8 << 20, 64 << 20, 100

# {"name", "bytes", "turn"}: the turn that made it, and its "blob"; or None, and the "file" given.
Entry = Mapping[str, Any]


class Folder:
    """The working folder of a turn. `files` are those that stand there, as the turn's row keeps them."""

    def __init__(self, store: Store, owner: str, turn: str, files: Sequence[Entry]) -> None:
        self.files = list(files)
        self._store, self._owner, self._turn = store, owner, turn
        self._before: dict[str, str] = {}  # the SHA-256 of what the tools found, by name

    @classmethod
    async def of(cls, store: Store, thread: Thread, before: StoredResponse | None, turn: str) -> Folder:
        """The folder with which a turn begins, behind the turn `before`."""
        made = [each for each in files_of(before) if each["turn"] is not None] if before else []
        files, given = {each["name"]: each for each in made}, thread.settings.get("files")
        for each in given[:GIVEN] if isinstance(given, list) else ():
            id = each.get("id") if isinstance(each, dict) else None
            file = await store.get_file(thread.owner, id) if isinstance(id, str) else None
            if file is not None:
                entry = {"name": file.name, "bytes": file.bytes, "turn": None, "file": file.id}
                files.setdefault(file.name, entry)
        return cls(store, thread.owner, turn, list(files.values()))

    def check(self) -> None:
        """Raises ApiError where there is too much for the tools."""
        if sum(entry["bytes"] for entry in self.files) > MOST_BYTES:
            raise invalid(
                f"The files of this thread have more than {MOST_BYTES:,} bytes: take some back.", "firesteel.thread"
            )

    async def fill(self, folder: Path) -> None:
        """Puts the files where the tools find them."""
        for entry in self.files:
            name, data = entry["name"], await content_of(self._store, self._owner, entry)
            if data is None:
                continue
            try:
                if hidden(name):
                    raise ValueError(f"{name} is a name of the sandbox.")
                await asyncio.to_thread(write_file, folder, name, data)
            except ValueError as error:
                _LOG.warning("A file of a thread has no place in the folder: %s", error)
            else:
                self._before[name] = _digest(data)

    async def keep(self, folder: Path) -> None:
        """Keeps what lies there now; where that cannot be read, the turn keeps what it began with."""
        known, kept = {entry["name"]: entry for entry in self.files}, []
        sizes = {name: known[name]["bytes"] for name in self._before}
        try:
            found = await asyncio.to_thread(_read, folder, sizes)
        except ValueError as error:
            _LOG.warning("The files of a turn are not kept: %s", error)
            return
        for name, data in found.items():
            if self._before.get(name) == _digest(data):
                kept.append(known[name])
            else:
                blob = await self._store.put_blob(data)
                kept.append({"name": name, "bytes": len(data), "turn": self._turn, "blob": blob})
        self.files = kept


def files_of(turn: StoredResponse) -> list[Entry]:
    """The files at the end of a turn."""
    return list(turn.request.get("files", ()))


def check_name(name: str) -> str:
    """The name, if a file of a turn may bear it. Raises ValueError."""
    strange = "\0" in name or name.count("/") > DEEPEST
    if strange or hidden(name) or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise ValueError(f"{name!r} has no place in the folder: use a path relative to it")
    return name


def content_id(entry: Entry) -> str:
    """The blob that holds the bytes of a file, or the upload that was given."""
    if entry["turn"] is None:
        return entry["file"]
    # Older rows name it as a packed data URL does.
    return entry["blob"] if "blob" in entry else placed(entry["content"], str)


async def content_of(store: Store, owner: str, entry: Entry) -> bytes | None:
    """None for a file that was given and is deleted."""
    id = content_id(entry)
    return await (store.file_data(owner, id) if entry["turn"] is None else store.get_blob(id))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(folder: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """The files of a folder, as many as are kept; `sizes` are those of files that were there before. Raises ValueError
    for a folder that cannot be looked through.
    """
    if not folder.is_dir():
        return {}
    found = sorted(survey(folder, Limits().files).files.items())
    read: dict[str, bytes] = {}
    room = MOST_BYTES
    for name, (_, size, _) in found:
        most = min(max(LARGEST, sizes.get(name, 0)), room)
        if hidden(name) or size > most or len(read) >= MOST:
            continue
        try:
            name.encode()
            read[name] = read_file(folder, name, most)
        except ValueError:  # a link, or a name that is no text
            continue
        room -= len(read[name])
    return read
