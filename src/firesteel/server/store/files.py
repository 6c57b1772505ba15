"""Files, and the blobs that hold their bytes and the pictures of messages.

Choices:
- A blob is named by the SHA-256 of its bytes, so the same picture is kept once. Blobs have no owner: ask for one only
  by a name that was read from a row of the right owner.
- What names a blob is written down in the same transaction (`mention`) and goes with the row that does. A blob that
  nothing names, and no file holds, is deleted after `GRACE` seconds of that: whoever put one has that long to name it,
  whoever read a name has that long to ask.
- A sweep may be cut off anywhere: each of its steps is a transaction, and what is left is found by the next.
- Replicas that store files of one owner at the same moment may go over the owner's most by what they hold in hand.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, update

from firesteel.server.store import tables
from firesteel.server.store.database import Database
from firesteel.server.store.records import File

GRACE = 3600.0
_AT_ONCE = 100  # blobs that one transaction deletes
_NAME = re.compile("[0-9a-f]{64}")


class Files(Database):
    async def put_file(
        self, file: File, data: bytes, most_files: int | None = None, most_bytes: int | None = None
    ) -> Literal["files", "bytes"] | None:
        """Insert or replace, with its bytes. Not None: nothing was kept, as the owner would have more of these."""
        blob, table = hashlib.sha256(data).hexdigest(), tables.files
        others = select(func.count(), func.coalesce(func.sum(table.c.bytes), 0))
        others = others.where(table.c.owner == file.owner, table.c.id != file.id, _lasting())

        def work(connection: Connection) -> Literal["files", "bytes"] | None:
            count, size = connection.execute(others).one()
            if most_files is not None and count >= most_files:
                return "files"
            if most_bytes is not None and size + len(data) > most_bytes:
                return "bytes"
            _put_blob(connection, blob, data)
            tables.put_record(connection, table, file, blob=blob)
            return None

        return await self._write(work)

    async def add_file(self, file: File, data: bytes) -> bytes:
        """Insert, unless there is one of this id; the bytes of the one that there is then, the same for all who ask."""
        blob, table, blobs = hashlib.sha256(data).hexdigest(), tables.files, tables.blobs
        found = select(blobs.c.data).join_from(blobs, table, table.c.blob == blobs.c.sha256)
        found = found.where(table.c.owner == file.owner, table.c.id == file.id)

        def work(connection: Connection) -> bytes:
            _put_blob(connection, blob, data)
            tables.put(connection, table, [vars(file) | {"blob": blob}])
            return connection.execute(found).scalar_one()

        return await self._write(work)

    async def get_file(self, owner: str, id: str) -> File | None:
        file = await self._read(lambda connection: tables.get_record(connection, tables.files, File, owner, id))
        return file if file and (file.expires is None or file.expires > time.time()) else None

    async def file_data(self, owner: str, id: str) -> bytes | None:
        table = tables.files
        statement = select(tables.blobs.c.data).join_from(tables.blobs, table, table.c.blob == tables.blobs.c.sha256)
        statement = statement.where(table.c.owner == owner, table.c.id == id, _lasting())
        return await self._read(lambda connection: connection.scalar(statement))

    async def list_files(self, owner: str, limit: int = 20, after: str | None = None) -> list[File]:
        """The newest first; `after` is the last id of the page before."""
        only = [_lasting()]
        return await self._read(
            lambda connection: tables.page(connection, tables.files, File, owner, limit, after, only=only)
        )

    async def delete_file(self, owner: str, id: str) -> bool:
        """False if there is none."""
        return await self._write(lambda connection: tables.delete_record(connection, tables.files, owner, id))

    async def put_blob(self, data: bytes) -> str:
        """The name that it has from now on, for `GRACE` seconds at least."""
        blob = hashlib.sha256(data).hexdigest()
        await self._write(lambda connection: _put_blob(connection, blob, data))
        return blob

    async def get_blob(self, sha256: str) -> bytes | None:
        statement = select(tables.blobs.c.data).where(tables.blobs.c.sha256 == sha256)
        return await self._read(lambda connection: connection.scalar(statement))

    async def sweep(self, now: float) -> int:
        """Deletes files that have expired, and blobs that were of no use for `GRACE` seconds; how many blobs."""
        files, blobs = tables.files, tables.blobs
        named = or_(
            exists().where(tables.mentions.c.blob == blobs.c.sha256), exists().where(files.c.blob == blobs.c.sha256)
        )
        gone = and_(blobs.c.unused < now - GRACE, ~named)
        first = select(blobs.c.sha256).where(gone).limit(_AT_ONCE)

        def mark(connection: Connection) -> None:
            connection.execute(delete(files).where(files.c.expires <= now))
            connection.execute(update(blobs).where(blobs.c.unused.is_not(None), named).values(unused=None))
            connection.execute(update(blobs).where(blobs.c.unused.is_(None), ~named).values(unused=now))

        def clear(connection: Connection) -> int:
            # Both conditions again: somebody may have put the same bytes between the two looks.
            return connection.execute(delete(blobs).where(blobs.c.sha256.in_(first), gone)).rowcount

        await self._write(mark)
        deleted = 0
        while count := await self._write(clear):
            deleted += count
        return deleted


def mention(connection: Connection, owner: str, values: Iterable[Any], **place: str) -> None:
    """The blobs that JSON values name, in the place of those that the row named before.

    `place` is the row: its `response`, or its `conversation` and `item`.
    """
    table = tables.mentions
    here = [table.c.owner == owner, *(table.c[name] == id for name, id in place.items())]
    connection.execute(delete(table).where(*here))
    names = {name for value in values for name in _names(value)}
    if names:
        rows = [{"owner": owner, "blob": name} | place for name in sorted(names)]
        connection.execute(table.insert(), rows)


def _names(value: Any) -> Iterator[str]:
    """All texts that may be names of blobs: whoever writes one of his own keeps no more than that blob."""
    if isinstance(value, str):
        if _NAME.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _names(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _names(each)


def _lasting() -> Any:
    """Whether a file has not expired."""
    expires = tables.files.c.expires
    return or_(expires.is_(None), expires > time.time())


def _put_blob(connection: Connection, blob: str, data: bytes) -> None:
    # Not named yet: a sweep gives it time.
    row = {"sha256": blob, "data": data, "unused": time.time()}
    tables.put(connection, tables.blobs, [row], replace=["unused"])
