import asyncio
import sqlite3
import threading

import pytest
from sqlalchemy import create_engine, event, text

from firesteel.server.store import Store, StoreUnavailable
from tests.server.store.samples import response, run, usage


def hold(store):
    """Keeps the writer busy until the event is set, so that writes queue up."""
    begun, go = threading.Event(), threading.Event()
    first = store._submit(lambda _: begun.set() or go.wait(60))
    assert begun.wait(60)
    return go, first


def test_writes_that_wait_share_one_commit(url):
    async def use(store):
        commits = []
        event.listen(store._engine, "commit", commits.append)
        go, first = hold(store)
        writes = [asyncio.create_task(store.put_response(response(f"r{n}"))) for n in range(200)]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(asyncio.wrap_future(first), *writes)
        assert len(commits) == 2
        assert len(await store.list_responses("ann", limit=1000)) == 200

    run(url, use)


def test_a_write_that_raises_does_not_spoil_the_others(url):
    def stumble(connection):
        connection.execute(text("INSERT INTO blobs (sha256, data) VALUES ('half', '')"))
        raise KeyError("mine")

    async def use(store):
        go, _ = hold(store)
        others = [asyncio.create_task(store.put_response(response(f"r{n}"))) for n in range(20)]
        await asyncio.sleep(0)
        bad = [asyncio.create_task(store._write(stumble)) for _ in range(2)]
        syntax = asyncio.create_task(store._write(lambda connection: connection.execute(text("SELEC"))))
        await asyncio.sleep(0)
        last = asyncio.create_task(store.put_response(response("last")))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*others, last)
        for task in bad:
            with pytest.raises(KeyError, match="mine"):
                await task
        assert (await asyncio.gather(syntax, return_exceptions=True))[0] is not None
        assert len(await store.list_responses("ann", limit=1000)) == 21
        assert await store.get_blob("half") is None

    run(url, use)


def test_a_write_is_done_even_if_nobody_waits_any_more(url):
    async def use(store):
        go, _ = hold(store)
        task = asyncio.create_task(store.put_response(response()))
        await asyncio.sleep(0)
        task.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store._write(lambda connection: None)
        assert await store.get_response("ann", "resp_1") == response()

    run(url, use)


def test_closing_writes_what_waits(url):
    async def main():
        store = await Store.open(url)
        go, _ = hold(store)
        writes = [asyncio.create_task(store.put_response(response(f"r{n}"))) for n in range(50)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(closing, *writes)
        with pytest.raises(AssertionError, match="closed"):
            await store.put_response(response())

    asyncio.run(main())
    assert len(run(url, lambda store: store.list_responses("ann", limit=1000))) == 50


def test_a_full_disk_refuses_writes_and_nothing_else(tmp_path, caplog):
    pages = [2**30]

    async def use(store):
        event.listen(store._engine, "begin", lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages[0]}"))
        await store.put_response(response())
        pages[0] = 1  # no page more than there are
        large = response("large", body={"text": "x" * 100_000})
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="full"):
                await store.put_response(large)
        results = await asyncio.gather(
            *[store.put_response(large) for _ in range(20)], store.get_response("ann", "resp_1"), return_exceptions=True
        )
        assert all(isinstance(result, StoreUnavailable) for result in results[:20])
        assert results[20] == response()
        store.add_usage(usage(model="x" * 100_000))
        await store.usage()
        assert "usage was not written" in caplog.text
        pages[0] = 2**30
        await store.put_response(large)
        assert await store.get_response("ann", "large") == large

    run(f"sqlite:///{tmp_path}/store.db", use)


def test_a_database_that_another_process_writes_is_waited_for(tmp_path):
    path = tmp_path / "store.db"

    async def use(store):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(store.put_response(response()))
        await asyncio.sleep(0.3)
        assert not write.done()
        other.execute("COMMIT")
        other.close()
        await write

    run(f"sqlite:///{path}", use)


def test_a_server_that_only_reads_refuses_writes_until_it_recovers(postgresql):
    server = create_engine(postgresql.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")

    def read_only(value):
        with server.connect() as connection:
            name = connection.scalar(text("SELECT current_database()"))
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"))
            others = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :n AND pid <> pg_backend_pid()"
            )
            connection.execute(text(others), {"n": name})

    async def use(store):
        await store.put_response(response())
        read_only("on")
        with pytest.raises(StoreUnavailable, match="read-only"):
            await store.put_response(response("resp_2"))
        assert await store.get_response("ann", "resp_1") == response()
        read_only("off")
        await store.put_response(response("resp_2"))

    try:
        run(postgresql, use)
    finally:
        server.dispose()
