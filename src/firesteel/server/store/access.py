"""API keys and what they used.

Choices:
- A secret is `fs-` and 256 random bits; only its SHA-256 is kept. A slow hash protects guessable passwords; nobody
  guesses 256 bits, and each request has to be checked.
- Usage is one row per key, day (UTC), model and mode, added up in place, so the table stays small.
- Usage is added without waiting, in the writer's line. It is also read there, so that a reader sees all that was added
  before.
- What a key may use in a minute is one bucket of requests and one of tokens for all replicas (`paces`). Time is that of
  the replicas' clocks; it never runs back.
"""

from __future__ import annotations

import hashlib
import logging
import math
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from firesteel.server.store import tables
from firesteel.server.store.database import Database
from firesteel.server.store.records import Key, Usage

DAY = 86400
COUNTS = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
FIND = select(*tables.columns(Key, tables.keys)).where(tables.keys.c.digest == bindparam("digest"))  # for each request
log = logging.getLogger(__name__)


class Access(Database):
    """Keys, for the operator and the door; usage, by owner."""

    async def create_key(
        self,
        *,
        owner: str | None = None,
        name: str,
        modes: Sequence[str] = (),
        tools: Sequence[str] = (),
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        monthly_tokens: int | None = None,
        expires: float | None = None,
        admin: bool = False,
    ) -> tuple[Key, str]:
        """A new key and its secret, which is shown here and never again. Without an owner, the key is its own."""
        secret, id = f"fs-{secrets.token_urlsafe(32)}", f"key_{secrets.token_hex(8)}"
        key = Key(
            id=id,
            owner=id if owner is None else owner,
            name=name,
            prefix=secret[:9],
            modes=tuple(modes),
            tools=tuple(tools),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            monthly_tokens=monthly_tokens,
            expires=expires,
            created=time.time(),
            admin=admin,
        )
        row = asdict(key) | {"digest": _digest(secret)}
        await self._write(lambda connection: connection.execute(insert(tables.keys), row))
        return key, secret

    async def keys(self) -> list[Key]:
        """All keys, the oldest first."""
        statement = select(*tables.columns(Key, tables.keys)).order_by(tables.keys.c.created, tables.keys.c.id)
        return await self._read(lambda connection: [_key(row) for row in connection.execute(statement)])

    async def find_key(self, secret: str) -> Key | None:
        """The key of a secret, also if it is revoked or expired: the caller decides what it may do."""
        digest = {"digest": _digest(secret)}
        row = await self._read(lambda connection: connection.execute(FIND, digest).one_or_none())
        return None if row is None else _key(row)

    async def any_keys(self) -> bool:
        """Whether there is a key that was not revoked."""
        statement = select(tables.keys.c.id).where(tables.keys.c.revoked.is_(None)).limit(1)
        return await self._read(lambda connection: connection.scalar(statement)) is not None

    async def revoke_key(self, id: str) -> bool:
        """From now on. False if there is no such key, or it was revoked already."""
        table = tables.keys
        statement = update(table).where(table.c.id == id, table.c.revoked.is_(None)).values(revoked=time.time())
        return await self._write(lambda connection: connection.execute(statement).rowcount > 0)

    def add_usage(self, usage: Usage) -> None:
        """Counts it with the next commit; may be called from any thread. What cannot be written is logged and lost."""
        self._submit(partial(_count, usage=usage)).add_done_callback(partial(_report, usage))

    async def usage(self, *, owner: str | None = None, since: float = 0) -> list[Usage]:
        """What was used from the day of `since` on, one record per key, day, model and mode; oldest day first."""
        table = tables.usage
        statement = select(*tables.columns(Usage, table)).where(table.c.at > since - DAY)
        if owner is not None:
            statement = statement.where(table.c.owner == owner)
        statement = statement.order_by(table.c.at, *table.primary_key)
        return await self._write(lambda connection: [Usage(**row._mapping) for row in connection.execute(statement)])

    async def draw(self, key: Key, units: int, now: float) -> tuple[int, float, float]:
        """Takes up to so many requests from what the key may make in a minute.

        How many it got, and the requests and tokens that are left; without a limit there are none left and none taken.
        """
        sizes = {"requests": key.requests_per_minute or 0, "tokens": key.tokens_per_minute or 0}
        table = tables.paces
        found = select(table).where(table.c.key == key.id).with_for_update()

        def work(connection: Connection) -> tuple[int, float, float]:
            tables.put(connection, table, [{"key": key.id, "at": now} | sizes])  # full, if there is none
            row = connection.execute(found).one()._mapping
            minutes = max(0.0, now - row["at"]) / 60
            left = {name: min(size, row[name] + minutes * size) for name, size in sizes.items()}
            taken = max(0, min(units, math.floor(left["requests"])))
            left["requests"] -= taken
            kept = update(table).where(table.c.key == key.id).values(left | {"at": max(now, row["at"])})
            connection.execute(kept)
            return taken, left["requests"], left["tokens"]

        return await self._write(work)

    def pay(self, key: Key, tokens: int) -> None:
        """Takes tokens from what the key may use in a minute, with the next commit; from any thread."""
        table = tables.paces
        statement = update(table).where(table.c.key == key.id).values(tokens=table.c.tokens - tokens)
        done = self._submit(lambda connection: connection.execute(statement))
        done.add_done_callback(partial(_report, f"{tokens} tokens of {key.id}"))

    async def month_tokens(self, key: str, now: float) -> int:
        """Prompt and completion tokens of a key in the month of `now`, UTC."""
        table = tables.usage
        first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
        total = func.coalesce(func.sum(table.c.prompt_tokens + table.c.completion_tokens), 0)
        statement = select(total).where(table.c.key == key, table.c.at >= first, table.c.at <= now)
        return await self._write(lambda connection: int(connection.execute(statement).scalar_one()))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: Row[Any]) -> Key:
    values = dict(row._mapping)
    return Key(**values | {"modes": tuple(values["modes"]), "tools": tuple(values["tools"])})


def _count(connection: Connection, usage: Usage) -> None:
    values = vars(usage) | {"at": usage.at // DAY * DAY}
    tables.put(connection, tables.usage, [values], add=COUNTS)


def _report(usage: Usage | str, done: Future[Any]) -> None:
    if (error := done.exception()) is not None:
        log.warning("usage was not written: %s: %s", usage, error)
