"""The application: the routes of all protocols, and what stands before them.

Middlewares are plain ASGI, because Starlette's base class costs a task and a queue for each piece of a stream.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from functools import cache
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firesteel.server import admin, completions, conversations, decisions, files, openapi, static, tokens
from firesteel.server.chat import routes as chat
from firesteel.server.errors import ApiError, store_unavailable
from firesteel.server.guard import HEADERS, Guard, Keys
from firesteel.server.http import answer_json, refusal, request_id, service_of
from firesteel.server.idempotency import Idempotency
from firesteel.server.logs import CURRENT, Current
from firesteel.server.messages import routes as messages
from firesteel.server.responses import routes as responses
from firesteel.server.service import Service
from firesteel.server.store import StoreUnavailable
from firesteel.server.threads import routes as threads

_LOG = logging.getLogger("firesteel.server")
_ID = re.compile(r"[\w.:-]{1,128}")


def create_app(service: Service) -> Starlette:
    """The ASGI application of a service. Whoever runs it closes the service's backend and store."""
    routes: list[BaseRoute] = [
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi_document),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
        *chat.routes,
        *responses.routes,
        *messages.routes,
        *completions.routes,
        *tokens.routes,
        *decisions.routes,
        *files.routes,
        *conversations.routes,
        *threads.routes,
        *admin.routes,
        *static.routes,
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Requests),
            Middleware(Guard, service.settings),
            Middleware(Keys),
            Middleware(Idempotency),
        ],
        exception_handlers={
            ApiError: _told,
            HTTPException: _told_http,
            StoreUnavailable: _told_store,
            ClientDisconnect: _gone,
            Exception: _defect,
        },
    )
    app.state.service = service
    app.state.openapi = cache(lambda: openapi.document(routes))  # takes a quarter of a second
    app.state.paths = {route.endpoint: route.path for route in routes if isinstance(route, Route)}
    return app


async def health(request: Request) -> Response:
    """Whether the process lives."""
    service = service_of(request)
    return answer_json({"status": "ok", "model": service.names.name, "backend": service.backend.name})


async def ready(request: Request) -> Response:
    """Whether requests should be sent here."""
    if service_of(request).admission.draining:
        return answer_json({"status": "draining"}, 503)
    return answer_json({"status": "ready"})


async def metrics(request: Request) -> Response:
    return PlainTextResponse(service_of(request).metrics.text(), media_type="text/plain; version=0.0.4")


async def openapi_document(request: Request) -> Response:
    """This interface, described."""
    return answer_json(await asyncio.to_thread(request.app.state.openapi))


async def models(request: Request) -> Response:
    names = service_of(request).names
    data = [_model(name) for name in names]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"], "has_more": False}
    return answer_json({"object": "list", "data": data} | ends)


async def model(request: Request) -> Response:
    name = request.path_params["name"]
    service_of(request).names.mode(name)
    return answer_json(_model(name))


def _model(name: str) -> dict[str, Any]:
    """In OpenAI's words and Anthropic's."""
    theirs = {"type": "model", "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": 0, "owned_by": "firesteel"} | theirs


class Requests:
    """Gives each request an id, logs it, counts it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        id = given if _ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = id
        current = Current(id, Headers(scope=scope).get("x-request-timeout"))
        CURRENT.set(current)
        began, status = time.monotonic(), 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = headers["request-id"] = id  # OpenAI's name, and Anthropic's
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            service: Service = scope["app"].state.service
            service.metrics.answered(scope["app"].state.paths.get(scope.get("endpoint"), "other"), status)
            if service.settings.log_requests:
                _LOG.info(
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "seconds": round(time.monotonic() - began, 4),
                        **current.facts,
                    },
                )


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return refusal(request.scope, error)


async def _told_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = {404: f"There is nothing at {request.url.path}.", 405: f"{request.method} is not possible here."}
    message = sentence.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    return await _told(request, ApiError(error.status_code, message, headers=headers))


async def _told_store(request: Request, error: Exception) -> Response:
    _LOG.error("The store is unavailable: %s", error, extra={"request_id": request_id(request)})
    return await _told(request, store_unavailable())


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it; the log does


async def _defect(request: Request, error: Exception) -> Response:
    _LOG.error("A request failed.", exc_info=error)
    # Starlette answers this one outside of all middlewares.
    headers = HEADERS | {"x-request-id": request_id(request)}
    return await _told(request, ApiError(500, "The server failed; its log tells why.", headers=headers))
