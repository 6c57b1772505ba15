"""Idempotency-Key on POST: a request that comes twice is done once and answered twice, for a day.

- As draft-ietf-httpapi-idempotency-key-header-07. A key belongs to its owner and to one method, path, query and body;
  with another it is refused, and so is the same while the first is being done.
- The answer is kept before its last bytes are sent, so whoever saw the end of it will see it again, streams included.
- What another try may cure is not kept: failures (5xx, also in the middle of a stream), 408, 409, 429, and answers
  that broke off. Nor are those above `_LARGEST` bytes.
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firesteel.server.errors import ApiError, invalid, store_unavailable
from firesteel.server.http import read, refusal
from firesteel.server.store import Replay, StoreUnavailable

if TYPE_CHECKING:
    from firesteel.server.service import Service
    from firesteel.server.store import Store

_LOG = logging.getLogger("firesteel.server")
_LARGEST = 8 << 20
_LONGEST = 255  # characters of a key
_PASSING = (408, 409, 429, 499)


class Idempotency:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = None
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith("/v1/"):
            key = Headers(scope=scope).get("idempotency-key")
        if key is None:
            await self._app(scope, receive, send)
            return
        service: Service = scope["app"].state.service
        owner = scope["state"]["caller"].owner
        try:
            body = await _body(scope, receive, key, service.settings.body_bytes)
            replay = await _claim(service.store, owner, key, _digest(scope, body))
        except ApiError as error:
            await refusal(scope, error)(scope, receive, send)
            return
        except ClientDisconnect:
            return
        if replay is not None:
            headers = replay.headers | {"idempotent-replayed": "true"}
            await Response(replay.body, replay.status, headers)(scope, receive, send)
            return
        recorder = _Recorder(service.store, owner, key, scope, send)
        try:
            await self._app(scope, _again(body, receive), recorder.send)
        finally:
            await recorder.end()


async def _body(scope: Scope, receive: Receive, key: str, most: int) -> bytes:
    if not 0 < len(key) <= _LONGEST or not key.isascii() or not key.isprintable():
        raise invalid(f"An Idempotency-Key has 1 to {_LONGEST} printable ASCII characters.", "Idempotency-Key")
    return await read(Request(scope, receive), most)


def _digest(scope: Scope, body: bytes) -> str:
    head = b"\0".join((scope["method"].encode(), scope["path"].encode("utf-8", "surrogatepass"), scope["query_string"]))
    return hashlib.sha256(head + b"\0" + body).hexdigest()


async def _claim(store: Store, owner: str, key: str, digest: str) -> Replay | None:
    try:
        claimed = await store.claim(owner, key, digest, time.time())
    except StoreUnavailable as error:
        raise store_unavailable() from error
    if claimed == "running":
        raise ApiError(
            409, "The first request with this key is still running.", code="idempotency_running", retry_after=1
        )
    if claimed == "other":
        message = "This Idempotency-Key came with another request before."
        raise ApiError(409, message, param="Idempotency-Key", code="idempotency_key_reused")
    return claimed


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read already, then what comes after it, which is the end of the connection."""
    unread = True

    async def heard() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return heard


class _Recorder:
    """Passes an answer on and keeps it, or lets go of the key."""

    def __init__(self, store: Store, owner: str, key: str, scope: Scope, send: Send) -> None:
        self._store, self._owner, self._key = store, owner, key
        self._state, self._send = scope["state"], send
        self._status, self._headers = 0, dict[str, str]()
        self._pieces: list[bytes] = []
        self._size, self._kept = 0, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            kind = Headers(raw=message["headers"]).get("content-type")
            self._headers = {"content-type": kind} if kind else {}
        elif message["type"] == "http.response.body":
            self._size += len(message.get("body", b""))
            if self._size <= _LARGEST:
                self._pieces.append(message.get("body", b""))
            else:
                self._pieces.clear()
            if not message.get("more_body", False):
                await self._keep()
        await self._send(message)

    async def _keep(self) -> None:
        if self._status >= 500 or self._status in _PASSING or self._size > _LARGEST or "failed" in self._state:
            return
        self._kept = True
        try:
            body = b"".join(self._pieces)
            await self._store.finish(self._owner, self._key, self._status, self._headers, body)
        except StoreUnavailable as error:
            self._kept = False
            _LOG.warning("An answer was not kept for its Idempotency-Key: %s", error)

    async def end(self) -> None:
        if self._kept:
            return
        try:
            await self._store.release(self._owner, self._key)
        except StoreUnavailable as error:
            _LOG.warning("An Idempotency-Key was not released: %s", error)
