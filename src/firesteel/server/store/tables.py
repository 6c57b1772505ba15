"""The tables, and the few statements that all of them share.

Choices:
- The owner is the first half of every primary key, so that no statement can reach another owner's row by its id alone.
- The same types on SQLite and PostgreSQL. JSON is kept as ASCII text: PostgreSQL's own type refuses some strings that
  clients may send (NUL, lone surrogates), and nothing is looked up inside of it. Plain text that a database cannot
  hold is replaced by U+FFFD, Unicode's replacement character, in writes and in look-ups alike.
- Lists go by a cursor (time, id), newest first: pages stay right while rows are added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    Executable,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    false,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator

T = TypeVar("T")


class Words(TypeDecorator[str]):
    """Text of any kind, UTF-8."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Json(TypeDecorator[Any]):
    """Dicts and lists as ASCII text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


metadata = MetaData()

keys = Table(
    "keys",
    metadata,
    Column("id", Words, primary_key=True),
    Column("owner", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("prefix", Words, nullable=False),
    Column("digest", Words, nullable=False, unique=True),  # SHA-256 of the secret
    Column("modes", Json, nullable=False),
    Column("tools", Json, nullable=False),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("monthly_tokens", BigInteger),
    Column("expires", Double),
    Column("created", Double, nullable=False),
    Column("revoked", Double),
    Column("admin", Boolean, nullable=False, server_default=false()),
)

usage = Table(
    "usage",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("at", Double, primary_key=True),  # the first second of the day, UTC
    Column("model", Words, primary_key=True),
    Column("mode", Words, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Index("usage_by_key", "key", "at"),
)

# What each limited key may still use at the time `at`, over all replicas.
paces = Table(
    "paces",
    metadata,
    Column("key", Words, primary_key=True),
    Column("requests", Double, nullable=False),
    Column("tokens", Double, nullable=False),  # may be below zero
    Column("at", Double, nullable=False),
)

responses = Table(
    "responses",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("created", Double, nullable=False),
    Column("status", Words, nullable=False),
    Column("background", Boolean, nullable=False),
    Column("model", Words, nullable=False),
    Column("previous", Words),
    Column("conversation", Words),
    Column("body", Json, nullable=False),
    Column("request", Json, nullable=False),
    Column("messages", Json, nullable=False),
    Column("instructions", Json, nullable=False),
    # Who works on it, and until when that is believed. Not part of the record: replacing a record keeps the lease.
    Column("replica", Words),
    Column("leased_until", Double),
    Column("cancel", Boolean, nullable=False, server_default=false()),
    Column("thread", Words),
    Index("responses_by_time", "owner", "created", "id"),
    Index("responses_by_thread", "owner", "thread", "created"),
    Index("responses_by_previous", "owner", "previous"),
)
RUNNING = text("status IN ('queued', 'in_progress')")
Index("responses_by_id", responses.c.id)
Index("responses_running", responses.c.leased_until, sqlite_where=RUNNING, postgresql_where=RUNNING)

events = Table(
    "events",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("response", Words, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("text", Words, nullable=False),
    ForeignKeyConstraint(["owner", "response"], ["responses.owner", "responses.id"], ondelete="CASCADE"),
)

threads = Table(
    "threads",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("title", Words, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("leaf", Words),
    Column("settings", Json, nullable=False),
    Column("deleted", Double),
    Index("threads_by_time", "owner", "pinned", "updated", "id"),
    Index("threads_deleted", "deleted"),
)

# The index over `words` is the database's own and stands in the migration alone (`texts.py`).
texts = Table(
    "texts",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),  # SQLite's rowid
    Column("owner", Words, nullable=False),
    Column("thread", Words, nullable=False),
    Column("response", Words),  # none: the title
    Column("text", Words, nullable=False),
    Column("words", Words, nullable=False),
    ForeignKeyConstraint(["owner", "thread"], ["threads.owner", "threads.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["owner", "response"], ["responses.owner", "responses.id"], ondelete="CASCADE"),
    Index("texts_by_thread", "owner", "thread", "response"),
    Index("texts_by_response", "owner", "response"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("title", Words, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("length", BigInteger, nullable=False, server_default="0"),  # the position that the next item gets
    Index("conversations_by_time", "owner", "updated", "id"),
)

items = Table(
    "items",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("conversation", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("value", Json, nullable=False),
    ForeignKeyConstraint(["owner", "conversation"], ["conversations.owner", "conversations.id"], ondelete="CASCADE"),
    Index("items_by_position", "owner", "conversation", "position", unique=True),
)

traces = Table(
    "traces",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("created", Double, nullable=False),
    Column("model", Words, nullable=False),
    Column("body", Json, nullable=False),
    Column("messages", Json, nullable=False),
    Index("traces_by_time", "owner", "created", "id"),
)

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", Words, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("unused", Double),  # since when nothing has named it; none: something does, or nobody looked yet
    Index("blobs_unused", "unused", "sha256"),
)

# The rows whose JSON names a blob, one for each name in it; they go with that row.
mentions = Table(
    "mentions",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("blob", Words, nullable=False),
    Column("owner", Words, nullable=False),
    Column("response", Words),
    Column("conversation", Words),
    Column("item", Words),
    ForeignKeyConstraint(["owner", "response"], ["responses.owner", "responses.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(
        ["owner", "conversation", "item"], ["items.owner", "items.conversation", "items.id"], ondelete="CASCADE"
    ),
    Index("mentions_by_blob", "blob"),
    Index("mentions_by_response", "owner", "response"),
    Index("mentions_by_item", "owner", "conversation", "item"),
)

files = Table(
    "files",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("created", Double, nullable=False),
    Column("name", Words, nullable=False),
    Column("purpose", Words, nullable=False),
    Column("media_type", Words, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("expires", Double),
    Column("blob", Words, ForeignKey("blobs.sha256"), nullable=False),
    Index("files_by_time", "owner", "created", "id"),
    Index("files_by_blob", "blob"),
    Index("files_by_end", "expires"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("digest", Words, nullable=False),
    Column("created", Double, nullable=False),
    Column("status", BigInteger),  # none: the request is running
    Column("headers", Json),
    Column("body", LargeBinary),
    Index("idempotency_by_time", "created"),
)


def put(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    replace: Sequence[str] = (),
    add: Sequence[str] = (),
) -> int:
    """Insert rows; in one that is there already, the columns `replace` are replaced and `add` are added up.

    Returns how many were written (exact for a single row).
    """
    statement = _upsert(connection.dialect.name, table, tuple(replace), tuple(add))
    return connection.execute(statement, list(rows) if len(rows) > 1 else dict(rows[0])).rowcount


@lru_cache  # of some twenty statements: making one takes longer than running it
def _upsert(dialect: str, table: Table, replace: tuple[str, ...], add: tuple[str, ...]) -> Executable:
    insert = (sqlite if dialect == "sqlite" else postgresql).insert(table).execution_options(preserve_rowcount=True)
    changed = {name: insert.excluded[name] for name in replace}
    changed |= {name: table.c[name] + insert.excluded[name] for name in add}
    primary = [column.name for column in table.primary_key]
    if changed:
        return insert.on_conflict_do_update(index_elements=primary, set_=changed)
    return insert.on_conflict_do_nothing(index_elements=primary)


def columns(record: Any, table: Table) -> list[Column[Any]]:
    return [table.c[field.name] for field in fields(record)]


def put_record(connection: Connection, table: Table, record: Any, **more: Any) -> None:
    """Insert a record or replace it whole; columns that are not in the record keep their values."""
    row = {field.name: getattr(record, field.name) for field in fields(record)} | more
    put(connection, table, [row], replace=[name for name in row if name not in ("owner", "id")])


def get_record(connection: Connection, table: Table, kind: type[T], owner: str, id: str) -> T | None:
    statement = select(*columns(kind, table)).where(table.c.owner == owner, table.c.id == id)
    row = connection.execute(statement).one_or_none()
    return None if row is None else kind(**row._mapping)


def delete_record(connection: Connection, table: Table, owner: str, id: str) -> bool:
    """Whether there was such a row."""
    return connection.execute(delete(table).where(table.c.owner == owner, table.c.id == id)).rowcount > 0


def page(
    connection: Connection,
    table: Table,
    kind: type[T],
    owner: str,
    limit: int,
    after: str | None,
    by: str = "created",
    only: Sequence[ColumnElement[bool]] = (),
) -> list[T]:
    """The owner's newest records by the time column `by`; `after` is the id of the last row of the page before."""
    cursor = table.alias()
    statement = select(*columns(kind, table)).where(table.c.owner == owner, *only)
    if after is not None:
        last = select(cursor.c[by], cursor.c.id).where(cursor.c.owner == owner, cursor.c.id == after)
        statement = statement.where(tuple_(table.c[by], table.c.id) < last.scalar_subquery())
    statement = statement.order_by(table.c[by].desc(), table.c.id.desc()).limit(limit)
    return [kind(**row._mapping) for row in connection.execute(statement)]
