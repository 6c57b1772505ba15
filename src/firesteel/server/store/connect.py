"""From an address to an engine: SQLite in a file, or PostgreSQL through psycopg 3.

SQLite keeps a write-ahead log with synchronous=FULL: each commit is on the disk before it is acknowledged
(https://www.sqlite.org/pragma.html#pragma_synchronous). Transactions begin by hand, as the driver would begin them too
late: at once with the write lock for the writer, so that other processes (the command line beside a server) wait their
turn instead of failing half-way.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from firesteel.server.store.database import READERS

WAIT = 10.0  # seconds for another process's write, or for a connection
_creating = threading.Lock()


def connect(url: str) -> Engine:
    """The engine for `url`. ValueError for an address that we cannot use."""
    try:
        address = make_url(url)
    except ArgumentError:
        raise ValueError("The store's address is no URL; write sqlite:///PATH or postgresql://….") from None
    backend = address.drivername.split("+")[0]
    if backend == "sqlite":
        return _sqlite(address)
    if backend in ("postgresql", "postgres"):
        return _postgresql(address)
    raise ValueError(f"The store can be sqlite:///PATH or postgresql://…, not {address.drivername}.")


def _postgresql(address: URL) -> Engine:
    if importlib.util.find_spec("psycopg") is None:
        raise ValueError("PostgreSQL needs its driver: pip install 'firesteel[postgres]'.")
    address = address.set(drivername="postgresql+psycopg")
    timeout = {"connect_timeout": int(WAIT)} if "connect_timeout" not in address.query else {}
    return create_engine(address, pool_size=READERS + 1, max_overflow=0, pool_pre_ping=True, connect_args=timeout)


def _sqlite(address: URL) -> Engine:
    if not address.database or address.database == ":memory:":
        raise ValueError("The store needs a file: sqlite:///PATH.")
    path = Path(address.database)
    try:
        _create(path)
        _use_log(path)
    except (OSError, sqlite3.Error) as error:
        raise ValueError(f"The store {path} cannot be opened: {error}.") from error
    engine = create_engine(
        address.set(drivername="sqlite+pysqlite"),
        pool_size=READERS + 1,
        max_overflow=0,
        connect_args={"timeout": WAIT, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _create(path: Path) -> None:
    """An empty file that nobody else may read, if there is none.

    A file that SQLite may have open must not be opened here: closing it again would drop this process's locks on it
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    with _creating:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def _use_log(path: Path) -> None:
    """Switches a file to the write-ahead log, once and for all; two processes may meet here."""
    connection = sqlite3.connect(path, timeout=WAIT)
    try:
        end = time.monotonic() + WAIT
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:  # SQLite itself does not wait for this one
                    raise
                time.sleep(0.01)
    finally:
        connection.close()
    if mode != "wal":
        raise ValueError(f"The store {path} is on a file system that cannot hold SQLite's write-ahead log.")


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
