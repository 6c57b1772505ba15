"""The durable store: what was acknowledged is still there after kill -9 and after a power cut.

`Store` needs SQLAlchemy, which takes a third of a second to import, so it is loaded when it is first named (PEP 562);
the records are plain dataclasses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firesteel.server.store.records import (
    Conversation,
    File,
    Item,
    Key,
    Replay,
    StoredCompletion,
    StoredResponse,
    StoreUnavailable,
    Thread,
    Usage,
)

if TYPE_CHECKING:
    from firesteel.server.store.store import Store

__all__ = [
    "Conversation",
    "File",
    "Item",
    "Key",
    "Replay",
    "Store",
    "StoreUnavailable",
    "StoredCompletion",
    "StoredResponse",
    "Thread",
    "Usage",
]


def __getattr__(name: str) -> Any:
    if name != "Store":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from firesteel.server.store.store import Store

    return Store
