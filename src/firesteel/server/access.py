"""Who may do what: keys, their rights, their pace.

- Where no key exists, everybody on this machine is one local user; the server refuses to listen elsewhere then.
- Minutes are paced by token buckets of this process (with several replicas, each has its own), months by the store.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from firesteel.server.ask import Caller
from firesteel.server.errors import ApiError
from firesteel.server.store import Store


class Access:
    """Checks callers against the keys in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def caller(self, secret: str | None) -> Caller:
        """Whom a key belongs to. Raises ApiError 401."""
        if not await self._store.any_keys():
            return Caller()
        key = await self._store.find_key(secret) if secret else None
        if key is None or key.revoked or (key.expires and key.expires < time.time()):
            raise ApiError(401, "A valid API key is needed.", code="invalid_api_key")
        return Caller(key.owner, key)

    def check(self, caller: Caller, mode: str, tools: Sequence[str]) -> None:
        """Raises ApiError 403 for what the key does not allow, 429 where its pace or budget is used up."""
        key = caller.key
        if key is None:
            return
        if key.modes and mode not in key.modes:
            raise ApiError(403, f"This key does not allow the mode {mode}.", code="mode_not_allowed")
        for tool in tools:
            if "*" not in key.tools and tool not in key.tools:
                raise ApiError(403, f"This key does not allow the tool {tool}.", code="tool_not_allowed")

    def spent(self, caller: Caller, tokens: int) -> None:
        """Counts what a request took."""
