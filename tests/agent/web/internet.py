"""An internet without a network: canned answers, or a loopback server, behind whatever address is dialled."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

import httpcore

from firesteel.agent.web import Fetcher

PUBLIC = "93.184.216.34"


def answer(body: bytes | str = b"", kind: str = "text/html", status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP response."""
    data = body.encode() if isinstance(body, str) else body
    lines = {"content-type": kind, "content-length": str(len(data))} | {
        k.replace("_", "-"): headers[k] for k in headers
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + data


def redirect(where: str) -> bytes:
    return answer(status="302 Found", location=where)


class Names:
    """A resolver that knows these names; a list of lists answers one list after the other."""

    def __init__(self, **book: list[str] | list[list[str]]) -> None:
        self.book = {name.replace("_", "."): list(addresses) for name, addresses in book.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self.book.get(host)
        if not answers:
            raise ValueError(f"The host {host} was not found.")
        return answers.pop(0) if isinstance(answers[0], list) else answers


class Stream(httpcore.AsyncMockStream):
    """Remembers for whom TLS was begun."""

    def __init__(self, wire: "Canned", data: bytes) -> None:
        super().__init__([data])
        self.wire = wire

    async def start_tls(self, ssl_context, server_hostname=None, timeout=None):
        self.wire.tls.append((server_hostname, ssl_context.check_hostname))
        return self

    async def write(self, buffer, timeout=None):
        self.wire.sent += buffer


class Canned(httpcore.AsyncNetworkBackend):
    """Every connection gets the next answer. `dead` addresses refuse."""

    def __init__(self, *answers: bytes, dead: tuple[str, ...] = ()) -> None:
        self.answers, self.dead = list(answers), dead
        self.dialled: list[tuple[str, int]] = []
        self.tls: list[tuple[str, bool]] = []
        self.sent = b""

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        self.dialled.append((host, port))
        if host in self.dead:
            raise httpcore.ConnectError("refused")
        return Stream(self, self.answers.pop(0))


Route = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Loopback(httpcore.AsyncNetworkBackend):
    """Dials a server on this machine whatever address it is given."""

    port: int
    dialled: list[tuple[str, int]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        self.dialled.append((host, port))
        return await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def serving(routes: dict[str, Route]) -> AsyncGenerator[Loopback, None]:
    """A server on loopback with these paths, each a whole response or a coroutine that writes one."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        wire.requests.append(request)
        route = routes.get(request.split()[1].partition("?")[0], answer(status="404 Not Found"))
        with contextlib.suppress(ConnectionError):
            if isinstance(route, bytes):
                writer.write(route)
                await writer.drain()
            else:
                await route(writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    wire = Loopback(server.sockets[0].getsockname()[1])
    async with server:
        yield wire


def fetch(url: str, *answers: bytes, names: Names | None = None, wire: Canned | None = None, **limits):
    """One fetch over canned answers; `site.example` is public."""
    network = wire or Canned(*answers)
    fetcher = Fetcher(resolve=names or Names(site_example=[PUBLIC]), network=network, **limits)
    return asyncio.run(fetcher.fetch(url))
