import asyncio

import pytest

from firesteel.backends.merge import merged


async def counted(name, pause, count, closed=None):
    try:
        for number in range(count):
            await asyncio.sleep(pause)
            yield name, number
    finally:
        if closed is not None:
            closed.append(name)


def test_everything_comes_and_each_stream_keeps_its_order():
    async def run():
        return [item async for item in merged([counted("a", 0.002, 5), counted("b", 0, 3), counted("c", 0, 0)])]

    got = asyncio.run(run())
    assert [number for name, number in got if name == "a"] == [0, 1, 2, 3, 4]
    assert [number for name, number in got if name == "b"] == [0, 1, 2]
    assert got[0][0] == "b"


def test_the_first_failure_ends_all():
    closed = []

    async def failing():
        yield "x"
        raise ValueError("broken")

    async def run():
        async for _ in merged([counted("endless", 0.001, 10**6, closed), failing()]):
            pass

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(run())
    assert closed == ["endless"]


def test_closing_closes_the_streams():
    closed = []

    async def run():
        stream = merged([counted("a", 0.001, 10**6, closed), counted("b", 60, 1, closed)])
        await anext(stream)
        await stream.aclose()

    asyncio.run(run())
    assert sorted(closed) == ["a", "b"]
