"""Hosts, origins, headers; WebSockets behind keys; strangers' headers."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from firesteel.server.guard import HEADERS, Guard, Keys, check_binding
from firesteel.server.settings import Settings
from tests.agent.scripted import Scripted, says
from tests.server.serving import application, serving

ASK = {"model": "kindling", "messages": [{"role": "user", "content": "hello"}]}


def get(path="/v1/models", method="GET", settings=None, **headers):
    async def main():
        async with serving(**(settings or {})) as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=named)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000", "me.lan", "box.example:1"],
)
def test_own_names_are_served(host):
    assert get(host=host, settings={"host": "me.lan", "allowed_hosts": ("Box.example",)}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:8000", "127.0.0.1.nip.io", "192.168.1.5", 
     "localhost:80:80",
     "[::1", "[::1]x", "", "user@localhost", "0.0.0.0"],
)  # fmt: skip
def test_rebound_names_are_not(host):
    for path in ("/v1/models", "/", "/health"):
        answer = get(path, host=host)
        assert answer.status_code == 421 and answer.json()["error"]["code"] == "host_not_allowed"


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", ""])
def test_on_all_addresses_plain_addresses_are_own_names_but_rebound_ones_are_not(bound):
    for host in ("192.168.1.5:8000", "[fe80::1]:8000", "localhost"):
        assert get(host=host, settings={"host": bound}).status_code == 200
    assert get(host="evil.example", settings={"host": bound}).status_code == 421


@pytest.mark.parametrize("origin", ["http://localhost:8000", "HTTP://LOCALHOST:8000"])
def test_own_pages_may_ask_and_get_no_cors_headers(origin):
    answer = get(host="localhost:8000", origin=origin)
    assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost", "http://localhost:3000", "https://localhost:8000",
     "http://127.0.0.1:8000", "http://localhost:8000.evil.example", ""],
)  # fmt: skip
def test_pages_of_others_may_not(origin):
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("OPTIONS", "/v1/models"),
        ("GET", "/"),
    ):
        answer = get(path, method, host="localhost:8000", origin=origin, access_control_request_method="POST")
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "origin_not_allowed"
        assert not [name for name in answer.headers if name.startswith("access-control")]


ALLOWED = {"allowed_origins": ("https://app.example",)}


def test_allowed_pages_get_cors_headers():
    answer = get(origin="https://app.example", settings=ALLOWED)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "origin" and "x-request-id" in answer.headers["access-control-expose-headers"]
    assert get(settings=ALLOWED).headers["vary"] == "origin"  # so that no cache gives it to others
    assert get(origin="https://app.example.evil", settings=ALLOWED).status_code == 403


def test_a_preflight_needs_no_key():
    async def main():
        async with serving(**ALLOWED) as client:
            await client.service.store.create_key(name="a")
            asked = {
                "origin": "https://app.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization, x-stainless-os",
            }
            return await client.options("/v1/chat/completions", headers=asked)

    answer = asyncio.run(main())
    assert answer.status_code == 204 and answer.content == b""
    assert answer.headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_every_answer_protects_browsers():
    async def main():
        async with serving(says("hi")) as client:
            answers = [
                await client.get("/health"),
                await client.get("/v1/nowhere"),
                await client.get("/health", headers={"host": "evil.example"}),
                await client.post("/v1/chat/completions", content=b"{"),
            ]
            stream = await client.post("/v1/chat/completions", json=ASK | {"stream": True})

            def broken(name):
                raise RuntimeError("a defect")

            client.service.names.mode = broken
            return [*answers, await client.get("/v1/models/x")], stream

    answers, stream = asyncio.run(main())
    assert [answer.status_code for answer in answers] == [200, 404, 421, 400, 500]
    for answer in answers:
        assert HEADERS.items() <= dict(answer.headers).items()
        assert answer.headers["x-request-id"]
    assert stream.headers["cache-control"] == "no-cache"  # a route's own word stands


def test_a_server_that_others_could_reach_needs_a_key():
    for host in ("0.0.0.0", "::", "", "192.168.1.5", "me.lan"):
        check_binding(Settings(host=host), has_keys=True)
        with pytest.raises(ValueError, match="firesteel keys create"):
            check_binding(Settings(host=host), has_keys=False)
    for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
        check_binding(Settings(host=host), has_keys=False)


# ---------------------------------------------------------------- WebSockets


@contextlib.contextmanager
def socket(**limits):
    """(connect, create_key, revoke): an application that echoes over a WebSocket behind both doors."""
    with contextlib.ExitStack() as stack:

        async def echo(websocket):
            await websocket.accept()
            with contextlib.suppress(WebSocketDisconnect):
                while True:
                    await websocket.send_text(await websocket.receive_text())

        manager = application(Scripted(), **ALLOWED)
        routes = [WebSocketRoute("/v1/responses", echo)]
        app = Starlette(routes=routes, middleware=[Middleware(Guard, Settings(**ALLOWED)), Middleware(Keys)])
        client = stack.enter_context(TestClient(app, base_url="http://localhost"))
        portal = client.portal
        _, service = portal.call(manager.__aenter__)
        stack.callback(portal.call, manager.__aexit__, None, None, None)
        app.state.service = service
        yield client, service, portal


def test_websockets_of_other_pages_and_of_strangers_are_refused():
    with socket() as (client, service, portal):
        for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
            with (
                pytest.raises(Exception) as refused,
                client.websocket_connect("ws://localhost/v1/responses", headers=headers),
            ):
                pass
            assert refused.value.status_code in (403, 421)
        for origin in ("http://localhost", "https://app.example"):
            with client.websocket_connect(
                "/v1/responses", headers={"origin": origin, "host": "localhost"}
            ) as connection:
                connection.send_text("hi")
                assert connection.receive_text() == "hi"
        portal.call(lambda: service.store.create_key(name="a"))
        service.access._any._at = -1e9  # as if two seconds had passed
        with pytest.raises(Exception) as refused, client.websocket_connect("ws://localhost/v1/responses"):
            pass
        assert refused.value.status_code == 401


def test_a_websocket_is_paced_by_message_and_ends_with_its_key():
    with socket() as (client, service, portal):
        key, secret = portal.call(lambda: service.store.create_key(name="a", requests_per_minute=2))
        headers = {"authorization": f"Bearer {secret}"}
        with client.websocket_connect("ws://localhost/v1/responses", headers=headers) as connection:
            for _ in range(2):
                connection.send_text("hi")
                assert connection.receive_text() == "hi"
            connection.send_text("hi")
            told = connection.receive_json()
            assert (told["type"], told["status"], told["error"]["code"]) == ("error", 429, "rate_limit_exceeded")
            portal.call(lambda: service.store.revoke_key(key.id))
            for kept in service.access._known.values():
                kept._at = -1e9  # as if two seconds had passed
            connection.send_text("hi")
            assert connection.receive_json()["status"] == 401
            with pytest.raises(WebSocketDisconnect) as closed:
                connection.receive_text()
            assert closed.value.code == 1008


# ---------------------------------------------------------------- strangers' headers

BYTES = st.binary(max_size=40) | st.sampled_from(
    [
        b"localhost",
        b"http://localhost",
        b"Bearer x",
        b"Bearer",
        b"bearer  ",
        b"[::1]:",
        b"null",
        b"https://[",
        b"\xff\xfe",
    ]
)
NAMES = st.sampled_from([b"host", b"origin", b"authorization", b"x-api-key", b"x-request-id", b"idempotency-key",
                         b"access-control-request-headers", b"content-length", b"content-type"])  # fmt: skip


def test_no_header_breaks_the_server():
    async def ask(app, method, path, headers):
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        return sent[0]["status"]

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.tuples(NAMES, BYTES), max_size=6),
        st.sampled_from(["GET", "POST", "OPTIONS", "HEAD"]),
        st.sampled_from(["/", "/v1/models", "/v1/messages", "/v1/chat/completions", "/v1/é"]),
        st.booleans(),
    )
    def fuzz(headers, method, path, named):
        app = apps[len(headers) % 2]
        headers = [*([(b"host", b"localhost")] if named else []), *headers]
        assert loop.run_until_complete(ask(app, method, path, headers)) < 500

    loop = asyncio.new_event_loop()
    managers = [application(Scripted()), application(Scripted(), host="0.0.0.0", **ALLOWED)]
    made = [loop.run_until_complete(manager.__aenter__()) for manager in managers]
    apps = [app for app, _ in made]
    loop.run_until_complete(made[1][1].store.create_key(name="a"))
    try:
        fuzz()
    finally:
        for manager in managers:
            loop.run_until_complete(manager.__aexit__(None, None, None))
        loop.close()
