"""What stands before the routes: which pages and machines may talk to the server, and who is asking.

- Host must name this server. A page of another site that has its own name rebound to 127.0.0.1 (DNS rebinding) still
  sends that name. Where the server listens on all addresses, a plain address is one of its names: nobody rebinds those.
- Origin, which browsers send with whatever a page writes and with WebSockets, must be the server's own or an allowed
  one. Only allowed ones get CORS headers; cookies play no part, so none allow credentials.
- Every answer says that it is neither to be sniffed, nor framed, nor kept, nor embedded by others, and that what it
  holds may not run. A route that serves a page says otherwise by setting the header itself.
- A connection that stays open does not outlive its key: each message of a WebSocket is checked like a request.
Sources: fetch.spec.whatwg.org (CORS, Cross-Origin-Resource-Policy), RFC 9110 15.5.20 (421).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firesteel.server.errors import ApiError
from firesteel.server.http import refusal
from firesteel.server.settings import Settings

if TYPE_CHECKING:
    from firesteel.server.service import Service

OPEN = ("/", "/health", "/ready", "/v1/app")  # for probes and the app, before they have keys
ASSETS = "/assets/"  # of the app; open too
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_SHOWN = "x-request-id, retry-after, retry-after-ms, idempotent-replayed, " + ", ".join(
    f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_binding(settings: Settings, has_keys: bool) -> None:
    """Raises ValueError where strangers could reach a server that asks for no key."""
    if not has_keys and not _is_loopback(settings.host):
        raise ValueError(
            f"The server would listen on {settings.host or 'all addresses'}, where others can reach it, without any "
            "key: make one with `firesteel keys create NAME`, or listen on 127.0.0.1."
        )


def is_open(path: str) -> bool:
    """Whether a path is served without a key."""
    return path in OPEN or path.startswith(ASSETS)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


class Guard:
    """Checks Host and Origin, answers preflights, adds the headers that protect browsers."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        bound = _address(settings.host)
        self._everywhere = not settings.host or (bound is not None and bound.is_unspecified)
        self._hosts = {
            host.lower().strip("[]") for host in (*_LOOPBACK, settings.host, *settings.allowed_hosts) if host
        }
        self._origins = {origin.lower().rstrip("/") for origin in settings.allowed_origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        foreign = origin is not None and origin.lower() in self._origins

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer.setdefault(name, value)
                if self._origins:
                    answer.add_vary_header("origin")
                if foreign:
                    answer["access-control-allow-origin"] = origin or ""
                    answer["access-control-expose-headers"] = _SHOWN
            await send(message)

        app: ASGIApp = self._app
        if error := self._objection(scope, headers, origin, foreign):
            app = refusal(scope, error)
        elif foreign and scope["type"] == "http" and scope["method"] == "OPTIONS":
            app = _preflight(headers)
        await app(scope, receive, guarded if scope["type"] == "http" else send)

    def _objection(self, scope: Scope, headers: Headers, origin: str | None, foreign: bool) -> ApiError | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            message = "This server does not go by that host name; its operator may allow it (allowed_hosts)."
            return ApiError(421, message, code="host_not_allowed")
        scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
        if origin is None or foreign or origin.lower() == f"{scheme}://{hosts[0].lower()}":
            return None
        message = "Pages of that origin may not use this server; its operator may allow it (allowed_origins)."
        return ApiError(403, message, code="origin_not_allowed")

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        if name.startswith("["):
            name, bracket, port = name[1:].partition("]")
            if not bracket or (port and not port.startswith(":")):
                return False
            port = port[1:]
        else:
            name, _, port = name.partition(":")
        if port and not (port.isascii() and port.isdecimal()):
            return False
        return name in self._hosts or (self._everywhere and _address(name) is not None)


def _preflight(headers: Headers) -> Response:
    """What a page of an allowed origin may send: anything, as it might from here."""
    allowed = {
        "access-control-allow-methods": "GET, POST, PATCH, PUT, DELETE",
        "access-control-allow-headers": headers.get("access-control-request-headers", "authorization, content-type"),
        "access-control-max-age": "600",
    }
    return Response(status_code=204, headers=allowed)


class Keys:
    """Finds out who asks, refuses strangers and those who are too fast, and tells callers their limits."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        service: Service = scope["app"].state.service
        access, secret = service.access, secret_of(Headers(scope=scope))
        try:
            caller = await access.caller(secret)
        except ApiError as error:
            await refusal(scope, error)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        if caller.key is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await _Checked(service, secret, receive, send).run(self._app, scope)
        else:

            async def telling(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(access.headers(caller))
                await send(message)

            app: ASGIApp = self._app
            try:
                await access.enter(caller)
            except ApiError as error:
                app = refusal(scope, error)
            await app(scope, receive, telling)


def secret_of(headers: Headers) -> str | None:
    """The key that is shown, in either of the usual headers."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")


class _Checked:
    """A WebSocket each of whose messages counts as a request, and which ends with its key."""

    def __init__(self, service: Service, secret: str | None, receive: Receive, send: Send) -> None:
        self._access, self._secret = service.access, secret
        self._receive, self._sent, self._over = receive, send, False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._next, self._send)

    async def _next(self) -> Message:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return message
            try:
                await self._access.enter(await self._access.caller(self._secret))
                return message
            except ApiError as error:
                said = {"type": "error", "status": error.status, **error.openai()}
                await self._send({"type": "websocket.send", "text": orjson.dumps(said).decode()})
                if error.status == 401:
                    await self._send({"type": "websocket.close", "code": 1008})
                    self._over = True
                    return {"type": "websocket.disconnect", "code": 1008}

    async def _send(self, message: Message) -> None:
        if not self._over:
            await self._sent(message)
