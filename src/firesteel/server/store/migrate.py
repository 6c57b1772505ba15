"""Bringing a database to the newest schema, upwards only.

Choices:
- One transaction takes all steps, under a lock (SQLite's write lock, an advisory lock on PostgreSQL), so that replicas
  may start together and a step that fails leaves the old schema.
- Before an older SQLite file is changed, a copy is written beside it: PATH.REVISION.backup.
- Alembic is imported only where there is something to do; its revisions are the numbers that the files begin with.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x666972657374  # "firest"
_one = threading.Lock()  # Alembic keeps its context in module variables


def migrate(engine: Engine) -> None:
    """Upgrades to the newest schema. ValueError if the schema is newer than we know."""
    newest = revisions()[-1]
    with engine.connect() as connection:
        if revision(connection) == newest:
            return
    with _one, engine.execution_options(write=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        found = revision(connection)
        if found == newest:  # another replica was faster
            return
        if found is not None and found not in revisions():
            raise ValueError(
                f"The store has schema {found}, newer than {newest}, which this Firesteel knows: upgrade it."
            )
        if found is not None and engine.dialect.name == "sqlite":
            _back_up(Path(engine.url.database or ""), found)
        _upgrade(connection)


def revisions() -> list[str]:
    """All that we know, oldest first."""
    return sorted(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def revision(connection: Connection) -> str | None:
    """The database's own, None if it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")


def _back_up(path: Path, found: str) -> None:
    """A copy that is whole once it has its name."""
    copy = path.with_name(f"{path.name}.{found}.backup")
    part = copy.with_suffix(".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
    source, target = sqlite3.connect(path), sqlite3.connect(part)
    try:
        source.backup(target)  # reads the last commit, beside our own transaction
    finally:
        source.close()
        target.close()
    part.replace(copy)
