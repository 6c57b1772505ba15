import asyncio
from dataclasses import replace

from firesteel.server.store import Store
from firesteel.server.store.responses import CHAIN, GRACE
from tests.server.store.samples import completion, response, run, thread, turn


def test_a_response_comes_back_as_it_was_put(url):
    whole = response(
        background=True,
        previous="resp_0",
        conversation="conv_1",
        request={"input": "\0 \ud800 é 🔥", "n": 2**70},
        messages=[{"role": "user", "content": [{"type": "image", "blob": "ab"}]}],
        instructions="NUL \0 and a lone surrogate \udfff",
    )

    async def use(store):
        await store.put_response(whole)
        assert await store.get_response("ann", "resp_1") == whole
        assert await store.get_response("ann", "resp_2") is None
        changed = replace(whole, status="failed", previous=None, body={})
        await store.put_response(changed)
        assert await store.get_response("ann", "resp_1") == changed
        assert await store.delete_response("ann", "resp_1") and not await store.delete_response("ann", "resp_1")
        assert await store.get_response("ann", "resp_1") is None

    run(url, use)


def test_ids_that_no_database_can_hold_are_not_found(url):
    async def use(store):
        for id in ("\0", "\ud800", "é" * 5000):
            assert await store.get_response("ann", id) is None
            assert not await store.delete_response("ann", id)
        assert await store.events("ann", "resp_1", after=10**30) == []

    run(url, use)


def test_pages_follow_each_other_from_the_newest(url):
    async def use(store):
        for number in range(7):  # two at each time, so that ids must decide
            await store.put_response(response(f"resp_{number}", created=float(number // 2)))
        seen, after = [], None
        while page := await store.list_responses("ann", limit=3, after=after):
            seen += [row.id for row in page]
            after = seen[-1]
        assert seen == [f"resp_{number}" for number in reversed(range(7))]
        assert await store.list_responses("ann", after="resp_unknown") == []

    run(url, use)


def test_a_chain_is_followed_to_its_start(url):
    async def use(store):
        for number in range(5):
            await store.put_response(response(f"r{number}", previous=f"r{number - 1}" if number else None))
        await store.put_response(response("branch", previous="r1"))
        assert [row.id for row in await store.chain("ann", "r4")] == ["r0", "r1", "r2", "r3", "r4"]
        assert [row.id for row in await store.chain("ann", "branch")] == ["r0", "r1", "branch"]
        assert await store.chain("ann", "r9") == []
        await store.delete_response("ann", "r1")
        broken = await store.chain("ann", "r4")
        assert [row.id for row in broken] == ["r2", "r3", "r4"] and broken[0].previous == "r1"

    run(url, use)


def test_a_chain_ends_at_its_cap_and_at_a_cycle(url):
    async def use(store):
        rows = [response(f"r{number}", previous=f"r{number - 1}") for number in range(CHAIN + 5)]
        await asyncio.gather(*[store.put_response(row) for row in rows])
        chain = await store.chain("ann", f"r{CHAIN + 4}")
        assert (len(chain), chain[0].id, chain[-1].id) == (CHAIN, "r5", f"r{CHAIN + 4}")
        await store.put_response(response("self", previous="self"))
        assert len(await store.chain("ann", "self")) <= CHAIN

    run(url, use)


def test_events_are_read_from_any_number_on(url):
    async def use(store):
        await store.put_response(response())
        assert await store.append_events("ann", "resp_1", [(0, '{"a":1}'), (1, "b")])
        assert await store.append_events("ann", "resp_1", [(1, "again"), (2, "c")])
        assert await store.append_events("ann", "resp_1", [])
        assert await store.events("ann", "resp_1") == [(0, '{"a":1}'), (1, "b"), (2, "c")]
        assert await store.events("ann", "resp_1", after=0, limit=1) == [(1, "b")]

    run(url, use)


def test_events_go_with_their_response(url):
    async def use(store):
        await store.put_response(response())
        await store.append_events("ann", "resp_1", [(0, "a")])
        await store.put_response(response(status="failed"))  # replacing it keeps them
        assert await store.events("ann", "resp_1") == [(0, "a")]
        await store.delete_response("ann", "resp_1")
        assert await store.events("ann", "resp_1") == []
        assert not await store.append_events("ann", "resp_1", [(1, "b")])

    run(url, use)


def test_a_lease_keeps_others_away_until_it_runs_out(url):
    async def use(store):
        await store.put_response(response(status="in_progress"))
        assert await store.lease("resp_1", "A", until=2000.0)
        assert await store.lease("resp_1", "A", until=3000.0)
        assert not await store.lease("resp_1", "B", until=9000.0)
        assert await store.claim_expired("B", now=2999.0, until=9000.0) == []
        await store.put_response(response(status="in_progress", body={"step": 2}))  # replacing it keeps the lease
        assert await store.claim_expired("B", now=3001.0, until=9000.0) == [
            response(status="in_progress", body={"step": 2})
        ]
        assert not await store.lease("resp_1", "A", until=9999.0)
        assert await store.claim_expired("C", now=8999.0, until=9999.0) == []

    run(url, use)


def test_only_what_was_left_unfinished_is_claimed(url):
    async def use(store):
        for status in ("queued", "in_progress", "completed", "failed", "cancelled", "incomplete"):
            await store.put_response(response(status, status=status))
        assert await store.claim_expired("A", now=1000.5 + GRACE - 1, until=9000.0) == []
        claimed = await store.claim_expired("A", now=1000.5 + GRACE + 1, until=9000.0)
        assert {row.id for row in claimed} == {"queued", "in_progress"}

    run(url, use)


def test_no_two_replicas_claim_the_same_response(url):
    async def main():
        stores = [await Store.open(url) for _ in range(3)]
        await asyncio.gather(*[stores[0].put_response(response(f"r{n}", status="queued")) for n in range(60)])
        claims = await asyncio.gather(
            *[store.claim_expired(f"replica {n}", now=5000.0, until=9000.0) for n, store in enumerate(stores * 4)]
        )
        ids = [row.id for rows in claims for row in rows]
        assert sorted(ids) == sorted(f"r{n}" for n in range(60))
        for store in stores:
            await store.close()

    asyncio.run(main())


def test_a_cancel_reaches_the_replica_that_works_on_it(url):
    async def use(store):
        for id in ("one", "two"):
            await store.put_response(response(id, status="in_progress"))
        await store.lease("one", "A", until=5000.0)
        await store.lease("two", "B", until=5000.0)
        assert await store.ask_cancel("ann", "one")
        assert (await store.cancel_asked("A"), await store.cancel_asked("B")) == (["one"], [])
        await store.put_response(response("one", status="in_progress", body={}))  # replacing it keeps the flag
        assert await store.cancel_asked("A") == ["one"]
        await store.put_response(response("one", status="cancelled"))
        assert await store.cancel_asked("A") == []
        assert not await store.ask_cancel("ann", "one")

    run(url, use)


def test_old_responses_go_but_for_threads_and_what_is_followed(url):
    async def use(store):
        await store.put_thread(thread())
        await store.put_response(turn("in_thread", created=1.0))
        await store.put_response(response("running", created=1.0, status="in_progress"))
        for number in range(3):  # an old chain, the newest turn of which is young
            await store.put_response(response(f"young{number}", created=1.0, previous=f"young{number - 1}"))
            await store.put_response(response(f"old{number}", created=1.0, previous=f"old{number - 1}"))
        await store.put_response(response("young3", created=9.0, previous="young2"))
        await store.put_response(response("others", owner="bob", created=1.0, previous="old2"))
        await store.put_completion(completion("young", created=9.0))
        await store.put_completion(completion("old", created=1.0))
        write, written = store._write, []
        store._write = lambda work: (written.append(work), write(work))[1]
        assert await store.forget_responses(5.0) == 4
        assert len(written) == 2, "a chain goes at once, and then nothing is left"
        assert await store.forget_completions(5.0) == 1
        left = {row.id for row in await store.list_responses("ann")}
        assert left == {"in_thread", "running", "young0", "young1", "young2", "young3"}
        assert [row.id for row in await store.list_completions("ann")] == ["young"]
        assert await store.list_responses("bob") == []

    run(url, use)
