"""The client of llama.cpp's server, against servers that send what a test wrote down."""

import asyncio
import contextlib
import random
from weakref import WeakSet

import pytest
import uvloop

from firesteel.backends import llama_client
from firesteel.backends.llama_client import FAST, exchange
from firesteel.backends.llama_server import LlamaServer

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LINES = [b"data: %d %s\r\n\n" % (number, b"x" * (number * 7 % 90)) for number in range(60)]


def chunked(lines):
    return b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines) + b"0\r\n\r\n"


@contextlib.asynccontextmanager
async def server(*pieces, pause=0.0, leaves_open=False):
    """The port of a server that answers with these pieces; `server.asked` is what it was sent."""
    asked = []

    async def answer(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        if leaves_open:
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], asked


async def read(port, fast=False):
    """The status and what each read gave."""
    async with exchange("127.0.0.1", port, "POST /x HTTP/1.1\r\n", b"{}") as answer:
        if fast:
            answer.slowest = FAST
        found = []
        while piece := await answer.read():
            found.append(piece)
        return answer.status, found


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request):
    return request.param


@pytest.mark.parametrize("seed", range(4))
def test_content_is_whole_however_it_was_cut(run, seed):
    data, rng = HEAD + chunked(LINES), random.Random(seed)
    cuts = sorted(rng.sample(range(len(data)), 12))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    async def main():
        async with server(*pieces, pause=0.002, leaves_open=seed % 2) as (port, asked):
            return await read(port, fast=seed > 1), asked

    (status, found), asked = run(main())
    assert status == 200 and b"".join(found) == b"".join(LINES)
    assert asked == [b"POST /x HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"]


def test_the_first_piece_is_read_at_once_and_others_together_at_a_beat_or_the_end(run, monkeypatch):
    monkeypatch.setattr(llama_client, "_FIRST", 1e6)  # seconds: no beat comes
    end = b"0\r\n\r\n"
    first, *others = [chunked([line]).removesuffix(end) for line in LINES]

    async def main():
        goes_on = asyncio.Event()

        async def answer(reader, writer):
            writer.write(HEAD + first)
            await goes_on.wait()
            for piece in [*others, end]:
                writer.write(piece)
                await asyncio.sleep(0)
            writer.close()

        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with listening, exchange("127.0.0.1", port, "POST /x HTTP/1.1\r\n", b"{}") as answer:
            found = [await answer.read()]
            goes_on.set()
            return [*found, await answer.read(), await answer.read()]

    assert run(main()) == [LINES[0], b"".join(LINES[1:]), b""]


def test_an_answer_that_is_not_in_chunks_ends_with_the_connection(run):
    async def main():
        async with server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot", b" there", pause=0.01) as (
            port,
            _,
        ):
            return await read(port)

    status, found = run(main())
    assert status == 404 and b"".join(found) == b"not there"


def test_a_server_that_goes_away_is_noticed(run):
    async def main():
        with pytest.raises(ConnectionError):
            async with server() as (port, _):
                await read(port)
        async with server(HEAD + b"5\r\ndata", pause=0.01) as (port, _):  # in the middle of a chunk
            assert await read(port) == (200, [])
        async with (
            server(HEAD + b"5\r\ndata:\r\n", leaves_open=True) as (port, _),
            exchange("127.0.0.1", port, "GET /x HTTP/1.1\r\n", b"") as answer,
        ):
            first = await answer.read()
            reading = asyncio.create_task(answer.read())
            await asyncio.sleep(0.01)
            answer.transport.abort()
            return first, await reading, port

    first, rest, port = run(main())
    assert (first, rest) == (b"data:", b"")
    with pytest.raises(ConnectionRefusedError):
        run(read(port))


def test_what_waits_for_its_first_word_is_broken_off_too(run):
    async def main():
        llama = LlamaServer.__new__(LlamaServer)  # without a model
        llama._host, llama._key, llama._open = "127.0.0.1", "key", WeakSet()
        async with server(leaves_open=True) as (llama._port, asked):
            waiting = asyncio.create_task(anext(llama.events("/completion", {})))
            while not asked:
                await asyncio.sleep(0.001)
            llama.break_off()
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(waiting, 30)

    run(main())


def test_giving_up_ends_the_connection(run):
    async def main():
        begun, ended = asyncio.Event(), asyncio.Event()

        async def answer(reader, writer):
            writer.write(HEAD)
            begun.set()
            await reader.read()
            ended.set()
            writer.close()

        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with listening:
            task = asyncio.create_task(read(listening.sockets[0].getsockname()[1]))
            await begun.wait()
            task.cancel()
            await asyncio.wait_for(ended.wait(), 30)
            assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError

    run(main())
