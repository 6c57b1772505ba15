"""The few pieces of HTTP that every protocol needs: bodies in, JSON and event streams out, the end of a connection.

- A body is read up to its cap, and checked against a pydantic model: unknown fields are left alone, wrong values are
  told by name.
- An event stream begins with its first event, so that a request that cannot be served still gets a status. What fails
  later is an event of its own; silence is broken by comments, so that proxies keep the connection.
- A client that goes away cancels its work, streaming or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from firesteel.server.ask import Caller
from firesteel.server.errors import ApiError, invalid
from firesteel.server.service import Service

_LOG = logging.getLogger("firesteel.server")
_PING_SECONDS = 15.0
_DEPTH = 128  # of JSON; what writes it stops at 254
_TOGETHER = 0.01  # seconds; what comes within goes out as one, because a write costs more than all else of an event
_WAITING = 1024  # pieces that wait for a slow client
Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")


def service_of(request: Request) -> Service:
    return request.app.state.service


def caller_of(request: Request) -> Caller:
    """Who asks, as the access middleware found."""
    return request.scope["state"]["caller"]


def request_id(request: Request) -> str:
    return request.scope["state"]["request_id"]


async def read(request: Request, most: int) -> bytes:
    """The body. Raises ApiError 413 for more than `most` bytes."""
    too_large = ApiError(413, f"The body has more than {most:,} bytes.", code="body_too_large")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_large
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise too_large
        pieces.append(piece)
    return b"".join(pieces)


async def body_of(request: Request, model: type[Body]) -> Body:
    """The JSON body as `model`. Raises ApiError 400 with the name of what is wrong."""
    return checked(model, json_of(await read(request, service_of(request).settings.body_bytes)))


def json_of(data: bytes) -> Any:
    """JSON that may be walked and written again without fear of its depth. Raises ApiError 400."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise invalid(f"The body is not JSON: {error}.", code="invalid_json") from error
    if data.count(b"{") + data.count(b"[") > _DEPTH and too_deep(value):
        raise invalid(f"The body is nested more than {_DEPTH} levels deep.", code="invalid_json")
    return value


def too_deep(value: Any) -> bool:
    """Whether JSON is nested deeper than is served here."""
    level = [value]
    for _ in range(_DEPTH):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        if not inner:
            return False
        level = [each for container in inner for each in container]
    return True


def checked(model: type[Body], value: Any, where: str = "") -> Body:
    """`value`, which stands at `where` in the body, as `model`. Raises ApiError 400 with the name of what is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        # Names of the union's members stand in the path; a caller knows only fields and positions.
        path = [where] if where else []
        path += [str(step) for step in first["loc"] if isinstance(step, int) or str(step).islower()]
        raise invalid(f"{first['msg']}.", ".".join(path) or None, "invalid_value") from error
    except RecursionError as error:
        raise invalid("The body is nested too deeply.") from error


def answer_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def refusal(scope: Scope, error: ApiError) -> Response:
    """An error in the words of the protocol that a path belongs to."""
    state = scope.get("state", {})
    anthropic = scope["path"].startswith("/v1/messages")
    said = error.anthropic(state.get("request_id", "")) if anthropic else error.openai()
    return answer_json(said, error.status, error.headers)


async def connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the client goes away (raises ClientDisconnect)."""
    result: list[Result] = []

    async def run() -> None:
        result.append(await work)

    if not await _while_there(service_of(request), run(), request.receive):
        raise ClientDisconnect
    return result[0]


async def _while_there(service: Service, work: Coroutine[Any, Any, None], receive: Receive) -> bool:
    """Whether the work was done before the client went away. Raises ApiError 503 where the service ended first."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(receive))
    service.working.add(task)
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.cancelled() and service.ended:
            raise ApiError(503, "The server is shutting down.", code="shutting_down", retry_after=5)
        if task.done():
            task.result()
        return task.done()
    finally:
        service.working.discard(task)
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Sends what `pieces` yields; an ApiError among them becomes the event that `failed` writes."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        failed: Callable[[ApiError], bytes],
        headers: dict[str, str] | None = None,
        ping: bytes = b": ping\n\n",
    ) -> None:
        self.status_code = 200
        self.background = None
        self.media_type = "text/event-stream"
        self.body = b""
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"} | (headers or {}))
        del self.headers["content-length"]
        self._pieces, self._failed, self._ping_piece = pieces, failed, ping
        self._begun = False
        self._waiting: list[bytes] = []  # to be sent
        self._sending = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._state = scope.setdefault("state", {})
        try:
            await _while_there(scope["app"].state.service, self._run(send), receive)
        except ApiError as error:
            if not self._begun:
                raise
            self._state["failed"] = True
            last = b"".join([*self._waiting, self._failed(error)])
            await send({"type": "http.response.body", "body": last, "more_body": False})
        finally:
            self._stop()

    async def _run(self, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:
            first = await anext(pieces, b"")  # what fails here is still a status
            self._begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._put(first, send)
            pinging = asyncio.create_task(self._ping(send))
            try:
                async for piece in pieces:
                    self._silent = False
                    self._put(piece, send)
                    if len(self._waiting) > _WAITING:  # the client is slow
                        async with self._sending:
                            pass
            except ApiError as error:
                self._state["failed"] = True
                self._put(self._failed(error), send)
            except Exception as error:  # the stream must say that it failed, then the defect is told as any other
                self._state["failed"] = True  # for whoever would keep the answer
                self._put(self._failed(ApiError(500, "The server failed in the middle of the answer.")), send)
                _LOG.error("A stream failed.", exc_info=error)
            finally:
                pinging.cancel()
        async with self._sending:
            self._stop()
            await send({"type": "http.response.body", "body": b"".join(self._waiting), "more_body": False})

    def _put(self, piece: bytes, send: Send) -> None:
        self._waiting.append(piece)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(send))

    async def _flush(self, send: Send) -> None:
        """Sends what waits, and then what came meanwhile."""
        while self._waiting:
            async with self._sending:
                data = b"".join(self._waiting)
                self._waiting.clear()
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await asyncio.sleep(_TOGETHER)

    def _stop(self) -> None:
        if self._flushing:
            self._flushing.cancel()

    _silent = True

    async def _ping(self, send: Send) -> None:
        while True:
            self._silent = True
            await asyncio.sleep(_PING_SECONDS)
            if self._silent:
                self._put(self._ping_piece, send)


def event(value: Any, name: str = "") -> bytes:
    """One server-sent event."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + orjson.dumps(value) + b"\n\n"
