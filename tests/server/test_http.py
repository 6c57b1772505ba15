"""Event streams and whole answers over plain ASGI: order, ends, clients that are slow or leave."""

import asyncio
from types import SimpleNamespace

import pytest
from starlette.requests import ClientDisconnect, Request

from firesteel.server import http
from firesteel.server.errors import ApiError
from firesteel.server.http import EventStream, connected


def failed(error):
    return b"event: error\ndata: %b\n\n" % error.message.encode()


class Client:
    """Takes what is sent; leaves when told."""

    def __init__(self):
        self.messages, self.left, self.ready = [], asyncio.Event(), asyncio.Event()
        self.ready.set()
        self.service = SimpleNamespace(working=set(), ended=False)
        self.scope = {"type": "http", "app": SimpleNamespace(state=SimpleNamespace(service=self.service))}

    async def send(self, message):
        await self.ready.wait()
        self.messages.append(message)

    async def receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def read(self, pieces):
        stream = EventStream(pieces, failed)
        await stream(self.scope, self.receive, self.send)
        return self

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def finished(self):
        return bool(self.messages) and self.messages[-1].get("more_body") is False


async def numbers(count, pause=0.0):
    for number in range(count):
        await asyncio.sleep(pause)
        yield b"%d\n" % number


def test_pieces_come_whole_and_in_order_however_they_are_sent_together():
    async def main():
        client = await Client().read(numbers(500))
        assert client.body == b"".join(b"%d\n" % number for number in range(500))
        assert client.finished and sum(not m.get("more_body", True) for m in client.messages) == 1
        assert len(client.messages) < 250  # a write for each would cost more than all else

    asyncio.run(main())


def test_a_slow_stream_is_not_held_back():
    async def main():
        client, go_on = Client(), asyncio.Event()

        async def pieces():
            yield b"first"
            await go_on.wait()
            yield b"second"

        reading = asyncio.create_task(client.read(pieces()))
        while client.body != b"first":
            await asyncio.sleep(0.001)
        go_on.set()
        await reading
        assert client.body == b"firstsecond"

    asyncio.run(main())


def test_a_slow_client_slows_the_work_and_loses_nothing():
    async def main():
        client, made = Client(), 0

        async def pieces():
            nonlocal made
            for made in range(5000):
                await asyncio.sleep(0)
                yield b"%d\n" % made

        reading = asyncio.create_task(client.read(pieces()))
        while not client.messages:
            await asyncio.sleep(0)
        client.ready.clear()
        for _ in range(10_000):
            await asyncio.sleep(0)
        assert made < 2 * http._WAITING
        client.ready.set()
        await reading
        assert client.body == b"".join(b"%d\n" % number for number in range(5000))

    asyncio.run(main())


def test_what_fails_before_the_first_piece_is_a_status():
    async def pieces():
        raise ApiError(429, "full")
        yield

    async def main():
        client = Client()
        with pytest.raises(ApiError):
            await client.read(pieces())
        assert client.messages == []

    asyncio.run(main())


@pytest.mark.parametrize(("error", "said"), [(ApiError(502, "gone"), b"gone"), (KeyError("x"), b"The server failed")])
def test_what_fails_later_is_the_last_event(error, said):
    async def pieces():
        yield b"first\n"
        raise error

    async def main():
        client = await Client().read(pieces())
        assert client.body.startswith(b"first\nevent: error\ndata: " + said)
        assert client.finished and client.scope["state"]["failed"]

    asyncio.run(main())


def test_a_client_that_leaves_ends_the_work():
    ended = []

    async def pieces():
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main():
        client = Client()
        reading = asyncio.create_task(client.read(pieces()))
        while not client.body:
            await asyncio.sleep(0)
        assert len(client.service.working) == 1
        client.left.set()
        await reading
        assert ended and not client.finished and not client.service.working

    asyncio.run(main())


def test_the_end_of_the_service_is_the_last_event_after_all_that_was_said():
    async def pieces():
        for number in range(10):
            yield b"%d" % number
        await asyncio.Event().wait()

    async def main():
        client = Client()
        reading = asyncio.create_task(client.read(pieces()))
        while not client.messages:
            await asyncio.sleep(0)
        client.service.ended = True
        for task in client.service.working:
            task.cancel()
        await reading
        assert client.body == b"0123456789event: error\ndata: The server is shutting down.\n\n" and client.finished

    asyncio.run(main())


def test_silence_is_broken(monkeypatch):
    monkeypatch.setattr(http, "_PING_SECONDS", 0.01)

    async def main():
        client = await Client().read(numbers(2, pause=0.1))
        assert client.body.count(b": ping\n\n") > 1

    asyncio.run(main())


def test_whoever_waits_for_a_whole_answer_and_leaves_ends_the_work():
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main():
        client = Client()
        asyncio.get_running_loop().call_later(0.01, client.left.set)
        with pytest.raises(ClientDisconnect):
            await connected(Request(client.scope, client.receive), work())
        assert ended and not client.service.working

    asyncio.run(main())


def test_the_result_of_work_and_its_failure_come_through():
    async def work(result):
        if isinstance(result, Exception):
            raise result
        return result

    async def main():
        client = Client()
        request = Request(client.scope, client.receive)
        assert await connected(request, work(None)) is None
        assert await connected(request, work(7)) == 7
        with pytest.raises(KeyError):
            await connected(request, work(KeyError("x")))

    asyncio.run(main())
