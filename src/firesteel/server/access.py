"""Who may do what: keys, their rights, their pace.

- A key's owner is whoever shows it. While no key was ever made, everybody on this machine is one local user, and the
  server listens nowhere else. From the first key on one is needed, also after the last was revoked: revoking must never
  open a door.
- Keys are looked up by the SHA-256 of what was shown, so the time it takes tells nothing about a secret. Look-ups are
  kept for two seconds at most and renewed in the background after one, so a busy key costs no request a query and a
  revoked one dies within two seconds.
- Minutes are paced by token buckets in the store, which all replicas share. A replica takes requests from there for a
  second ahead, or one by one where that is less, so a busy key costs a query a second and never gets more than its
  rate; what others spent of its tokens it learns within a second. Where the bucket must be empty nobody asks.
- Months are summed up by the store, plus what this process spent since it was asked.
- Tokens are paid afterwards, when their number is known: a request is let in while the bucket is not empty, and what it
  takes too much delays those that follow. Reserving `max_tokens` would refuse most requests for tokens that they never
  use.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Generic, TypeVar

from firesteel.agent.mind import MODES
from firesteel.agent.toolbox import HELP, NAMES
from firesteel.server.ask import Caller
from firesteel.server.errors import ApiError, store_unavailable
from firesteel.server.pace import Bucket
from firesteel.server.store import Key, Store, StoreUnavailable

_FRESH, _STALE = 1.0, 2.0  # seconds
_MOST = 4096  # look-ups kept; strangers' guesses are among them
T = TypeVar("T")
Clock = Callable[[], float]


def check_rights(modes: Sequence[str], tools: Sequence[str]) -> None:
    """Raises ValueError for modes and tools that no key can allow; "*" stands for all tools."""
    for mode in modes:
        if mode not in MODES:
            raise ValueError(f"There is no mode {mode}; there are: {', '.join(MODES)}.")
    for tool in tools:
        if tool != "*" and tool.split(":")[0] not in NAMES:
            raise ValueError(f"There are no tools {tool}; there are: {HELP}, or all.")


def allows(caller: Caller, tool: str) -> bool:
    """Whether a caller's key has the right to a tool."""
    return caller.key is None or "*" in caller.key.tools or tool in caller.key.tools


class Kept(Generic[T]):
    """A value that is fetched again when it is old: in the background after `_FRESH`, waited for after `_STALE`."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._at = clock, float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._value: T

    async def get(self, fetch: Callable[[], Awaitable[T]]) -> T:
        age = self._clock() - self._at
        if age >= _FRESH:
            if self._fetching is None:  # one at a time, however many ask
                self._fetching = asyncio.create_task(self._renew(fetch))
                self._fetching.add_done_callback(_seen)
            if age >= _STALE:
                await asyncio.shield(self._fetching)
        return self._value

    async def _renew(self, fetch: Callable[[], Awaitable[T]]) -> None:
        asked = self._clock()
        try:
            self._value = await fetch()
            self._at = asked
        finally:
            self._fetching = None


def _seen(task: asyncio.Task[None]) -> None:
    """Whoever waits gets the error; in the background it only leaves the value old."""
    if not task.cancelled():
        task.exception()


class Pace:
    """What one key has used lately, as far as it is known here."""

    def __init__(self, key: Key, clock: Clock) -> None:
        self.turn = asyncio.Lock()  # to ask the store
        self.asked = float("-inf")
        self.held = 0  # requests that the store gave and nobody made yet; `requests` counts them too
        self.requests = Bucket(key.requests_per_minute, clock) if key.requests_per_minute is not None else None
        self.tokens = Bucket(key.tokens_per_minute, clock) if key.tokens_per_minute is not None else None
        self.month = 0  # tokens, as the store said last
        self.since = 0  # tokens spent here that may not be among them


class Access:
    """Checks callers against the keys in the store."""

    def __init__(self, store: Store, clock: Clock = time.monotonic, wall: Clock = time.time) -> None:
        self._store, self._clock, self._wall = store, clock, wall
        self._closed = False  # whether keys are needed
        self._any: Kept[None] = Kept(clock)
        self._known: dict[bytes, Kept[Key | None]] = {}
        self._paces: dict[str, Pace] = {}

    async def caller(self, secret: str | None) -> Caller:
        """Whom a key belongs to. Raises ApiError 401, and 503 while keys cannot be looked up."""
        try:
            if not await self.closed():
                return Caller()
            key = await self._key(secret) if secret else None
        except StoreUnavailable as error:
            raise store_unavailable() from error
        if key is None or key.status != "active":
            headers = {"www-authenticate": "Bearer"}
            raise ApiError(401, "A valid API key is needed.", code="invalid_api_key", headers=headers)
        return Caller(key.owner, key)

    async def closed(self) -> bool:
        """Whether a key is needed. Raises StoreUnavailable."""
        if not self._closed:
            await self._any.get(self._look)
        return self._closed

    def admit_operator(self, caller: Caller) -> None:
        """Raises ApiError 403 for whoever may not look after the server. Without keys, the local user may."""
        if caller.key is not None and not caller.key.admin:
            raise ApiError(403, "This key does not have the right admin.", code="admin_only")

    async def enter(self, caller: Caller) -> None:
        """Counts one request. Raises ApiError 429 if it comes too soon, 503 where the store cannot tell."""
        key = caller.key
        if key is None or (key.requests_per_minute is None and key.tokens_per_minute is None):
            return
        pace = self._pace(key)
        async with pace.turn:
            short = pace.requests is not None and pace.held < 1 and not pace.requests.until(1)
            if short or (pace.tokens and self._clock() - pace.asked >= _FRESH):
                await self._share(key, pace, short)
            if pace.requests is None:
                return
            if pace.held < 1:
                message = f"This key may make {pace.requests.size} requests a minute."
                raise ApiError(429, message, code="rate_limit_exceeded", retry_after=pace.requests.until(1))
            pace.held -= 1
            pace.requests.draw(1)

    def check(self, caller: Caller, mode: str, tools: Sequence[str]) -> None:
        """Raises ApiError 403 for what the key does not allow, 429 where its tokens are used up."""
        key = caller.key
        if key is None:
            return
        if key.modes and mode not in key.modes:
            raise ApiError(403, f"This key does not allow the mode {mode}.", code="mode_not_allowed")
        for tool in tools:
            if not allows(caller, tool):
                raise ApiError(403, f"This key does not allow the tool {tool}.", code="tool_not_allowed")
        pace = self._pace(key)
        if pace.tokens and (wait := pace.tokens.until(1)):
            message = f"This key may use {pace.tokens.size} tokens a minute."
            raise ApiError(429, message, code="rate_limit_exceeded", retry_after=wait)
        if key.monthly_tokens is not None and pace.month + pace.since >= key.monthly_tokens:
            message = f"The {key.monthly_tokens} tokens that this key may use in a month are used up."
            wait, headers = _next_month(datetime.now(UTC)), {"x-should-retry": "false"}  # clients would wait in vain
            raise ApiError(429, message, code="insufficient_quota", retry_after=wait, headers=headers)

    def spent(self, caller: Caller, tokens: int) -> None:
        """Counts what a request took."""
        if caller.key is None:
            return
        pace = self._pace(caller.key)
        pace.since += tokens
        if pace.tokens:
            pace.tokens.draw(tokens)
            self._store.pay(caller.key, tokens)

    def headers(self, caller: Caller) -> dict[str, str]:
        """What an answer says about the caller's limits; nothing about those that it does not have."""
        if caller.key is None:
            return {}
        pace = self._pace(caller.key)
        requests = pace.requests.headers("requests") if pace.requests else {}
        return requests | (pace.tokens.headers("tokens") if pace.tokens else {})

    def _pace(self, key: Key) -> Pace:
        if key.id not in self._paces:
            self._paces[key.id] = Pace(key, self._clock)
        return self._paces[key.id]

    async def _share(self, key: Key, pace: Pace, short: bool) -> None:
        """Learns from the store what is left, and takes requests from it if they are short here."""
        units = max(1, (key.requests_per_minute or 0) // 60) if short else 0
        try:
            taken, requests, tokens = await self._store.draw(key, units, self._wall())
        except StoreUnavailable as error:
            raise store_unavailable() from error
        pace.asked = self._clock()
        pace.held += taken
        if pace.requests:
            pace.requests.fill(requests + pace.held)
        if pace.tokens:
            pace.tokens.fill(tokens)

    async def _look(self) -> None:
        self._closed = bool(await self._store.keys())

    async def _key(self, secret: str) -> Key | None:
        digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        kept = self._known.get(digest)
        if kept is None:
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            kept = self._known[digest] = Kept(self._clock)
        return await kept.get(partial(self._find, secret))

    async def _find(self, secret: str) -> Key | None:
        key = await self._store.find_key(secret)
        if key is not None and key.monthly_tokens is not None:
            pace = self._pace(key)
            before = pace.since  # the store sums up in the line in which it counts, so these are among them
            pace.month = await self._store.month_tokens(key.id, time.time())
            pace.since -= before
        return key


def _next_month(now: datetime) -> float:
    """Seconds until the first of the next month, UTC."""
    first = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    return (first - now).total_seconds()
