"""Idempotency-Key: the same request twice is done once and answered twice.

As in draft-ietf-httpapi-idempotency-key-header-07: a key belongs to one caller and to one body, and lives for a day. A
request that was running when the process died leaves its key running; after fifteen minutes another may have it.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, delete, select, update

from firesteel.server.store import tables
from firesteel.server.store.database import Database
from firesteel.server.store.records import Replay

KEPT = 86400.0  # seconds
ABANDONED = 900.0  # seconds; longer than a request takes, its wait included, unless --seconds is set above some 840

TABLE = tables.idempotency


class Idempotency(Database):
    async def claim(self, owner: str, key: str, digest: str, now: float) -> Replay | Literal["running", "other"] | None:
        """None: the caller does the request, then calls `finish` or `release`.

        A Replay answers it at once. "running": the same request is being done. "other": the key came with another body.
        """
        row = {"owner": owner, "key": key, "digest": digest, "created": now}
        old = delete(TABLE).where(TABLE.c.created < now - KEPT)
        found = select(TABLE).where(_is(owner, key))

        def work(connection: Connection) -> Replay | Literal["running", "other"] | None:
            connection.execute(old)
            if tables.put(connection, TABLE, [row]):
                return None
            there = connection.execute(found).one_or_none()
            if there is None:
                return "running"  # another replica released it this moment: the client's next try will get it
            if there.digest != digest:
                return "other"
            if there.status is not None:
                return Replay(status=there.status, headers=there.headers, body=there.body)
            if there.created > now - ABANDONED:
                return "running"
            again = update(TABLE).where(_is(owner, key), TABLE.c.created == there.created).values(created=now)
            return None if connection.execute(again).rowcount else "running"

        return await self._write(work)

    async def finish(self, owner: str, key: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Keeps the answer for those who ask again."""
        values: dict[str, Any] = {"status": status, "headers": headers, "body": body}
        statement = update(TABLE).where(_is(owner, key)).values(values)
        await self._write(lambda connection: connection.execute(statement))

    async def release(self, owner: str, key: str) -> None:
        """The request has no answer that is worth keeping, so it may be done again."""
        statement = delete(TABLE).where(_is(owner, key), TABLE.c.status.is_(None))
        await self._write(lambda connection: connection.execute(statement))


def _is(owner: str, key: str) -> ColumnElement[bool]:
    return (TABLE.c.owner == owner) & (TABLE.c.key == key)
