import asyncio
import importlib.util
import sqlite3

import pytest

from firesteel.server.store import Store
from firesteel.server.store.connect import connect
from tests.server.store.samples import run


def opening(url):
    return asyncio.run(Store.open(url))


@pytest.mark.parametrize("url", ["", "store.db", "mysql://localhost/x", "sqlite://", "sqlite:///:memory:"])
def test_other_addresses_are_refused_in_a_sentence(url):
    with pytest.raises(ValueError, match="sqlite:///PATH"):
        connect(url)


def test_a_missing_driver_names_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'firesteel\[postgres\]'"):
        connect("postgresql://localhost/x")


def test_an_unreachable_server_is_told_without_its_password():
    with pytest.raises(ValueError, match="cannot be opened") as caught:
        opening("postgresql://ann:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    with pytest.raises(ValueError, match=r"notes\.txt cannot be opened: file is not a database"):
        opening(f"sqlite:///{tmp_path}/notes.txt")
    with pytest.raises(ValueError, match="cannot be opened"):
        opening(f"sqlite:///{tmp_path}")


def test_every_connection_is_durable_and_the_file_is_private(tmp_path):
    path = tmp_path / "new" / "store.db"

    async def use(store):
        def pragmas(connection):
            names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

        seen = await asyncio.gather(*[store._read(pragmas) for _ in range(20)], store._write(pragmas))
        assert all(row == ["wal", 2, 1, 10_000] for row in seen)  # 2: FULL

    run(f"sqlite:///{path}", use)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
