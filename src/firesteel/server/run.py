"""The life of a server process: open, listen, drain, close.

- The first SIGTERM or Ctrl-C begins the end: `/ready` answers 503 at once, so that no balancer sends more, and new
  questions get 503 with Retry-After; what runs or waits already may end within `drain_seconds`, then its streams end
  with an error event. A second signal ends them at once; a third kills the process as if nothing had been arranged.
- The port is taken before the model is loaded, which may take long, and refuses connections until it is.
- What is loaded by then is taken out of the garbage collector's sight: going through it would hold up every stream for
  40 ms now and then (measured). It looks at what is new less often than usual, which saves 5 % of a stream's cost.
- The event loop is uvloop's where that is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from types import FrameType

import uvicorn

from firesteel.backends import Backend, open_backend
from firesteel.backends.llama_server import default_threads
from firesteel.backends.resolve import PACKAGED
from firesteel.server.app import create_app
from firesteel.server.guard import check_binding
from firesteel.server.names import name_of
from firesteel.server.responses import background
from firesteel.server.service import Service
from firesteel.server.settings import Settings, default_database
from firesteel.server.store import Store

_LOG = logging.getLogger("firesteel.server")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_YOUNG = 20_000  # objects between two collections
_LAST_WORDS = 3.0  # seconds for connections to take the end of their answers


def run(settings: Settings, ready: Callable[[str], None], opened: Callable[[Settings], Backend] | None = None) -> int:
    """Serves until a signal; `ready` is called with the URL. The exit code: 0, or 1 where a second signal came.

    `opened` opens another backend than the settings name. Raises ValueError for what cannot be opened or must not be
    listened on, OSError for a port that is taken.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        # A shell lets its background jobs ignore Ctrl-C; until there is something to drain, it ends the process.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return runner.run(_serve(settings, ready, opened or open_for))


def open_for(settings: Settings) -> Backend:
    """The backend of the settings. Raises ValueError for options that it does not have."""
    given = {"context": settings.context, "threads": settings.threads}
    options = {name: value for name, value in given.items() if value is not None}
    if settings.backend.startswith(("openai:", "hf:")) and options:
        raise ValueError(f"The backend {settings.backend} does not take {' and '.join(options)}: its server decides.")
    if settings.backend == PACKAGED or settings.backend.endswith(".gguf"):
        cores = default_threads()
        options.setdefault("threads", cores - 1 if cores > 2 else cores)  # one is left for the server itself
    elif "threads" in options:
        raise ValueError("threads are for models that llama.cpp runs: kindling and .gguf files.")
    return open_backend(settings.backend, slots=settings.slots, **options)


async def _serve(settings: Settings, ready: Callable[[str], None], opened: Callable[[Settings], Backend]) -> int:
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_bound(settings.host, settings.port))
        store = await Store.open(default_database(settings))
        stack.push_async_callback(store.close)
        check_binding(settings, await store.any_keys())
        backend = opened(settings)
        stack.push_async_callback(backend.close)
        service = Service.of(settings, backend, store, settings.name or name_of(settings.backend))
        await background.recover(service)
        background.start(service)
        server = _server(service)
        signals: list[int] = []
        with _caught(signals.append):
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.serve([listener]))
                while not server.started:
                    await asyncio.sleep(0.005)
                gc.collect()
                gc.freeze()
                gc.set_threshold(_YOUNG)
                host = f"[{settings.host}]" if ":" in settings.host else settings.host
                ready(f"http://{host}:{listener.getsockname()[1]}")
                while not signals and not serving.done():
                    await asyncio.sleep(0.05)
                _LOG.info("draining", extra={"running": service.admission.running, "signal": signals[:1]})
                await _drain(service, signals)
                server.should_exit = True
        _LOG.info("closed")
        return 1 if len(signals) > 1 else 0


async def _drain(service: Service, signals: list[int]) -> None:
    """Lets what runs come to its end, for a while; ends the rest."""
    service.admission.draining = True
    idle = asyncio.create_task(service.admission.idle())
    end = asyncio.get_running_loop().time() + service.settings.drain_seconds
    while not idle.done() and len(signals) < 2 and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.02)
    idle.cancel()
    service.end()
    await background.stop(service, 0)


class _Server(uvicorn.Server):
    """Signals are ours: uvicorn's would end it before anything is drained."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(service: Service) -> _Server:
    config = uvicorn.Config(
        create_app(service),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_max_size=service.settings.body_bytes,
        timeout_graceful_shutdown=int(_LAST_WORDS),
    )
    return _Server(config)


@contextmanager
def _caught(note: Callable[[int], None]) -> Iterator[None]:
    """Hands signals to `note`; after the second they have their usual effect again."""
    seen = 0

    def caught(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
        note(number)

    before = {number: signal.signal(number, caught) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket at an address, which listens later."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}: {host}:{port}") from error
        yield listener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop
