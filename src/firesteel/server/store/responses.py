"""Responses, the events of background ones, and which replica works on which.

Choices:
- A replica leases what it works on and renews the lease while it lives. A response that is still queued or running when
  its lease has run out was left by a crash; exactly one replica gets it. One that was never leased has `GRACE` seconds.
- Replacing a response keeps its lease and its cancel flag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection, and_, delete, func, literal, or_, select, tuple_, update

from firesteel.server.store import tables
from firesteel.server.store.database import Database
from firesteel.server.store.records import StoredResponse
from firesteel.server.store.texts import Read
from firesteel.server.store.threads import put_row, said_in, take_turn

CHAIN = 1000  # responses that one chain goes back
GRACE = 30.0  # seconds between storing a response and leasing it
_RUNNING = ("queued", "in_progress")
_AT_ONCE = 500  # old responses that one transaction deletes
LARGEST = 2**63 - 1  # integer of a database

COLUMNS = tables.columns(StoredResponse, tables.responses)


class Responses(Database):
    async def put_response(self, response: StoredResponse) -> None:
        """Insert or replace; its thread, if it has one, takes note of it."""
        table = tables.responses
        there = select(table.c.id).where(table.c.owner == response.owner, table.c.id == response.id)
        ended = response.status not in _RUNNING
        said = await asyncio.to_thread(Read.of, said_in(response)) if response.thread and ended else None

        def work(connection: Connection) -> None:
            known = connection.scalar(there) is not None
            put_row(connection, response)
            if response.thread is not None:
                take_turn(connection, response, response.thread, said, not known)

        await self._write(work)

    async def get_response(self, owner: str, id: str) -> StoredResponse | None:
        return await self._read(
            lambda connection: tables.get_record(connection, tables.responses, StoredResponse, owner, id)
        )

    async def delete_response(self, owner: str, id: str) -> bool:
        """Its events go too; a thread whose leaf it was has none. False if there is none."""
        threads = tables.threads
        bare = update(threads).where(threads.c.owner == owner, threads.c.leaf == id).values(leaf=None)

        def work(connection: Connection) -> bool:
            connection.execute(bare)
            return tables.delete_record(connection, tables.responses, owner, id)

        return await self._write(work)

    async def forget_responses(self, before: float) -> int:
        """Deletes those that were made before then, have ended and belong to no thread; how many.

        One that a later response follows stays, so that no chain loses its beginning.
        """
        table, earlier = tables.responses, tables.responses.alias()
        old = and_(table.c.created < before, table.c.thread.is_(None), table.c.status.not_in(_RUNNING))
        followed = select(table.c.owner, table.c.previous).where(~old).cte("followed", recursive=True, nesting=True)
        back = (earlier.c.owner == followed.c.owner, earlier.c.id == followed.c.previous)
        followed = followed.union(select(earlier.c.owner, earlier.c.previous).where(*back))
        stay = select(followed.c.owner, followed.c.previous).where(followed.c.previous.is_not(None))
        here = tuple_(table.c.owner, table.c.id)
        some = select(table.c.owner, table.c.id).where(old, here.not_in(stay)).limit(_AT_ONCE)
        some = some.order_by(table.c.created.desc())  # so that, cut off, it leaves no chain without its beginning
        statement = delete(table).where(here.in_(some))
        deleted = 0
        while count := await self._write(lambda connection: connection.execute(statement).rowcount):
            deleted += count
        return deleted

    async def list_responses(self, owner: str, limit: int = 20, after: str | None = None) -> list[StoredResponse]:
        """The newest first; `after` is the last id of the page before."""
        return await self._read(
            lambda connection: tables.page(connection, tables.responses, StoredResponse, owner, limit, after)
        )

    async def chain(self, owner: str, id: str) -> list[StoredResponse]:
        """A response and those that it follows, the oldest first.

        Empty if there is no such response. If one in the middle was deleted, the first of the list still names it as
        `previous`. At most `CHAIN` are returned.
        """
        table, earlier = tables.responses, tables.responses.alias()
        start = select(table.c.id, table.c.previous, literal(1).label("depth"))
        step = start.where(table.c.owner == owner, table.c.id == id).cte("step", recursive=True)
        back = select(earlier.c.id, earlier.c.previous, step.c.depth + 1)
        back = back.where(earlier.c.owner == owner, earlier.c.id == step.c.previous, step.c.depth < CHAIN)
        step = step.union_all(back)
        statement = select(*COLUMNS).join_from(step, table, table.c.id == step.c.id).where(table.c.owner == owner)
        statement = statement.order_by(step.c.depth.desc())
        return await self._read(
            lambda connection: [StoredResponse(**row._mapping) for row in connection.execute(statement)]
        )

    async def append_events(self, owner: str, response_id: str, events: Sequence[tuple[int, str]]) -> bool:
        """Keeps (sequence, JSON text) pairs; one that is there already stays. False if the response is gone."""
        if not events:
            return True
        rows = [{"owner": owner, "response": response_id, "sequence": number, "text": text} for number, text in events]
        table = tables.responses
        there = select(table.c.id).where(table.c.owner == owner, table.c.id == response_id)
        there = there.with_for_update(read=True, key_share=True)  # nobody deletes it meanwhile

        def work(connection: Connection) -> bool:
            if connection.scalar(there) is None:
                return False
            tables.put(connection, tables.events, rows)
            return True

        return await self._write(work)

    async def events(self, owner: str, response_id: str, after: int = -1, limit: int = 1000) -> list[tuple[int, str]]:
        """Those with a sequence number above `after`, in order."""
        table = tables.events
        statement = select(table.c.sequence, table.c.text).where(
            table.c.owner == owner, table.c.response == response_id, table.c.sequence > min(after, LARGEST)
        )
        statement = statement.order_by(table.c.sequence).limit(limit)
        return await self._read(lambda connection: [(row[0], row[1]) for row in connection.execute(statement)])

    async def lease(self, response_id: str, replica: str, until: float) -> bool:
        """Takes or renews. False if another replica holds it: stop working on it."""
        table = tables.responses
        free = or_(table.c.replica.is_(None), table.c.replica == replica)
        statement = update(table).where(table.c.id == response_id, free).values(replica=replica, leased_until=until)
        return await self._write(lambda connection: connection.execute(statement).rowcount > 0)

    async def claim_expired(self, replica: str, now: float, until: float) -> list[StoredResponse]:
        """Leases to `replica` all queued and running responses whose lease has run out; no other replica gets them."""
        table = tables.responses
        lapsed = func.coalesce(table.c.leased_until, table.c.created + GRACE) < now
        found = select(table.c.owner, table.c.id).where(tables.RUNNING, lapsed).with_for_update(skip_locked=True)
        statement = update(table).where(tuple_(table.c.owner, table.c.id).in_(found))
        statement = statement.values(replica=replica, leased_until=until).returning(*COLUMNS)
        return await self._write(
            lambda connection: [StoredResponse(**row._mapping) for row in connection.execute(statement)]
        )

    async def ask_cancel(self, owner: str, id: str) -> bool:
        """Tells the replica that works on it. False if there is none, or it has ended."""
        table = tables.responses
        statement = update(table).where(table.c.owner == owner, table.c.id == id, tables.RUNNING).values(cancel=True)
        return await self._write(lambda connection: connection.execute(statement).rowcount > 0)

    async def cancel_asked(self, replica: str) -> list[str]:
        """Ids of the responses that `replica` works on and should stop."""
        table = tables.responses
        statement = select(table.c.id).where(table.c.replica == replica, table.c.cancel, tables.RUNNING)
        return await self._read(lambda connection: list(connection.scalars(statement)))
