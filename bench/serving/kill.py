"""kill -9 under load, again and again, on one store: what a client was told must still be true.

Each round starts the server, checks what earlier rounds were told, puts it under load (kept chat completions, responses
in one piece, streamed, continued, in the background, deletions), kills it at a random moment and checks the database.
Background responses may end as failed, but must end once their lease has run out.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.load import Client
from serving.process import Server, start

WORKERS = 8
ENDED = ("completed", "failed", "cancelled", "incomplete")
TEXT = "".join(f"w{number} " for number in range(20))


@dataclass
class Told:
    """What clients were told, by path: "text" of what is whole, "there" for the background, "gone" for deletions."""

    things: dict[str, str] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, path: str, what: str) -> None:
        self.things[path] = what
        self.fresh.append(path)


def kill(quick: bool) -> None:
    """200 x kill -9 under load: nothing that was acknowledged is lost, and the store is whole."""
    rounds = 5 if quick else 200
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told, corrupt = Told(), 0
        for number in range(rounds):
            asyncio.run(_round(Path(folder), told, random.Random(number)))
            corrupt += not _whole(Path(folder) / "server.sqlite")
            if number % 20 == 19:
                print(f"  {number + 1} kills, {len(told.things)} things told, {len(told.wrong)} wrong", flush=True)
        lasting = asyncio.run(_settle(Path(folder), told))
    kinds = {what: list(told.things.values()).count(what) for what in ("text", "there", "gone")}
    print(f"{rounds} kills in {time.monotonic() - began:.0f} s; told: {kinds}")
    print(f"  lost or wrong: {len(told.wrong)} {told.wrong[:3]}")
    print(f"  corrupt databases: {corrupt}; background responses that never ended: {lasting}")


@contextmanager
def _server(folder: Path) -> Iterator[Server]:
    options = ("--data", str(folder), "--slots", "8", "--pause", "0.002")
    with tempfile.TemporaryDirectory() as errors:
        server = start(["-m", "serving.stub", "firesteel", *options], Path(errors))
        try:
            yield server
        finally:
            server.process.kill()
            server.process.wait()


async def _round(folder: Path, told: Told, chance: random.Random) -> None:
    with _server(folder) as server:
        client = Client(server)
        older = chance.sample(list(told.things), min(20, len(told.things)))
        fresh, told.fresh = told.fresh, []
        await asyncio.gather(*(_check(client, told, path) for path in {*fresh, *older}))
        workers = [asyncio.ensure_future(_work(client, told, random.Random(chance.random()))) for _ in range(WORKERS)]
        await asyncio.sleep(0.1 + chance.random())
        server.process.kill()
        server.process.wait()
        await asyncio.gather(*workers)


async def _work(client: Client, told: Told, chance: random.Random) -> None:
    """Asks until the server is gone; notes what it was told."""
    previous = None
    while True:
        kind = chance.choice(("chat", "response", "stream", "background", "delete"))
        asked: dict[str, Any] = {"model": "stub", "input": "Count.", "max_output_tokens": 20}
        if previous and chance.random() < 0.5:
            asked["previous_response_id"] = previous
        if kind == "chat":
            body = {
                "model": "stub",
                "messages": [{"role": "user", "content": "Count."}],
                "max_tokens": 20,
                "store": True,
            }
            answer = await _asked(client, "/v1/chat/completions", body)
            if answer:
                told.note(f"/v1/chat/completions/{answer['id']}", "text")
        elif kind == "stream":
            data = await _asked(client, "/v1/responses", asked | {"stream": True}, whole=False)
            answer = data and _completed(data)
            if answer:
                previous = answer["id"]
                told.note(f"/v1/responses/{previous}", "text")
        elif kind == "delete":
            answer = await _asked(client, "/v1/responses", asked)
            if answer:
                path = f"/v1/responses/{answer['id']}"
                told.note(path, "text")
                told.things[path] = "either"  # until the deletion is acknowledged
                if await _asked(client, path, method="DELETE"):
                    told.things[path] = "gone"
        else:
            answer = await _asked(client, "/v1/responses", asked | {"background": kind == "background"})
            if answer:
                told.note(f"/v1/responses/{answer['id']}", "there" if kind == "background" else "text")
        if answer is None:
            return


async def _asked(
    client: Client, path: str, body: dict[str, Any] | None = None, method: str = "", whole: bool = True
) -> Any:
    """The answer; None where the connection broke before its end. Raises RuntimeError for a refusal."""
    try:
        reply = await client.ask(client.request(path, body, method))
    except OSError:
        return None
    if reply.broken:
        return None
    if reply.status != 200:
        raise RuntimeError(f"{path}: {reply.status} {reply.body!r}")
    return json.loads(reply.body) if whole else reply.body


def _completed(body: bytes) -> dict[str, Any] | None:
    """The response of the last event of a stream."""
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    last = json.loads(lines[-1])
    return last["response"] if last["type"] == "response.completed" else None


async def _check(client: Client, told: Told, path: str) -> None:
    what = told.things[path]
    reply = await client.ask(client.request(path))
    if what == "either":
        good = reply.status in (200, 404)
    elif what == "gone":
        good = reply.status == 404
    else:
        good = reply.status == 200 and (what == "there" or TEXT.strip() in _text(json.loads(reply.body)))
    if not good:
        told.wrong.append(f"{path}: {what}, but {reply.status}")


def _text(body: dict[str, Any]) -> str:
    if "choices" in body:
        return body["choices"][0]["message"]["content"]
    return "".join(part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"])


async def _settle(folder: Path, told: Told) -> int:
    """Checks everything once more, and waits until the leases of the dead have run out."""
    with _server(folder) as server:
        client = Client(server)
        for path in list(told.things):
            await _check(client, told, path)
        open_ones = [path for path, what in told.things.items() if what == "there"]
        end = time.monotonic() + 60
        while open_ones and time.monotonic() < end:
            await asyncio.sleep(1)
            replies = [await client.ask(client.request(path)) for path in open_ones]
            pairs = zip(open_ones, replies, strict=True)
            open_ones = [path for path, reply in pairs if json.loads(reply.body)["status"] not in ENDED]
        return len(open_ones)


def _whole(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
