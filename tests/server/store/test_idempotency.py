import asyncio

from firesteel.server.store import Replay, Store
from tests.server.store.samples import run


def test_a_finished_request_is_answered_again(url):
    async def use(store):
        assert await store.claim("ann", "k", "digest", now=1000.0) is None
        assert await store.claim("ann", "k", "digest", now=1001.0) == "running"
        assert await store.claim("ann", "k", "another", now=1001.0) == "other"
        await store.finish("ann", "k", 200, {"content-type": "x"}, b"\0body")
        replay = Replay(status=200, headers={"content-type": "x"}, body=b"\0body")
        assert await store.claim("ann", "k", "digest", now=1002.0) == replay
        assert await store.claim("ann", "k", "another", now=1002.0) == "other"

    run(url, use)


def test_a_released_key_is_free_and_a_finished_one_is_not(url):
    async def use(store):
        await store.claim("ann", "k", "digest", now=1000.0)
        await store.release("ann", "k")
        assert await store.claim("ann", "k", "another", now=1001.0) is None
        await store.finish("ann", "k", 200, {}, b"")
        await store.release("ann", "k")
        assert isinstance(await store.claim("ann", "k", "another", now=1002.0), Replay)

    run(url, use)


def test_a_key_lives_for_a_day(url):
    async def use(store):
        await store.claim("ann", "k", "digest", now=1000.0)
        await store.finish("ann", "k", 200, {}, b"")
        assert isinstance(await store.claim("ann", "k", "digest", now=1000.0 + 86399), Replay)
        assert await store.claim("ann", "k", "another", now=1000.0 + 86401) is None

    run(url, use)


def test_what_a_crash_left_running_may_be_claimed_after_a_quarter_of_an_hour(url):
    async def use(store):
        await store.claim("ann", "k", "digest", now=1000.0)
        assert await store.claim("ann", "k", "digest", now=1899.0) == "running"
        assert await store.claim("ann", "k", "digest", now=1901.0) is None
        assert await store.claim("ann", "k", "digest", now=1602.0) == "running"

    run(url, use)


def test_of_many_replicas_one_gets_the_key(url):
    async def main():
        stores = [await Store.open(url) for _ in range(3)]
        for now in (1000.0, 2000.0):  # a new key, then an abandoned one
            claims = await asyncio.gather(*[store.claim("ann", "k", "digest", now) for store in stores * 5])
            assert sorted(claims, key=str) == [None] + ["running"] * 14
        for store in stores:
            await store.close()

    asyncio.run(main())
