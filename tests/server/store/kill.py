"""kill -9 under load: a process writes and prints what was acknowledged, and is killed at a random moment.

`python -m tests.server.store.kill [TIMES [URL]]` does it 200 times on a new SQLite file, from the repository's root.
"""

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from firesteel.server.store import Store
from firesteel.server.store.files import GRACE
from tests.server.store.samples import conversation, response, run

WRITERS = 16
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Outcome:
    acknowledged: int
    lost: list[str]
    corrupt: list[str]  # what SQLite's integrity_check said, where it was not "ok"


def kill(url: str, times: int, seed: int = 0) -> Outcome:
    """Kills a writing process `times` times; whatever was acknowledged in one of its lives must be there at the end."""
    chance, acknowledged, corrupt = random.Random(seed), [], []
    for life in range(times):
        acknowledged += _live(url, life, chance.uniform(0, 0.3))
        corrupt += _integrity(url)
    return Outcome(len(acknowledged), run(url, lambda store: _missing(store, acknowledged)), corrupt)


def _live(url: str, life: int, seconds: float) -> list[str]:
    """One life: `seconds` from its first acknowledged write to its death. Returns what it had printed."""
    command = [sys.executable, "-m", "tests.server.store.kill", "--write", url, str(life)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        first = process.stdout.readline()
        death = threading.Timer(seconds, process.kill)
        death.start()
        printed = first + process.stdout.read()
        death.join()
    assert process.returncode == -9, f"the writer died by itself: {process.returncode}"
    return [line.decode().strip() for line in printed.splitlines(keepends=True) if line.endswith(b"\n")]


def _integrity(url: str) -> list[str]:
    address = make_url(url)
    if address.get_backend_name() != "sqlite":
        return []
    connection = sqlite3.connect(address.database)
    said = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    connection.close()
    return [] if said == ["ok"] else said


async def _missing(store: Store, acknowledged: list[str]) -> list[str]:
    lost = []
    for line in acknowledged:
        kind, id, size = line.split()
        if kind == "response":
            found = await store.get_response("ann", id)
            whole = found is not None and len(found.body["text"]) == int(size)
            whole = whole and await store.get_blob(found.body["picture"]) == id.encode()
        elif kind == "events":
            whole = len(await store.events("ann", id)) == int(size)
        else:
            whole = len(await store.items("ann", id, limit=1000)) >= int(size)
        lost += [] if whole else [line]
    return lost


async def write(url: str, life: str) -> None:
    """Writes until it is killed; prints a line for each write, after it returned."""
    store, born = await Store.open(url), time.time()

    def acknowledge(kind: str, id: str, size: int) -> None:
        os.write(1, f"{kind} {id} {size}\n".encode())  # at once, and whole

    async def writer(name: str) -> None:
        talk, number = f"conv_{name}", 0
        await store.put_conversation(conversation(talk))
        while True:
            number += 1
            id, size = f"{name}_{number}", random.randrange(20_000)
            loose = f"{id} that nothing names"
            picture, _ = await asyncio.gather(*[store.put_blob(text.encode()) for text in (id, loose)])
            await store.put_response(response(id, body={"text": "x" * size, "picture": picture}))
            acknowledge("response", id, size)
            await store.append_events("ann", id, [(sequence, "{}") for sequence in range(number % 7)])
            acknowledge("events", id, number % 7)
            await store.append_items("ann", talk, [{"id": id}])
            acknowledge("items", talk, number)

    async def sweeper() -> None:
        while True:
            await store.sweep(born + GRACE)  # what earlier lives left loose goes
            await asyncio.sleep(0.1)

    await asyncio.gather(sweeper(), *[writer(f"{life}_{number}") for number in range(WRITERS)])


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--write"]:
        asyncio.run(write(*arguments[1:]))
        return
    times = int(arguments[0]) if arguments else 200
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill(arguments[1] if len(arguments) > 1 else f"sqlite:///{folder}/store.db", times)
    print(f"{times} kills, {outcome.acknowledged} writes acknowledged, {len(outcome.lost)} lost, {outcome.corrupt=}")
    sys.exit(bool(outcome.lost or outcome.corrupt))


if __name__ == "__main__":
    main(sys.argv[1:])
