"""WebSocket on `/v1/responses`: frames `response.create` in, the events of the stream out, one response at a time.

- The conversation of the last response that is not stored lives as long as the connection, so that
  `previous_response_id` can name it. A continuation that fails throws it away: the client begins anew with the whole.
- An error is a frame `{"type": "error", "status", "error"}`; the connection goes on. Who disconnects cancels.

Source: WebSocketResponseCreateEvent and WebSocketErrorEvent of Open Responses 2026-04-24.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from firesteel.format import Message
from firesteel.server.ask import Caller
from firesteel.server.errors import ApiError, invalid, store_unavailable
from firesteel.server.http import checked, json_of
from firesteel.server.responses.body import ResponseBody
from firesteel.server.responses.run import Run, foreground, question
from firesteel.server.service import Service
from firesteel.server.store import StoreUnavailable

_LOG = logging.getLogger("firesteel.server")
_WAITING = 8  # frames


async def connection(websocket: WebSocket) -> None:
    await websocket.accept()
    service: Service = websocket.app.state.service
    caller: Caller = websocket.scope["state"]["caller"]
    frames: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
    tasks = {
        asyncio.create_task(_receive(websocket, frames)),
        asyncio.create_task(_Talk(service, caller, websocket).serve(frames)),
    }
    service.working |= tasks
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled():
                task.result()
    except WebSocketDisconnect:
        return
    finally:
        service.working -= tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await websocket.close(1001)  # the server ends


async def _receive(websocket: WebSocket, frames: asyncio.Queue[bytes]) -> None:
    """Puts frames in line; reads on meanwhile, to hear of the end."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        if frames.full():
            await websocket.send_text(_error(ApiError(429, f"More than {_WAITING} frames wait.", code="overloaded")))
        else:
            frames.put_nowait(message.get("bytes") or (message.get("text") or "").encode("utf-8", "replace"))


class _Talk:
    def __init__(self, service: Service, caller: Caller, websocket: WebSocket) -> None:
        self._service, self._caller, self._websocket = service, caller, websocket
        self._cached: dict[str, Sequence[Message]] = {}

    async def serve(self, frames: asyncio.Queue[bytes]) -> None:
        while True:
            frame = await frames.get()
            try:
                await self._create(frame)
            except ApiError as error:
                await self._websocket.send_text(_error(error))
            except StoreUnavailable as error:
                _LOG.error("The store is unavailable: %s", error)
                await self._websocket.send_text(_error(store_unavailable()))

    async def _create(self, frame: bytes) -> None:
        if len(frame) > self._service.settings.body_bytes:
            raise ApiError(413, f"A frame has more than {self._service.settings.body_bytes:,} bytes.")
        given = json_of(frame)
        if not isinstance(given, dict) or given.get("type") != "response.create":
            raise invalid("A frame is an object of the type response.create.", "type", "invalid_value")
        body = checked(ResponseBody, given)
        if body.background:
            raise invalid("There is no background over a WebSocket.", "background")
        cached = dict(self._cached)
        self._cached.pop(body.previous_response_id or "", None)
        run = Run(self._service, await question(self._service, self._caller, body, cached))
        async with aclosing(foreground(run)) as events:
            async for event in events:
                await self._websocket.send_text(orjson.dumps(event).decode())
        if run.response["status"] != "failed":
            self._cached = {} if body.stored else {run.asked.id: [*run.asked.before, *run.added]}


def _error(error: ApiError) -> str:
    told: dict[str, Any] = error.openai()["error"]
    told["code"] = told["code"] or told["type"]
    return orjson.dumps({"type": "error", "status": error.status, "error": told}).decode()
