"""A server for tests: the application with a model that says what a test wrote down, or with kindling."""

import asyncio
import contextlib
import json
import tempfile
import threading
from pathlib import Path

import httpx
import uvicorn

from firesteel.agent.tools import tool
from firesteel.backends import open_backend
from firesteel.server.app import create_app
from firesteel.server.service import Service
from firesteel.server.settings import Settings
from firesteel.server.store import Store
from tests.agent.scripted import Scripted


@contextlib.asynccontextmanager
async def application(backend, **settings):
    """(application, service) on a fresh store."""
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(f"sqlite:///{folder}/store.sqlite")
        service = Service.of(
            Settings(**{"data": Path(folder), "log_requests": False} | settings), backend, store, "kindling"
        )
        try:
            yield create_app(service), service
        finally:
            await store.close()
            await backend.close()


@contextlib.asynccontextmanager
async def serving(*lines, backend=None, headers=None, **settings):
    """A client of a server whose model says `lines`; `client.service` is what stands behind it."""
    async with application(backend or Scripted(*lines), **settings) as (app, service):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            client.service = service
            yield client


@contextlib.contextmanager
def live(*lines, backend=None, **settings):
    """The URL of a real server in a thread, and its service; for streams that are watched while they run.

    `backend` may be a function, called within the server's event loop.
    """
    ready, found = threading.Event(), {}

    async def main():
        made = backend() if callable(backend) else backend or Scripted(*lines)
        async with application(made, **settings) as (app, service):
            config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=2)
            server = uvicorn.Server(config)
            server.install_signal_handlers = lambda: None
            found["server"], found["service"], found["loop"] = server, service, asyncio.get_running_loop()
            serve = asyncio.create_task(server.serve())
            while not server.started and not serve.done():
                await asyncio.sleep(0.01)
            if server.started:
                found["port"] = server.servers[0].sockets[0].getsockname()[1]
            ready.set()
            await serve

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(60) and "port" in found, "the server did not start"
    try:
        yield f"http://127.0.0.1:{found['port']}", found["service"]
    finally:
        found["server"].should_exit = True
        thread.join(30)


def sending(monkeypatch):
    """Gives every conversation a tool that changes something; what it is given from now on."""
    done = []

    @contextlib.asynccontextmanager
    async def toolbox(*given):
        @tool(changes=True)
        async def send(what: str) -> str:
            """Sends something."""
            done.append(what)
            return "sent"

        yield [send]

    monkeypatch.setattr("firesteel.server.service.toolbox", toolbox)
    return done


def kindling():
    """The packaged model."""
    return open_backend("kindling", slots=4, threads=1)


def events_of(text):
    """Server-sent events as (name, data) in order; data that is no JSON stays text."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if data := fields.get("data"):
            events.append((fields.get("event", ""), json.loads(data) if data.startswith("{") else data))
    return events
