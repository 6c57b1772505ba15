"""Keys, their rights and their pace."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firesteel.server import access as module
from firesteel.server.access import Access
from firesteel.server.ask import LOCAL, Caller
from firesteel.server.errors import ApiError
from firesteel.server.store import Store, StoreUnavailable, Usage
from tests.agent.scripted import says
from tests.server.serving import serving
from tests.server.test_pace import Clock

ASK = {"model": "kindling", "messages": [{"role": "user", "content": "hello"}]}


class Counting:
    """A store whose look-ups are counted, and which can fail."""

    def __init__(self, store):
        self.store, self.asked, self.broken = store, 0, False

    def __getattr__(self, name):
        async def call(*arguments):
            self.asked += 1
            if self.broken:
                raise StoreUnavailable("The store is unavailable: gone.")
            return await getattr(self.store, name)(*arguments)

        return call

    def pay(self, *arguments):
        self.store.pay(*arguments)


def with_access(work, tmp_path: Path):
    """Runs `work(access, store, clock, counting)`."""

    async def main():
        store = await Store.open(f"sqlite:///{tmp_path}/s.sqlite")
        try:
            clock, counting = Clock(), Counting(store)
            return await work(Access(counting, clock, clock), store, clock, counting)
        finally:
            await store.close()

    return asyncio.run(main())


async def status(awaitable):
    try:
        await awaitable
    except ApiError as error:
        return error.status
    return 200


async def refused(awaitable):
    with pytest.raises(ApiError) as raised:
        await awaitable
    return raised.value


def refusal(call, *arguments):
    with pytest.raises(ApiError) as raised:
        call(*arguments)
    return raised.value


def test_everybody_is_local_until_the_first_key_is_made(tmp_path):
    async def work(access, store, clock, _):
        assert await access.caller(None) == await access.caller("anything") == Caller(LOCAL, None)
        key, secret = await store.create_key(name="a", owner="ann")
        clock.now += 2
        assert await status(access.caller(None)) == 401
        assert await access.caller(secret) == Caller("ann", key)

    with_access(work, tmp_path)


def test_revoking_the_last_key_does_not_open_the_door(tmp_path):
    async def work(access, store, clock, counting):
        key, secret = await store.create_key(name="a")
        await store.revoke_key(key.id)
        for each in (access, Access(counting, clock)):
            assert await status(each.caller(None)) == await status(each.caller(secret)) == 401

    with_access(work, tmp_path)


def test_a_revoked_key_dies_within_two_seconds_and_a_new_one_lives_within_two(tmp_path):
    async def work(access, store, clock, _):
        key, secret = await store.create_key(name="a")
        _, other = await store.create_key(name="b")
        assert await status(access.caller(secret)) == 200
        await store.revoke_key(key.id)
        clock.now += 2
        assert await status(access.caller(secret)) == 401
        assert await status(access.caller(other)) == 200

    with_access(work, tmp_path)


def test_a_busy_key_learns_in_the_background(tmp_path):
    async def work(access, store, clock, _):
        key, secret = await store.create_key(name="a")
        await access.caller(secret)
        await store.revoke_key(key.id)
        clock.now += 1
        assert await status(access.caller(secret)) == 200  # at once, while the store is asked
        for _ in range(1000):
            if await status(access.caller(secret)) == 401:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the revocation was not noticed")

    with_access(work, tmp_path)


def test_an_expired_key_ends_to_the_second(tmp_path, monkeypatch):
    async def work(access, store, clock, _):
        end = time.time() + 1000
        _, secret = await store.create_key(name="a", expires=end)
        assert await status(access.caller(secret)) == 200
        monkeypatch.setattr(module.time, "time", lambda: end)
        assert await status(access.caller(secret)) == 401

    with_access(work, tmp_path)


def test_many_requests_of_one_second_ask_the_store_once(tmp_path):
    async def work(access, store, clock, counting):
        _, secret = await store.create_key(name="a")
        await asyncio.gather(*(access.caller(secret) for _ in range(100)))
        assert counting.asked == 2  # whether there are keys, and this one
        for _ in range(100):
            await access.caller(secret)
        assert counting.asked == 2

    with_access(work, tmp_path)


def test_guesses_do_not_pile_up(tmp_path, monkeypatch):
    async def work(access, store, clock, _):
        monkeypatch.setattr(module, "_MOST", 10)
        _, secret = await store.create_key(name="a")
        for guess in range(50):
            assert await status(access.caller(f"fs-{guess}")) == 401
        assert len(access._known) == 10
        assert await status(access.caller(secret)) == 200

    with_access(work, tmp_path)


def test_a_store_that_is_gone_is_no_open_door(tmp_path):
    async def work(access, store, clock, counting):
        _, secret = await store.create_key(name="a")
        await access.caller(secret)
        counting.broken = True
        assert await status(access.caller(secret)) == 200
        clock.now += 2
        assert await status(access.caller(secret)) == await status(access.caller("x")) == 503
        counting.broken = False
        assert await status(access.caller(secret)) == 200

    with_access(work, tmp_path)


def test_whoever_gives_up_waiting_does_not_spoil_it_for_others(tmp_path):
    async def work(access, store, clock, _):
        _, secret = await store.create_key(name="a")
        first, second = (asyncio.create_task(access.caller(secret)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).key is not None

    with_access(work, tmp_path)


def test_rights_to_modes_and_tools(tmp_path):
    async def work(access, store, clock, _):
        some, _ = await store.create_key(name="a", modes=["instant"], tools=["python"])
        everything, _ = await store.create_key(name="b", tools=["*"])
        nothing, _ = await store.create_key(name="c")
        access.check(Caller("x", some), "instant", ["python"])
        access.check(Caller("x", everything), "contemplating", ["python", "web"])
        access.check(Caller("x", nothing), "thinking", [])
        access.check(Caller(), "thinking", ["python"])
        assert refusal(access.check, Caller("x", some), "thinking", []).code == "mode_not_allowed"
        assert refusal(access.check, Caller("x", some), "instant", ["web"]).code == "tool_not_allowed"
        assert refusal(access.check, Caller("x", nothing), "instant", ["python"]).status == 403

    with_access(work, tmp_path)


def test_requests_a_minute(tmp_path):
    async def work(access, store, clock, counting):
        key, _ = await store.create_key(name="a", requests_per_minute=2)
        caller = Caller("x", key)
        await access.enter(caller)
        await access.enter(caller)
        asked = counting.asked
        error = await refused(access.enter(caller))
        assert counting.asked == asked
        assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", pytest.approx(30))
        clock.now += 30
        await access.enter(caller)
        assert access.headers(caller)["x-ratelimit-remaining-requests"] == "0"

    with_access(work, tmp_path)


def test_tokens_a_minute_are_paid_afterwards(tmp_path):
    async def work(access, store, clock, _):
        key, _ = await store.create_key(name="a", tokens_per_minute=600)
        caller = Caller("x", key)
        access.check(caller, "instant", [])
        access.spent(caller, 1200)
        error = refusal(access.check, caller, "instant", [])
        assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", pytest.approx(60.1))
        assert access.headers(caller)["x-ratelimit-remaining-tokens"] == "0"
        clock.now += error.retry_after + 0.01
        access.check(caller, "instant", [])

    with_access(work, tmp_path)


@pytest.mark.parametrize("rate", [5, 600])
def test_replicas_share_a_minute(tmp_path, rate):
    async def work(access, store, clock, counting):
        key, _ = await store.create_key(name="a", requests_per_minute=rate)
        caller, other = Caller("x", key), Access(counting, clock, clock)

        async def burst():
            """How many of too many get in, who ask here and there at once."""
            asked = [status(each.enter(caller)) for _ in range(rate) for each in (access, other)]
            return (await asyncio.gather(*asked)).count(200)

        assert await burst() == rate
        clock.now += 12
        assert await burst() == rate // 5
        last = await refused(other.enter(caller))
        assert last.retry_after == pytest.approx(60 / rate)

    with_access(work, tmp_path)


def test_what_another_replica_spent_is_known_within_a_second(tmp_path):
    async def work(access, store, clock, counting):
        key, _ = await store.create_key(name="a", tokens_per_minute=600)
        caller, other = Caller("x", key), Access(counting, clock, clock)
        for each in (access, other):
            await each.enter(caller)
        other.spent(caller, 900)
        clock.now += 1
        await access.enter(caller)
        error = refusal(access.check, caller, "instant", [])
        assert error.retry_after == pytest.approx(30.1 - 1 + 0, abs=0.01)

    with_access(work, tmp_path)


def test_a_limit_that_cannot_be_looked_up_lets_nobody_in(tmp_path):
    async def work(access, store, clock, counting):
        key, _ = await store.create_key(name="a", requests_per_minute=5)
        counting.broken = True
        assert await status(access.enter(Caller("x", key))) == 503

    with_access(work, tmp_path)


def test_a_month_counts_what_the_store_knows_and_what_was_spent_since(tmp_path):
    async def work(access, store, clock, counting):
        key, secret = await store.create_key(name="a", owner="x", monthly_tokens=100)

        def use(tokens):
            access.spent(caller, tokens)
            row = Usage(owner="x", key=key.id, model="m", mode="instant", at=time.time(), prompt_tokens=tokens)
            store.add_usage(row)

        caller = Caller("x", key)
        use(60)  # before anybody asked for the sum
        caller = await access.caller(secret)
        access.check(caller, "instant", [])
        use(39)
        access.check(caller, "instant", [])
        clock.now += 2
        caller = await access.caller(secret)  # the store's sum has the 39 now: they must not count twice
        access.check(caller, "instant", [])
        use(1)
        error = refusal(access.check, caller, "instant", [])
        assert (error.status, error.code, error.headers["x-should-retry"]) == (429, "insufficient_quota", "false")
        again = datetime.fromtimestamp(time.time() + error.retry_after + 60, UTC)
        assert (again.day, again.hour, again.month) == (1, 0, datetime.now(UTC).month % 12 + 1)

    with_access(work, tmp_path)


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        (datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC), 30),
        (datetime(2028, 2, 28, tzinfo=UTC), 2 * 86400),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), 43200),
    ],
)
def test_the_next_month(now, seconds):
    assert module._next_month(now) == seconds


def test_looking_a_caller_up_seldom_touches_the_database(tmp_path):
    """200 requests a second must not become 200 queries; what is left is dictionary work."""

    async def work(access, store, clock, counting):
        _, secret = await store.create_key(
            name="a", requests_per_minute=10_000, tokens_per_minute=10_000, monthly_tokens=10_000
        )
        caller = await access.caller(secret)
        asked = counting.asked
        for _ in range(500):
            caller = await access.caller(secret)
            await access.enter(caller)
            access.check(caller, "instant", [])
            access.spent(caller, 1)
            access.headers(caller)
        assert counting.asked - asked <= 4  # each time for a second of its rate, 166 requests

    with_access(work, tmp_path)


# ---------------------------------------------------------------- through the server


def test_a_server_with_keys_refuses_strangers_in_each_protocols_words():
    async def main():
        async with serving(says("hi"), says("hi")) as client:
            _, secret = await client.service.store.create_key(name="a")
            for path in ("/v1/chat/completions", "/v1/models", "/metrics", "/v1/nowhere"):
                answer = await client.post(path, json=ASK, headers={"authorization": "Bearer fs-wrong"})
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
                error = answer.json()["error"]
                assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
            answer = await client.post("/v1/messages", json=ASK)
            assert answer.status_code == 401 and answer.json()["type"] == "error"
            for path in ("/", "/health", "/ready"):
                assert (await client.get(path)).status_code == 200
            for shown in ({"authorization": f"bearer {secret}"}, {"x-api-key": secret}):
                answer = await client.post("/v1/chat/completions", json=ASK, headers=shown)
                assert answer.status_code == 200
                assert not [name for name in answer.headers if name.startswith("x-ratelimit")]

    asyncio.run(main())


def test_answers_tell_a_caller_its_limits_and_the_refusal_too():
    async def main():
        async with serving(says("hi")) as client:
            _, secret = await client.service.store.create_key(name="a", requests_per_minute=2, tokens_per_minute=1)
            shown = {"authorization": f"Bearer {secret}"}
            answer = await client.post("/v1/chat/completions", json=ASK, headers=shown)
            assert answer.status_code == 200 and answer.headers["x-ratelimit-limit-requests"] == "2"
            assert answer.headers["x-ratelimit-remaining-requests"] == "1"
            answer = await client.post("/v1/chat/completions", json=ASK, headers=shown)  # tokens are used up
            assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 60
            assert answer.headers["x-ratelimit-remaining-tokens"] == "0"
            answer = await client.get("/v1/models", headers=shown)  # requests, too
            assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 30
            assert answer.json()["error"]["type"] == "rate_limit_error"
            assert answer.headers["x-ratelimit-reset-requests"]

    asyncio.run(main())
