import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from firesteel.agent.web import Fetcher
from tests.agent.web.internet import PUBLIC, Names, answer, fetch, redirect, serving

SITE = "http://site.example"


async def visit(routes, path="/", **limits):
    """One fetch from a server on loopback, and what the server saw."""
    async with serving(routes) as wire:
        fetcher = Fetcher(resolve=Names(site_example=[PUBLIC]), network=wire, **limits)
        return await fetcher.fetch(SITE + path), wire


def test_a_page_comes_over_a_real_socket():
    got, wire = asyncio.run(visit({"/a": answer("<p>flint", "text/html; charset=UTF-8")}, "/a#part"))
    assert (got.url, got.media_type, got.charset, got.data) == (f"{SITE}/a", "text/html", "utf-8", b"<p>flint")
    assert wire.dialled == [(PUBLIC, 80)]


def test_redirects_are_followed_up_to_three_and_leave_cookies_behind(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    routes = {
        "/1": answer(status="301 Moved", location="/2", set_cookie="id=1"),
        "/2": redirect(f"{SITE}/3"),
        "/3": redirect("4?x=1"),
        "/4": answer("<p>there"),
    }
    got, wire = asyncio.run(visit(routes, "/1"))
    assert got.url == f"{SITE}/4?x=1" and len(wire.requests) == 4
    assert not any(
        name in request.lower() for request in wire.requests for name in ("cookie", "authorization", "referer")
    )


def test_a_fourth_redirect_is_refused():
    with pytest.raises(ValueError, match="more than 3 times"):
        fetch(SITE, *(redirect(f"/{n}") for n in range(4)), answer("late"))


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_packed_pages_are_unpacked(pack):
    encoding = "gzip" if pack is gzip.compress else "deflate"
    assert fetch(SITE, answer(pack(b"<p>" * 900), content_encoding=encoding)).data == b"<p>" * 900


def test_a_bomb_stops_at_the_limit_and_not_in_memory():
    bomb = answer(gzip.compress(bytes(100_000_000), 9), content_encoding="gzip")
    assert len(bomb) < 200_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="larger than 1 MB"):
        fetch(SITE, bomb, most_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("size, fits", [(1000, True), (1001, False)])
def test_the_limit_is_exact(size, fits):
    for page in (answer(bytes(size)), answer(gzip.compress(bytes(size)), content_encoding="gzip")):
        if fits:
            assert len(fetch(SITE, page, most_bytes=1000).data) == size
        else:
            with pytest.raises(ValueError, match="larger than"):
                fetch(SITE, page, most_bytes=1000)


def test_an_endless_page_stops_at_the_limit():
    async def endless(writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while True:
            writer.write(bytes(50_000))
            await writer.drain()

    with pytest.raises(ValueError, match="larger than"):
        asyncio.run(visit({"/": endless}, most_bytes=200_000))


def test_a_slow_drip_runs_into_the_deadline():
    async def drip(writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(ValueError, match=r"longer than 0\.3 seconds"):
        asyncio.run(visit({"/": drip}, seconds=0.3))


def test_the_deadline_holds_for_all_redirects_together():
    async def late(writer):
        await asyncio.sleep(0.15)
        writer.write(redirect("/"))

    with pytest.raises(ValueError, match="longer than"):
        asyncio.run(visit({"/": late}, seconds=0.3))


def test_a_resolver_that_hangs_runs_into_the_deadline():
    async def hang(host, port):
        await asyncio.Event().wait()

    with pytest.raises(ValueError, match="longer than"):
        fetch(SITE, names=hang, seconds=0.05)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (answer("x", "image/png"), "image/png"),
        (answer("x", "application/zip"), "application/zip"),
        (answer("x", ""), "unknown"),
        (answer("x", status="404 Not Found"), "404"),
        (answer("x", status="500 Oops"), "500"),
        (answer(status="302 Found"), "302"),
        (answer("x", content_encoding="br"), "'br'"),
        (answer("x", content_encoding="gzip, gzip"), "gzip, gzip"),
        (answer("no gzip", content_encoding="gzip"), "damaged"),
        (answer(gzip.compress(b"whole" * 99)[:-9], content_encoding="gzip"), "cut off"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "could not be reached"),
        (b"", "could not be reached"),
        (answer("abc")[:-1], "could not be reached"),
    ],
)
def test_what_is_no_page_is_refused_with_the_reason(page, why):
    with pytest.raises(ValueError, match=why):
        fetch(SITE, page)


def test_an_unknown_host_is_told():
    with pytest.raises(ValueError, match="not found"):
        fetch("http://missing.example/")
