"""The files of a thread: what its user gave, and what lay in the tools' working folder at the end of each turn.

- A turn begins with the files that the turn before it left, so every branch has its own; they are blobs that the turn's
  row names, and go with it. Files that the user gave are named in the thread's settings (`{"files": [{"id"}]}`, uploads
  of the same owner) and lie in the folder of every turn until they are taken back.
- Code wrote the folder: links are not followed, and what is too large or too much is left out.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from firesteel.agent.files import read_file
from firesteel.agent.sandbox import Limits
from firesteel.agent.sandbox.supervise import hidden, survey
from firesteel.server.errors import invalid
from firesteel.server.responses.blobs import packed, placed
from firesteel.server.store import Store, StoredResponse

_LOG = logging.getLogger("firesteel.server")
MOST, LARGEST, MOST_BYTES = 200, 8 << 20, 64 << 20  # files of a turn; bytes of one that a tool made; bytes of all
_GIVEN = 100

# {"name", "bytes", "turn"}: the turn that made it, and the "content" as it is packed; or None, and the "file" given.
Entry = Mapping[str, Any]


class Folder:
    """The working folder of a turn. `files` are those that stand there, as the turn's row keeps them."""

    def __init__(self, store: Store, owner: str, turn: str, files: Sequence[Entry]) -> None:
        self.files = list(files)
        self._store, self._owner, self._turn = store, owner, turn
        self._before: dict[str, bytes] = {}

    @classmethod
    async def of(cls, store: Store, owner: str, thread: str, previous: str | None, turn: str) -> Folder:
        """The folder with which a turn begins, behind the turn `previous`."""
        found = await store.get_thread(owner, thread)
        given = found.settings.get("files") if found else None
        files: dict[str, Entry] = {}
        for each in given[:_GIVEN] if isinstance(given, list) else ():
            id = each.get("id") if isinstance(each, dict) else None
            file = await store.get_file(owner, id) if isinstance(id, str) else None
            if file is not None:
                files[file.name] = {"name": file.name, "bytes": file.bytes, "turn": None, "file": file.id}
        before = await store.get_response(owner, previous) if previous else None
        files |= {each["name"]: each for each in files_of(before) if each["turn"] is not None} if before else {}
        return cls(store, owner, turn, list(files.values()))

    async def contents(self) -> dict[str, bytes]:
        """What lies there when the tools begin, by name. Raises ApiError where that is too much."""
        if sum(entry["bytes"] for entry in self.files) > MOST_BYTES:
            raise invalid(
                f"The files of this thread have more than {MOST_BYTES:,} bytes: take some back.", "firesteel.thread"
            )
        for entry in self.files:
            if (data := await content_of(self._store, self._owner, entry)) is not None:
                self._before[entry["name"]] = data
        return self._before

    async def keep(self, folder: Path) -> None:
        """Keeps what lies there now."""
        known, kept = {entry["name"]: entry for entry in self.files}, []
        sizes = {name: len(data) for name, data in self._before.items()}
        for name, data in (await asyncio.to_thread(_read, folder, sizes)).items():
            if self._before.get(name) == data:
                kept.append(known[name])
            else:
                url = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
                content = await packed(self._store, url)
                kept.append({"name": name, "bytes": len(data), "turn": self._turn, "content": content})
        self.files = kept


def files_of(turn: StoredResponse) -> list[Entry]:
    """The files at the end of a turn."""
    return list(turn.request.get("files", ()))


async def content_of(store: Store, owner: str, entry: Entry) -> bytes | None:
    """None for a file that was given and is deleted."""
    if entry["turn"] is None:
        return await store.file_data(owner, entry["file"])
    return await store.get_blob(placed(entry["content"], str))


def _read(folder: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """The files of a folder, as many as are kept; `sizes` are those of files that were there before."""
    if not folder.is_dir():
        return {}
    try:
        found = sorted(survey(folder, Limits().files).files.items())
    except ValueError as error:
        _LOG.warning("The files of a turn are not kept: %s", error)
        return {}
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
