import asyncio
import shutil
import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import inspect, text

from firesteel.server.store import Store, migrate
from firesteel.server.store.connect import connect
from tests.server.store.samples import response, run

SECOND = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("responses", sa.Column("added", sa.Text))
    op.create_table("second", sa.Column("id", sa.Text, primary_key=True))
"""


@pytest.fixture
def newer(tmp_path, monkeypatch):
    """A Firesteel that knows a second schema; gives the folder of the steps."""
    folder = tmp_path / "migrations 100%"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "0002_second.py").write_text(SECOND)
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

        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    assert looked_at(url, differences) == []
    assert looked_at(url, migrate.revision) == migrate.revisions()[-1]


def test_an_older_schema_is_brought_up_and_keeps_its_rows(url, newer, tmp_path):
    run(url, lambda store: store.put_response(response()))
    newer()
    assert run(url, lambda store: store.get_response("ann", "resp_1")) == response()
    assert looked_at(url, migrate.revision) == "0002"
    assert looked_at(url, lambda connection: inspect(connection).has_table("second"))
    if url.startswith("sqlite"):
        (copy,) = tmp_path.glob("*.backup")
        assert copy.name == "store.db.0001.backup" and copy.stat().st_mode & 0o777 == 0o600
        backup = sqlite3.connect(copy)
        assert backup.execute("SELECT id FROM responses").fetchall() == [("resp_1",)]
        assert backup.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        assert not list(tmp_path.glob("*.part"))


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
    bad = 'from alembic import op\nrevision, down_revision = "0003", "0002"\ndef upgrade(): op.execute("SELEC")\n'
    (versions / "0003_bad.py").write_text(bad)
    with pytest.raises(ValueError, match="cannot be opened"):
        run(url, lambda store: store.keys())
    assert looked_at(url, migrate.revision) == "0001"
    assert not looked_at(url, lambda connection: inspect(connection).has_table("second"))
    (versions / "0003_bad.py").unlink()
    assert run(url, lambda store: store.get_response("ann", "resp_1")) == response()


def test_a_newer_schema_is_left_alone(url):
    run(url, lambda store: store.keys())
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ValueError, match="schema 9999, newer than 0001"):
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
