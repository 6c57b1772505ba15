"""Two server processes on one PostgreSQL: whatever one was told, the other knows."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time

import httpx
import pytest

from firesteel.server.store import Store
from tests.server.conftest import database

PROGRAM = """
import sys
from pathlib import Path
from firesteel.server import run
from firesteel.server.responses import background
from firesteel.server.settings import Settings
from tests.agent.scripted import Scripted, says
background.LEASE, background.RENEW, background.SWEEP = 5.0, 0.5, 0.5  # a sixth of what they are
settings = Settings(port=0, data=Path(sys.argv[1]), database=sys.argv[2], log_requests=False)
opened = lambda settings: Scripted(*[says("word " * 150)] * 99, pause=0.03)
sys.exit(run.run(settings, lambda url: print(url, flush=True), opened))
"""
URL = "/v1/responses"
ASK = {"model": "kindling", "input": "count", "background": True}
WHOLE = {"model": "kindling", "input": "count"}


@contextlib.contextmanager
def replica(folder, url, secret):
    """A client of a server process, and the process."""
    command = [sys.executable, "-c", PROGRAM, str(folder), url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.stderr.read()
        with httpx.Client(base_url=address, timeout=60, headers={"authorization": f"Bearer {secret}"}) as client:
            yield client, process
    finally:
        process.kill()
        process.wait()


async def with_store(url, work):
    store = await Store.open(url)
    try:
        return await work(store)
    finally:
        await store.close()


@pytest.fixture(scope="module")
def house(cluster, tmp_path_factory):
    """Two replicas' clients, the address of their store, the secret of a key that may make six requests a minute, and
    a function that starts another replica."""
    with database(cluster) as url, contextlib.ExitStack() as stack:

        async def keys(store):
            return [(await store.create_key(name=f"{rate}", requests_per_minute=rate))[1] for rate in (None, 6)]

        secret, limited = asyncio.run(with_store(url, keys))

        def another():
            return replica(tmp_path_factory.mktemp("data"), url, secret)

        (first, _), (second, _) = (stack.enter_context(another()) for _ in range(2))
        yield first, second, limited, another


def begun(client):
    """The id of a response that this replica is making."""
    id = client.post(URL, json=ASK).json()["id"]
    while client.get(f"{URL}/{id}").json()["status"] != "in_progress":
        time.sleep(0.02)
    return id


def running(client):
    """How many sequences a replica generates."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("vllm:num_requests_running{"))


def events(lines, most=None):
    """Events of a stream, at most so many."""
    found = []
    for line in lines:
        if line.startswith("data: {"):
            found.append(json.loads(line[6:]))
            if len(found) == most:
                break
    return found


def test_a_stream_that_broke_off_at_one_goes_on_at_the_other(house):
    first, second, *_ = house
    with first.stream("POST", URL, json=ASK | {"stream": True}) as answer:
        seen = events(answer.iter_lines(), 8)
    id, last = seen[0]["response"]["id"], seen[-1]["sequence_number"]
    assert second.get(f"{URL}/{id}").json()["status"] == "in_progress"
    with second.stream("GET", f"{URL}/{id}", params={"stream": "true", "starting_after": last}) as answer:
        rest = events(answer.iter_lines())
    assert [event["sequence_number"] for event in (*seen, *rest)] == list(range(len(seen) + len(rest)))
    assert rest[-1]["type"] == "response.completed"
    text = "".join(event["delta"] for event in (*seen, *rest) if event["type"] == "response.output_text.delta")
    assert text == "word " * 150
    assert second.get(f"{URL}/{id}").json() == first.get(f"{URL}/{id}").json() == rest[-1]["response"]


def test_cancelling_at_one_stops_the_work_at_the_other(house):
    first, second, *_ = house
    id = begun(first)
    assert running(first) == 1 and running(second) == 0
    assert second.post(f"{URL}/{id}/cancel").json()["status"] == "cancelled"
    assert first.get(f"{URL}/{id}").json()["status"] == "cancelled" and running(first) == 0


def test_what_a_killed_replica_made_is_failed_when_its_lease_is_over(house):
    _, second, _, another = house
    with another() as (third, process):
        id = begun(third)
        process.kill()
        process.wait()
    with second.stream("GET", f"{URL}/{id}", params={"stream": "true"}) as answer:  # whoever watches is told
        last = events(answer.iter_lines())[-1]
    assert last["type"] == "response.failed" and last["response"]["error"]["code"] == "server_restarted"
    assert second.get(f"{URL}/{id}").json() == last["response"]


def test_an_idempotency_key_is_known_to_both(house):
    first, second, *_ = house
    one, two = (each.post(URL, json=WHOLE, headers={"idempotency-key": "k1"}) for each in (first, second))
    assert one.status_code == two.status_code == 200 and one.json() == two.json()
    assert two.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in one.headers
    other = second.post(URL, json=WHOLE | {"input": "another"}, headers={"idempotency-key": "k1"})
    assert other.status_code == 409

    async def both():
        """At the same moment."""
        async with httpx.AsyncClient(timeout=60, headers=dict(first.headers, **{"idempotency-key": "k2"})) as client:
            return await asyncio.gather(*(client.post(f"{each.base_url}{URL}", json=WHOLE) for each in (first, second)))

    answers = asyncio.run(both())
    assert sorted(answer.status_code for answer in answers) == [200, 409]


def test_a_keys_rate_holds_across_both(house):
    first, second, limited, _ = house
    shown = {"authorization": f"Bearer {limited}"}
    began, got = time.monotonic(), []
    for _ in range(6):
        got += [each.get("/v1/models", headers=shown).status_code for each in (first, second)]
    due = 6 + (time.monotonic() - began) / 10  # what flows in meanwhile
    assert 6 <= got.count(200) <= due and set(got) == {200, 429}
