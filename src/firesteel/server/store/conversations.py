"""Conversations, their items, and chat completions that were asked to be kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, select, update

from firesteel.server.store import tables
from firesteel.server.store.database import Database
from firesteel.server.store.files import mention
from firesteel.server.store.records import Conversation, Item, StoredCompletion


class Conversations(Database):
    async def put_conversation(self, conversation: Conversation) -> None:
        """Insert or replace; the items stay."""
        await self._write(lambda connection: tables.put_record(connection, tables.conversations, conversation))

    async def get_conversation(self, owner: str, id: str) -> Conversation | None:
        return await self._read(
            lambda connection: tables.get_record(connection, tables.conversations, Conversation, owner, id)
        )

    async def list_conversations(self, owner: str, limit: int = 20, after: str | None = None) -> list[Conversation]:
        """The last updated first; `after` is the last id of the page before."""
        return await self._read(
            lambda connection: tables.page(
                connection, tables.conversations, Conversation, owner, limit, after, by="updated"
            )
        )

    async def delete_conversation(self, owner: str, id: str) -> bool:
        """Its items go too. False if there is none."""
        return await self._write(lambda connection: tables.delete_record(connection, tables.conversations, owner, id))

    async def append_items(self, owner: str, conversation: str, values: Sequence[dict[str, Any]]) -> bool:
        """Adds items in order, each named by its "id"; one that is there already is replaced where it stands.

        The conversation counts as updated now. False if there is none.
        """
        table = tables.conversations
        # The counter's row is locked until the commit, so two replicas never give the same position.
        statement = update(table).where(table.c.owner == owner, table.c.id == conversation)
        statement = statement.values(length=table.c.length + len(values), updated=time.time())

        def work(connection: Connection) -> bool:
            length = connection.execute(statement.returning(table.c.length)).scalar_one_or_none()
            if length is None:
                return False
            place = {"owner": owner, "conversation": conversation}
            for position, value in enumerate(values, start=length - len(values)):
                row = place | {"id": value["id"], "position": position, "value": value}
                tables.put(connection, tables.items, [row], replace=["value"])
                mention(connection, owner, [value], conversation=conversation, item=value["id"])
            return True

        return await self._write(work)

    async def items(
        self, owner: str, conversation: str, after: str | None = None, limit: int = 20, descending: bool = False
    ) -> list[Item]:
        """Items in the order of their positions, or against it; `after` is the last id of the page before."""
        table, cursor = tables.items, tables.items.alias()
        statement = select(table.c.id, table.c.position, table.c.value)
        statement = statement.where(table.c.owner == owner, table.c.conversation == conversation)
        if after is not None:
            last = select(cursor.c.position).where(
                cursor.c.owner == owner, cursor.c.conversation == conversation, cursor.c.id == after
            )
            position = last.scalar_subquery()
            statement = statement.where(table.c.position < position if descending else table.c.position > position)
        statement = statement.order_by(table.c.position.desc() if descending else table.c.position).limit(limit)
        return await self._read(lambda connection: [Item(**row._mapping) for row in connection.execute(statement)])

    async def delete_item(self, owner: str, conversation: str, id: str) -> bool:
        """False if there is none."""
        table = tables.items
        statement = delete(table).where(
            and_(table.c.owner == owner, table.c.conversation == conversation, table.c.id == id)
        )
        return await self._write(lambda connection: connection.execute(statement).rowcount > 0)


class Completions(Database):
    async def put_completion(self, completion: StoredCompletion) -> None:
        """Insert or replace."""
        await self._write(lambda connection: tables.put_record(connection, tables.traces, completion))

    async def get_completion(self, owner: str, id: str) -> StoredCompletion | None:
        return await self._read(
            lambda connection: tables.get_record(connection, tables.traces, StoredCompletion, owner, id)
        )

    async def list_completions(self, owner: str, limit: int = 20, after: str | None = None) -> list[StoredCompletion]:
        """The newest first; `after` is the last id of the page before."""
        return await self._read(
            lambda connection: tables.page(connection, tables.traces, StoredCompletion, owner, limit, after)
        )

    async def delete_completion(self, owner: str, id: str) -> bool:
        """False if there is none."""
        return await self._write(lambda connection: tables.delete_record(connection, tables.traces, owner, id))

    async def forget_completions(self, before: float) -> int:
        """Deletes those that were made before then; how many."""
        old = delete(tables.traces).where(tables.traces.c.created < before)
        return await self._write(lambda connection: connection.execute(old).rowcount)
