"""The way to the database: one engine, one thread that writes, a few that read.

Choices:
- Group commit. Writes queue up while a transaction is being committed, and the next transaction takes all of them, so
  that many small writes share one fsync. A caller is answered after the commit of its write, never before.
- A write that raises must not spoil the others: the transaction is rolled back and each write gets one of its own.
  Writes are therefore functions of a connection alone, and may be called twice.
- A write that was queued is done, even if the one who asked no longer waits.
- Reads take one of a few threads; in SQLite's write-ahead log they neither wait for the writer nor delay it.
- Everything that another time may cure (disk full, read-only, locked, unreachable) is raised as StoreUnavailable.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from firesteel.server.store.records import StoreUnavailable

READERS = 4
BATCH = 500  # writes in one transaction, so that one slow commit does not make the next endless

T = TypeVar("T")
Work = Callable[[Connection], T]


@contextmanager
def translated() -> Iterator[None]:
    """Turns the database's passing troubles into StoreUnavailable."""
    try:
        yield
    except (OperationalError, InternalError, InterfaceError, PoolTimeout) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreUnavailable(f"The store is unavailable: {str(cause).strip()}.") from error


class Database:
    """Runs functions of a connection: `_read` beside each other, `_write` in one line."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(write=True)
        self._readers = ThreadPoolExecutor(READERS, "store-read")
        self._queue: SimpleQueue[tuple[Work[Any], Future[Any]] | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write_on, name="store-write", daemon=True)
        self._writer.start()

    async def close(self) -> None:
        """Commits what waits and lets go of the database."""
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        self._engine.dispose()

    async def _read(self, work: Work[T]) -> T:
        def run() -> T:
            with self._engine.connect() as connection:
                return work(connection)

        with translated():
            return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def _write(self, work: Work[T]) -> T:
        with translated():
            return await asyncio.wrap_future(self._submit(work))

    def _submit(self, work: Work[T]) -> Future[T]:
        assert self._writer.is_alive(), "the store is closed"
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # from here on it cannot be cancelled
        self._queue.put((work, future))
        return future

    def _write_on(self) -> None:
        still_open = True
        while still_open:
            batch = [self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():  # nobody else takes from it
                batch.append(self._queue.get())
            still_open = None not in batch
            self._commit([job for job in batch if job is not None])

    def _commit(self, batch: list[tuple[Work[Any], Future[Any]]]) -> None:
        begun = False
        try:
            with self._writing.begin() as connection:
                begun = True
                results = [work(connection) for work, _ in batch]
        except Exception as error:  # not swallowed: raised where the write was asked for
            if begun and len(batch) > 1:
                for job in batch:
                    self._commit([job])
                return
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
