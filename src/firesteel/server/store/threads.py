"""Threads: trees of turns, each turn a stored response that names its thread and the turn before it.

Choices:
- A thread is updated by its turns alone, in the transaction that stores them; who renames or pins one does not move it
  to the top.
- A deleted thread stays as it is, unseen, until it is purged with all its responses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Text, delete, func, or_, select, tuple_, type_coerce, update

from firesteel.server.store import tables, texts
from firesteel.server.store.database import Database
from firesteel.server.store.files import mention
from firesteel.server.store.records import StoredResponse, Thread

_TITLE = 60  # characters
Links = Sequence[tuple[str, str | None]]  # turns and those before them, the oldest first


class Threads(Database):
    async def put_thread(self, thread: Thread) -> None:
        """Insert or replace; the turns stay."""

        def work(connection: Connection) -> None:
            tables.put_record(connection, tables.threads, thread)
            texts.keep(connection, thread.owner, thread.id, None, texts.Read.of(thread.title))

        await self._write(work)

    async def put_turns(self, owner: str, thread: str, turns: Sequence[StoredResponse]) -> None:
        """Turns that have ended long ago: the thread learns nothing new from them."""
        said = await asyncio.to_thread(lambda: [texts.Read.of(said_in(turn)) for turn in turns])

        def work(connection: Connection) -> None:
            for turn, words in zip(turns, said, strict=True):
                put_row(connection, turn)
                texts.keep(connection, owner, thread, turn.id, words)

        await self._write(work)

    async def get_thread(self, owner: str, id: str) -> Thread | None:
        """None also for one that was deleted."""
        return await self._read(lambda connection: _get(connection, owner, id))

    async def change_thread(self, owner: str, id: str, **values: Any) -> Thread | None:
        """Changes columns; what a turn changes meanwhile stays. The thread as it is then, None if there is none."""

        def work(connection: Connection) -> Thread | None:
            table = tables.threads
            if values:
                here = (table.c.owner == owner, table.c.id == id, table.c.deleted.is_(None))
                connection.execute(update(table).where(*here).values(**values))
            thread = _get(connection, owner, id)
            if thread and "title" in values:
                texts.keep(connection, owner, id, None, texts.Read.of(thread.title))
            return thread

        return await self._write(work)

    async def delete_thread(self, owner: str, id: str, now: float) -> bool:
        """Hides it. False if there is none."""
        return await self._mark(owner, id, tables.threads.c.deleted.is_(None), now)

    async def restore_thread(self, owner: str, id: str, since: float) -> bool:
        """Shows one again that was deleted after `since`. False if there is none."""
        return await self._mark(owner, id, tables.threads.c.deleted > since, None)

    async def purge_threads(self, before: float) -> None:
        """Deletes those that were hidden before, with their responses; the database takes what hangs on them."""
        threads, responses = tables.threads, tables.responses
        gone = select(threads.c.owner, threads.c.id).where(threads.c.deleted < before)

        def work(connection: Connection) -> None:
            connection.execute(delete(responses).where(tuple_(responses.c.owner, responses.c.thread).in_(gone)))
            connection.execute(delete(threads).where(threads.c.deleted < before))

        await self._write(work)

    async def list_threads(
        self, owner: str, limit: int = 50, after: str | None = None, query: str | None = None
    ) -> list[tuple[Thread, str]]:
        """Pinned ones first, then the last updated, with "" or, for a query, where its words were said (`texts.py`).

        `after` is the last id of the page before.
        """
        table, cursor, found = tables.threads, tables.threads.alias(), tables.texts
        words = None if query is None else texts.query_of(query)
        if words == []:
            return []

        def work(connection: Connection) -> list[tuple[Thread, str]]:
            statement = select(*tables.columns(Thread, table)).where(table.c.owner == owner, table.c.deleted.is_(None))
            if words:
                hits = select(found.c.thread, func.max(found.c.number).label("number")).group_by(found.c.thread)
                last = hits.where(found.c.owner == owner, texts.matching(connection, words)).subquery()
                statement = statement.join(last, last.c.thread == table.c.id)
                statement = statement.join(found, found.c.number == last.c.number).add_columns(found.c.text.label("_"))
            if after is not None:
                place = select(cursor.c.pinned, cursor.c.updated, cursor.c.id)
                place = place.where(cursor.c.owner == owner, cursor.c.id == after)
                here = tuple_(table.c.pinned, table.c.updated, table.c.id)
                statement = statement.where(here < place.scalar_subquery())
            statement = statement.order_by(table.c.pinned.desc(), table.c.updated.desc(), table.c.id.desc())
            told = []
            for row in connection.execute(statement.limit(limit)):
                values = dict(row._mapping)
                said = values.pop("_", "")
                told.append((Thread(**values), texts.snippet(said, words) if words else ""))
            return told

        return await self._read(work)

    async def turns(self, owner: str, thread: str) -> list[StoredResponse]:
        """All of a thread, the oldest first."""
        table = tables.responses
        statement = select(*tables.columns(StoredResponse, table)).where(
            table.c.owner == owner, table.c.thread == thread
        )
        statement = statement.order_by(table.c.created, table.c.id)
        return await self._read(
            lambda connection: [StoredResponse(**row._mapping) for row in connection.execute(statement)]
        )

    async def turns_from(self, owner: str, thread: str, id: str) -> list[str]:
        """The ids of a turn and of all that follow it; empty if there is no such turn."""
        return await self._read(lambda connection: _following(_links(connection, owner, thread), id))

    async def delete_turns(self, owner: str, thread: str, id: str) -> None:
        """Deletes a turn and all that follow it. If the leaf was among them, the newest turn beside is it now."""

        def work(connection: Connection) -> None:
            links = _links(connection, owner, thread)
            gone = set(_following(links, id))
            table = tables.responses
            connection.execute(delete(table).where(table.c.owner == owner, table.c.id.in_(gone)))
            parent = dict(links).get(id)
            beside = _following(links, parent) if parent else [turn for turn, _ in links]
            leaf = next((turn for turn in reversed(beside) if turn not in gone), None)
            threads = tables.threads
            here = (threads.c.owner == owner, threads.c.id == thread, threads.c.leaf.in_(gone))
            connection.execute(update(threads).where(*here).values(leaf=leaf))

        await self._write(work)

    async def turns_naming(self, owner: str, thread: str, word: str) -> list[StoredResponse]:
        """Those whose request or body hold a word of ASCII letters and digits somewhere, perhaps only in a text."""
        table = tables.responses
        statement = select(*tables.columns(StoredResponse, table)).where(
            table.c.owner == owner,
            table.c.thread == thread,
            or_(*(type_coerce(column, Text).contains(word) for column in (table.c.request, table.c.body))),
        )
        return await self._read(
            lambda connection: [StoredResponse(**row._mapping) for row in connection.execute(statement)]
        )

    async def _mark(self, owner: str, id: str, condition: Any, deleted: float | None) -> bool:
        table = tables.threads
        statement = update(table).where(table.c.owner == owner, table.c.id == id, condition).values(deleted=deleted)
        return await self._write(lambda connection: connection.execute(statement).rowcount > 0)


def put_row(connection: Connection, response: StoredResponse) -> None:
    """Insert or replace a response."""
    tables.put_record(connection, tables.responses, response)
    named = (response.body, response.request, response.messages)
    mention(connection, response.owner, named, response=response.id)


def take_turn(connection: Connection, turn: StoredResponse, thread: str, said: texts.Read | None, new: bool) -> None:
    """What a thread learns from a turn that was stored; `said` in it, if it has ended.

    A new one becomes the leaf, the first words of the user the title.
    """
    table, owner = tables.threads, turn.owner
    here = update(table).where(table.c.owner == owner, table.c.id == thread)
    changes = {"updated": time.time()} | ({"leaf": turn.id} if new else {})
    title = connection.execute(here.values(**changes).returning(table.c.title)).scalar_one_or_none()
    if title is None:  # it was purged
        return
    if not title and (title := _title(turn)):
        connection.execute(here.values(title=title))
        texts.keep(connection, owner, thread, None, texts.Read.of(title))
    if said is not None:
        texts.keep(connection, owner, thread, turn.id, said)


def _get(connection: Connection, owner: str, id: str) -> Thread | None:
    thread = tables.get_record(connection, tables.threads, Thread, owner, id)
    return thread if thread and thread.deleted is None else None


def _links(connection: Connection, owner: str, thread: str) -> Links:
    table = tables.responses
    statement = select(table.c.id, table.c.previous).where(table.c.owner == owner, table.c.thread == thread)
    return [(row[0], row[1]) for row in connection.execute(statement.order_by(table.c.created, table.c.id))]


def _following(links: Links, id: str) -> list[str]:
    """A turn and what follows it, the oldest first."""
    children: dict[str | None, list[str]] = {}
    for turn, previous in links:
        children.setdefault(previous, []).append(turn)
    found, left = set(), [id] if id in dict(links) else []
    while left:
        turn = left.pop()
        if turn not in found:
            found.add(turn)
            left += children.get(turn, ())
    return [turn for turn, _ in links if turn in found]


def said_in(turn: StoredResponse, roles: Collection[str] = ("user", "assistant")) -> str:
    """The words of user and answer, without thoughts and tools."""
    said = []
    for message in turn.messages:
        if message["role"] in roles:
            said += [message.get("commentary", ""), *(part.get("text", "") for part in message.get("content", ()))]
    return "\n\n".join(filter(None, said))


def _title(turn: StoredResponse) -> str:
    words = " ".join(said_in(turn, ("user",)).split())
    if len(words) <= _TITLE:
        return words
    return (words[:_TITLE].rpartition(" ")[0] or words[:_TITLE]) + "…"
