"""The store as one object: what it can do stands in the modules that it is put together from.

Plain statements of SQLAlchemy Core, no ORM: rows become frozen records, and nothing is loaded or written behind the
caller's back. What SQLAlchemy would await is done in threads (`database.py`), as SQLite has no other way.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from firesteel.server.store.access import Access
from firesteel.server.store.connect import connect
from firesteel.server.store.conversations import Completions, Conversations
from firesteel.server.store.files import Files
from firesteel.server.store.idempotency import Idempotency
from firesteel.server.store.migrate import migrate
from firesteel.server.store.responses import Responses
from firesteel.server.store.threads import Threads


class Store(Access, Responses, Threads, Conversations, Completions, Files, Idempotency):
    """Keys, usage, responses, threads, conversations, completions, files and idempotency keys in one database.

    Every method that writes returns after the commit, but `add_usage` and `pay`. Every one that takes an owner neither
    shows nor changes what belongs to others: it returns None, False or an empty list, as if there were nothing. All may
    raise StoreUnavailable.
    """

    @classmethod
    async def open(cls, url: str) -> Store:
        """Opens "sqlite:///PATH" or "postgresql://…" and brings the schema up to date. ValueError if that cannot be."""
        return cls(await asyncio.to_thread(_open, url))


def _open(url: str) -> Engine:
    engine = connect(url)
    try:
        migrate(engine)
    except DBAPIError as error:
        shown = engine.url.render_as_string(hide_password=True)
        raise ValueError(f"The store {shown} cannot be opened: {str(error.orig).strip()}.") from error
    return engine
