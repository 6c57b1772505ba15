import asyncio
import sqlite3
from datetime import UTC, datetime

from tests.server.store.samples import run, usage

DAY = 86400.0
SOME_DAY = datetime(2026, 11, 21, tzinfo=UTC).timestamp()


def test_a_key_is_found_by_its_secret_as_it_was_made(url):
    async def use(store):
        limits = {"requests_per_minute": 5, "tokens_per_minute": 6, "monthly_tokens": 7, "expires": 8.5}
        key, secret = await store.create_key(owner="ann", name="laptop", modes=["instant"], tools=["*"], **limits)
        assert await store.find_key(secret) == key
        assert (key.modes, key.tools, key.monthly_tokens, key.expires) == (("instant",), ("*",), 7, 8.5)
        assert secret.startswith("fs-") and len(secret) == 46 and secret.startswith(key.prefix)
        assert await store.find_key(secret[:-1]) is None
        assert await store.find_key("fs-\0\ud800") is None

    run(url, use)


def test_a_key_without_an_owner_is_its_own(url):
    async def use(store):
        one, _ = await store.create_key(name="one")
        two, _ = await store.create_key(name="two")
        assert (one.owner, two.owner) == (one.id, two.id)
        assert await store.keys() == [one, two]

    run(url, use)


def test_a_revoked_key_is_still_found_and_says_so(url):
    async def use(store):
        assert not await store.any_keys()
        key, secret = await store.create_key(name="k")
        assert await store.any_keys()
        assert await store.revoke_key(key.id) and not await store.revoke_key(key.id)
        assert not await store.revoke_key("key_of_nobody")
        assert not await store.any_keys()
        assert (await store.find_key(secret)).revoked > 0

    run(url, use)


def test_the_secret_is_nowhere_in_the_file(tmp_path):
    path = tmp_path / "store.db"
    _, secret = run(f"sqlite:///{path}", lambda store: store.create_key(name="k"))
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert secret[:9].encode() in content and secret[9:].encode() not in content
    assert sqlite3.connect(path).execute("SELECT count(*) FROM keys").fetchone() == (1,)


def test_usage_is_one_row_per_key_day_model_and_mode(url):
    async def use(store):
        for number in range(100):
            at = SOME_DAY + number * DAY / 100
            store.add_usage(
                usage(at=at, prompt_tokens=3, cached_tokens=2, completion_tokens=10, reasoning_tokens=number % 2)
            )
        store.add_usage(usage(at=SOME_DAY + DAY))
        store.add_usage(usage(at=SOME_DAY, mode="thinking"))
        store.add_usage(usage(at=SOME_DAY, key="key_2", owner="bob"))
        everything = await store.usage()
        assert len(everything) == 4
        sums = {"prompt_tokens": 300, "cached_tokens": 200, "completion_tokens": 1000, "reasoning_tokens": 50}
        assert usage(at=SOME_DAY, requests=100, **sums) in everything
        assert {row.key for row in await store.usage(owner="bob")} == {"key_2"}
        assert await store.usage(since=SOME_DAY + DAY + 5) == [usage(at=SOME_DAY + DAY)]

    run(url, use)


def test_usage_is_kept_when_the_store_is_closed_at_once(url):
    async def add(store):
        store.add_usage(usage(requests=7))

    assert run(url, add, lambda store: store.usage())[0].requests == 7


def test_a_month_begins_at_its_first_second_in_utc(url):
    november = datetime(2026, 11, 1, tzinfo=UTC).timestamp()

    async def use(store):
        store.add_usage(usage(at=november - 1, prompt_tokens=1))
        store.add_usage(usage(at=november, prompt_tokens=10, completion_tokens=20))
        store.add_usage(usage(at=SOME_DAY, prompt_tokens=100, mode="thinking"))
        store.add_usage(usage(at=SOME_DAY, prompt_tokens=1000, key="key_2"))
        assert await store.month_tokens("key_1", SOME_DAY + 5) == 130
        assert await store.month_tokens("key_1", november - 1) == 1
        assert await store.month_tokens("key_3", SOME_DAY) == 0

    run(url, use)


def test_usage_may_be_added_from_any_thread(url):
    async def use(store):
        await asyncio.gather(*[asyncio.to_thread(store.add_usage, usage(prompt_tokens=1)) for _ in range(50)])
        assert (await store.usage())[0].prompt_tokens == 50

    run(url, use)
