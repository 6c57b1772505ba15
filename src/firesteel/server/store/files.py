"""Files, and the blobs that hold their bytes and the pictures of messages.

A blob is named by the SHA-256 of its bytes, so the same picture is kept once. Blobs have no owner: ask for one only by
a name that was read from a row of the right owner. A blob that nothing refers to any more stays, since pictures are
named inside of messages, where the database does not look.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, select

from firesteel.server.store import tables
from firesteel.server.store.database import Database
from firesteel.server.store.records import File


class Files(Database):
    async def put_file(self, file: File, data: bytes) -> None:
        """Insert or replace, with its bytes."""
        blob = hashlib.sha256(data).hexdigest()

        def work(connection: Connection) -> None:
            _put_blob(connection, blob, data)
            tables.put_record(connection, tables.files, file, blob=blob)

        await self._write(work)

    async def get_file(self, owner: str, id: str) -> File | None:
        return await self._read(lambda connection: tables.get_record(connection, tables.files, File, owner, id))

    async def file_data(self, owner: str, id: str) -> bytes | None:
        table = tables.files
        statement = select(tables.blobs.c.data).join_from(tables.blobs, table, table.c.blob == tables.blobs.c.sha256)
        statement = statement.where(table.c.owner == owner, table.c.id == id)
        return await self._read(lambda connection: connection.scalar(statement))

    async def list_files(self, owner: str, limit: int = 20, after: str | None = None) -> list[File]:
        """The newest first; `after` is the last id of the page before."""
        return await self._read(lambda connection: tables.page(connection, tables.files, File, owner, limit, after))

    async def delete_file(self, owner: str, id: str) -> bool:
        """False if there is none. The bytes stay, as a blob that no file names."""
        return await self._write(lambda connection: tables.delete_record(connection, tables.files, owner, id))

    async def put_blob(self, data: bytes) -> str:
        """The name that it has from now on."""
        blob = hashlib.sha256(data).hexdigest()
        await self._write(lambda connection: _put_blob(connection, blob, data))
        return blob

    async def get_blob(self, sha256: str) -> bytes | None:
        statement = select(tables.blobs.c.data).where(tables.blobs.c.sha256 == sha256)
        return await self._read(lambda connection: connection.scalar(statement))


def _put_blob(connection: Connection, blob: str, data: bytes) -> None:
    tables.put(connection, tables.blobs, [{"sha256": blob, "data": data}])
