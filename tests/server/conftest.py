"""A PostgreSQL for whoever asks for one."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text


@pytest.fixture(scope="session")
def cluster():
    """A PostgreSQL that listens on a socket in a temporary folder only; gives the folder."""
    if not all(shutil.which(program) for program in ("initdb", "pg_ctl", "postgres")):
        pytest.skip("PostgreSQL is not installed: initdb, pg_ctl and postgres are not on PATH")
    folder = Path(tempfile.mkdtemp(prefix="firesteel-pg-"))
    data = folder / "data"
    user = {}
    if os.geteuid() == 0:  # which postgres refuses
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)

    def run(*command):
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=300, **user)

    run("initdb", "-D", data, "-U", "firesteel", "--auth=trust", "--encoding=UTF8", "--no-sync")
    # Its own log: a pipe that postgres inherits would never end.
    run(
        "pg_ctl",
        "-D",
        data,
        "-l",
        folder / "log",
        "-w",
        "-t",
        "240",
        "-o",
        f"-k {folder} -c listen_addresses=''",
        "start",
    )
    try:
        yield folder
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


@contextlib.contextmanager
def database(cluster):
    """The address of an empty PostgreSQL database."""
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(f"postgresql+psycopg://firesteel@/postgres?host={cluster}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"postgresql://firesteel@/{name}?host={cluster}"
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def postgresql(cluster):
    """The address of an empty PostgreSQL database."""
    with database(cluster) as address:
        yield address
