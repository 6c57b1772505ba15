import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import inspect, text

from firesteel.server.store import Store, migrate
from firesteel.server.store.connect import connect
from firesteel.server.store.files import GRACE
from tests.server.store.samples import response, run

NEWEST = migrate.revisions()[-1]
NAMED, LOOSE = "a" * 64, "b" * 64
NEXT, LATER = (f"{int(NEWEST) + step:04}" for step in (1, 2))
STEP = f"""
from alembic import op
import sqlalchemy as sa
revision, down_revision = "{NEXT}", "{NEWEST}"
def upgrade():
    op.add_column("responses", sa.Column("added", sa.Text))
    op.create_table("second", sa.Column("id", sa.Text, primary_key=True))
"""


@pytest.fixture
def newer(tmp_path, monkeypatch):
    """A Firesteel that knows the next schema; gives the folder of the steps."""
    folder = tmp_path / "migrations 100%"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / f"{NEXT}_next.py").write_text(STEP)
    return lambda: monkeypatch.setattr(migrate, "MIGRATIONS", folder) or folder / "versions"


def looked_at(url, look):
    engine = connect(url)
    try:
        with engine.connect() as connection:
            return look(connection)
    finally:
        engine.dispose()


def test_an_empty_database_gets_the_tables_that_the_code_speaks_of(url):
    run(url, lambda store: store.keys())

    def differences(connection):
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        from firesteel.server.store.tables import metadata

        def ours(name, kind, parents):
            return not (name or "").startswith("texts_words")  # the database's own index, in no words of SQLAlchemy

        options = {"compare_type": True, "include_name": ours}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert looked_at(url, differences) == []
    assert looked_at(url, migrate.revision) == migrate.revisions()[-1]


def test_an_older_schema_is_brought_up_and_keeps_its_rows(url, newer, tmp_path):
    run(url, lambda store: store.put_response(response()))
    newer()
    assert run(url, lambda store: store.get_response("ann", "resp_1")) == response()
    assert looked_at(url, migrate.revision) == NEXT
    assert looked_at(url, lambda connection: inspect(connection).has_table("second"))
    if url.startswith("sqlite"):
        (copy,) = tmp_path.glob("*.backup")
        assert copy.name == f"store.db.{NEWEST}.backup" and copy.stat().st_mode & 0o777 == 0o600
        backup = sqlite3.connect(copy)
        assert backup.execute("SELECT id FROM responses").fetchall() == [("resp_1",)]
        assert backup.execute("SELECT version_num FROM alembic_version").fetchall() == [(NEWEST,)]
        assert not list(tmp_path.glob("*.part"))


def test_a_store_of_the_first_schema_keeps_its_rows(url, tmp_path, monkeypatch):
    """Written in SQL, as the code of that time is gone."""
    folder = tmp_path / "first"
    newer = shutil.ignore_patterns("__pycache__", "000[2-9]*", "00[1-9]*")
    with monkeypatch.context() as then:
        then.setattr(migrate, "MIGRATIONS", shutil.copytree(migrate.MIGRATIONS, folder, ignore=newer))
        engine = connect(url)
        migrate.migrate(engine)
    key = "INSERT INTO keys (id, owner, name, prefix, digest, modes, tools, created)"
    old = "INSERT INTO responses (owner, id, created, status, background, model, body, request, messages, instructions)"
    with engine.begin() as connection:
        connection.execute(text(f"{key} VALUES ('key_1', 'ann', 'k', 'fs-1', 'x', '[]', '[]', 1)"))
        shown = json.dumps([{"role": "user", "content": [{"type": "image", "blob": NAMED}]}])
        for name in (NAMED, LOOSE):
            connection.execute(
                text("INSERT INTO blobs (sha256, data) VALUES (:name, :data)"), {"name": name, "data": b"x"}
            )
        values = "'ann', 'resp_1', 1000.5, 'completed', false, 'kindling', :body, '{}', :shown, '\"\"'"
        body = json.dumps({"id": "resp_1", "output": []})
        connection.execute(text(f"{old} VALUES ({values})"), {"body": body, "shown": shown})
    engine.dispose()

    async def look(store):
        deleted = [await store.sweep(now) for now in (0.0, GRACE + 1)]
        return await store.keys(), await store.get_response("ann", "resp_1"), deleted, await store.get_blob(NAMED)

    (found,), kept, deleted, blob = run(url, look)
    assert (found.id, found.admin) == ("key_1", False)
    assert kept is not None and kept.messages[0]["content"][0]["blob"] == NAMED
    assert deleted == [0, 1] and blob == b"x"


def test_the_backup_holds_what_is_still_in_the_log(newer, tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"

    async def main():
        running = await Store.open(url)  # the first process keeps its log open
        await running.put_response(response())
        assert (tmp_path / "store.db-wal").stat().st_size > 0
        newer()
        await (await Store.open(url)).close()
        await running.close()

    asyncio.run(main())
    (copy,) = tmp_path.glob("*.backup")
    assert sqlite3.connect(copy).execute("SELECT id FROM responses").fetchall() == [("resp_1",)]


def test_a_step_that_fails_leaves_the_old_schema(url, newer):
    run(url, lambda store: store.put_response(response()))
    versions = newer()
    bad = f'from alembic import op\nrevision, down_revision = "{LATER}", "{NEXT}"\ndef upgrade(): op.execute("SELEC")\n'
    (versions / f"{LATER}_bad.py").write_text(bad)
    with pytest.raises(ValueError, match="cannot be opened"):
        run(url, lambda store: store.keys())
    assert looked_at(url, migrate.revision) == NEWEST
    assert not looked_at(url, lambda connection: inspect(connection).has_table("second"))
    (versions / f"{LATER}_bad.py").unlink()
    assert run(url, lambda store: store.get_response("ann", "resp_1")) == response()


def test_a_newer_schema_is_left_alone(url):
    run(url, lambda store: store.keys())
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ValueError, match=f"schema 9999, newer than {NEWEST}"):
        run(url, lambda store: store.keys())


def test_processes_may_start_together_on_an_empty_database(url):
    code = """
import asyncio, sys
from firesteel.server.store import Store
async def main():
    stores = await asyncio.gather(*[Store.open(sys.argv[1]) for _ in range(3)])
    await stores[0].create_key(name="k")
    for store in stores:
        await store.close()
asyncio.run(main())
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0]
    assert len(run(url, lambda store: store.keys())) == 3
