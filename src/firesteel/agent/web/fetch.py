"""Fetches one public page or picture: httpcore over the guarded door, without cookies, proxies, credentials or a cache.

httpcore is what httpx connects with; used directly it takes the door as its network backend, a public interface, and
brings none of a client's conveniences that would have to be switched off. Unpacking is done here, so that a
compressed bomb stops at the limit and not in memory.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import httpcore
import httpx

from firesteel.agent.web.guard import GuardedBackend, Resolve, check_url, system_resolve

MOST_REDIRECTS = 3
READABLE = (
    "text/html",
    "application/xhtml+xml",
    "text/plain",
    "text/markdown",
    "text/csv",
    "application/json",
    "application/pdf",
)


@dataclass(frozen=True)
class Download:
    """What an address answered with: `url` is the last of its redirects, `charset` may be empty."""

    url: str
    media_type: str
    charset: str
    data: bytes


class Fetcher:
    """Opens public http and https addresses on the ports 80 and 443.

    `seconds` bounds a whole fetch with its redirects; `most_bytes` bounds a body, packed and unpacked; `accept` are the
    media types that are let in. `resolve` and `network` stand for the system's resolver and sockets; whatever they are,
    every address is checked between them.
    """

    def __init__(
        self,
        *,
        seconds: float = 10.0,
        most_bytes: int = 10_000_000,
        accept: Sequence[str] = READABLE,
        resolve: Resolve = system_resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._seconds, self._most_bytes, self._accept = seconds, most_bytes, tuple(accept)
        self._backend = GuardedBackend(resolve, network or httpcore.AnyIOBackend())
        self._tls: ssl.SSLContext | None = None  # made when first needed: it reads a long list of authorities

    async def fetch(self, url: str) -> Download:
        """Raises Blocked for what is never opened, ValueError for what did not work, both with the reason."""
        target = check_url(url)
        try:
            async with asyncio.timeout(self._seconds):
                for _ in range(MOST_REDIRECTS + 1):
                    answer = await self._get(target)
                    if isinstance(answer, Download):
                        return answer
                    target = check_url(answer, base=target)
        except TimeoutError as error:
            raise ValueError(f"{target.host} took longer than {self._seconds:g} seconds.") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise ValueError(f"{target.host} could not be reached: {error or type(error).__name__}.") from error
        raise ValueError(f"{url} redirects more than {MOST_REDIRECTS} times.")

    async def _get(self, url: httpx.URL) -> Download | str:
        """The answer of one address, or where it redirects to."""
        if url.scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context()
        headers: dict[bytes | str, bytes | str] = {
            "Host": url.netloc.decode("ascii"),
            "User-Agent": "Mozilla/5.0 (compatible; Firesteel)",
            "Accept": ", ".join(self._accept),
            "Accept-Encoding": "gzip",
        }
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._backend) as pool,
            pool.stream("GET", target, headers=headers) as response,
        ):
            answered = httpx.Headers(response.headers)
            if response.status in (301, 302, 303, 307, 308) and "location" in answered:
                return answered["location"]
            if response.status != 200:
                raise ValueError(f"{url.host} answered with the status {response.status}.")
            media_type, _, parameters = answered.get("content-type", "").partition(";")
            media_type = media_type.strip().lower()
            if media_type not in self._accept:
                raise ValueError(f"{url} is of the type {media_type[:60] or 'unknown'!r}, which is not read here.")
            _, _, charset = parameters.partition("charset=")
            data = await self._body(response, answered.get("content-encoding", "identity").strip().lower())
            return Download(str(url), media_type, charset.partition(";")[0].strip(" \"'").lower(), data)

    async def _body(self, response: httpcore.Response, encoding: str) -> bytes:
        if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise ValueError(f"The server packs its answer as {encoding[:60]!r}, which was not asked for.")
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding not in ("identity", "") else None
        data, received = bytearray(), 0
        async for chunk in response.aiter_stream():
            received += len(chunk)
            try:
                data += unpack.decompress(chunk, self._most_bytes + 1 - len(data)) if unpack else chunk
            except zlib.error as error:
                raise ValueError("The server's packed answer is damaged.") from error
            if max(received, len(data)) > self._most_bytes:
                raise ValueError(f"It is larger than {self._most_bytes / 1e6:g} MB.")
        if unpack and not unpack.eof:
            raise ValueError("The server's packed answer is cut off.")
        return bytes(data)
