"""What is measured with the stub engine. Each function prints its lines; `quick` shortens it for a try."""

from __future__ import annotations

import asyncio
import pickle
import random
import tempfile
import time
from pathlib import Path

from serving.load import Client, Reply, chat, milliseconds, open_loop, quantile
from serving.process import Server, running, stub


class Shares:
    """How much of one core the generator and a server used meanwhile."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._at, self._own, self._theirs = time.perf_counter(), time.process_time(), server.seconds()

    def __str__(self) -> str:
        seconds = time.perf_counter() - self._at
        own, theirs = time.process_time() - self._own, self._server.seconds() - self._theirs
        return f"cores used: generator {own / seconds:.2f}, server {theirs / seconds:.2f}"


def overhead(quick: bool) -> None:
    """Latency at 200 requests/s, beside a bare Starlette route that sends the same bytes."""
    asyncio.run(_overhead(1.0 if quick else 10.0, 2 if quick else 5))


async def _overhead(seconds: float, rounds: int) -> None:
    tokens, rate = 16, 200.0
    with stub("--slots", "256") as ours, tempfile.TemporaryDirectory() as folder:
        client = Client(ours)
        request = client.request("/v1/chat/completions", chat(tokens))
        reply = await client.ask(request)
        recorded = Path(folder) / "pieces"
        recorded.write_bytes(pickle.dumps([b"%b\n\n" % piece for piece in reply.body.split(b"\n\n") if piece]))
        with running("-m", "serving.stub", "bare", "--recorded", str(recorded)) as other:
            clients = {"bare": Client(other), "firesteel": client}
            for each in clients.values():
                await open_loop(lambda due, each=each: each.ask(request, due), rate, seconds / 2)
            first: dict[str, list[float]] = {name: [] for name in clients}
            whole: dict[str, list[float]] = {name: [] for name in clients}
            worst, shares = [], Shares(ours)
            for _ in range(rounds):  # in turn, so that a busy machine is busy for both
                for name, each in clients.items():
                    replies = await open_loop(lambda due, each=each: each.ask(request, due), rate, seconds)
                    assert all(reply.status == 200 for reply in replies)
                    first[name] += [reply.first - reply.due for reply in replies]
                    whole[name] += [reply.ended - reply.due for reply in replies]
                worst.append(quantile(whole["firesteel"][-len(replies) :], 0.99))
            print(f"{rate:.0f} requests/s, {tokens} tokens streamed; {len(whole['bare'])} requests each; {shares}")
            for title, times in (("first byte", first), ("whole answer", whole)):
                for name in clients:
                    print(f"  {title:13}{name:10}{milliseconds(times[name])}")
                added = [quantile(times["firesteel"], q) - quantile(times["bare"], q) for q in (0.5, 0.99)]
                print(f"  {title:13}added     p50 {added[0] * 1e3:7.2f}   p99 {added[1] * 1e3:7.2f} ms")
            print(f"  p99 of single rounds: {' '.join(f'{value * 1e3:.2f}' for value in worst)} ms")


def events(quick: bool) -> None:
    """Events a second at 64 streams whose engine never waits."""
    asyncio.run(_events(200 if quick else 2000, 2 if quick else 5))


async def _events(tokens: int, rounds: int) -> None:
    with stub("--slots", "64") as server:
        client = Client(server)
        request = client.request("/v1/chat/completions", chat(tokens))
        rates, costs = [], []
        for _ in range(rounds + 1):
            shares, began, used = Shares(server), time.perf_counter(), server.seconds()
            replies = await asyncio.gather(*(client.ask(request) for _ in range(64)))
            seconds, used = time.perf_counter() - began, server.seconds() - used
            count = sum(reply.body.count(b"data: ") for reply in replies)
            assert count >= 64 * (tokens + 3), "an event is missing"
            rates.append(count / seconds)
            costs.append(used / count)
        print(f"64 streams of {tokens} tokens, no pause: median {quantile(rates[1:], 0.5):,.0f} events/s; {shares}")
        print(f"  rounds: {' '.join(f'{rate:,.0f}' for rate in rates[1:])}")
        print(f"  processor time of the server: {quantile(costs[1:], 0.5) * 1e6:.1f} us an event")


def streams(quick: bool) -> None:
    """256 streams at once: every word there, in order."""
    asyncio.run(_streams(50 if quick else 400))


async def _streams(tokens: int) -> None:
    with stub("--slots", "256", "--pause", "0.01") as server:
        client = Client(server)
        request = client.request("/v1/chat/completions", chat(tokens))
        shares, began = Shares(server), time.perf_counter()
        replies = await asyncio.gather(*(client.ask(request) for _ in range(256)))
        seconds = time.perf_counter() - began
        expected = "".join(f"w{number} " for number in range(tokens))
        wrong = sum(reply.text() != expected or not reply.body.endswith(b"data: [DONE]\n\n") for reply in replies)
        first = [reply.first - reply.due for reply in replies]
        print(f"256 streams of {tokens} tokens: {wrong} out of order; {256 * tokens / seconds:,.0f} tokens/s")
        print(f"  first byte {milliseconds(first)}; {shares}")


def overload(quick: bool) -> None:
    """Ten times the load that the slots can carry."""
    asyncio.run(_overload(5.0 if quick else 30.0))


async def _overload(seconds: float) -> None:
    slots, tokens, pause, queue = 8, 20, 0.01, 16
    options = ("--slots", str(slots), "--pause", str(pause), "--queue", str(queue), "--queue-seconds", "2")
    with stub(*options) as server:
        client = Client(server)
        request = client.request("/v1/chat/completions", chat(tokens))
        alone = [await client.ask(request) for _ in range(20)]
        unloaded = quantile([reply.first - reply.due for reply in alone], 0.5)

        async def worker(end: float) -> list[Reply]:
            replies = []
            while time.perf_counter() < end:
                replies.append(await client.ask(request))
            return replies

        began = time.perf_counter()
        peak = sum(map(len, await asyncio.gather(*(worker(began + seconds / 3) for _ in range(slots)))))
        peak_rate = peak / (time.perf_counter() - began)
        before, shares, began = server.megabytes(), Shares(server), time.perf_counter()
        replies = await open_loop(lambda due: client.ask(request, due), 10 * peak_rate, seconds)
        took = time.perf_counter() - began
        good = [reply for reply in replies if reply.status == 200]
        refused = [reply for reply in replies if reply.status == 429]
        without = sum(b"retry-after:" not in reply.head.lower() for reply in refused)
        first = [reply.first - reply.due for reply in good]
        others = len(replies) - len(good) - len(refused)
        goodput, grown = len(good) / took / peak_rate * 100, server.megabytes() - before
        print(f"{slots} slots, queue of {queue}: capacity {peak_rate:.1f} requests/s; sent {10 * peak_rate:.0f}/s")
        print(f"  {len(good)} answered, {len(refused)} sent away, {others} others; {shares}")
        print(f"  goodput {goodput:.1f} % of the peak; RSS {grown:+.1f} MB")
        print(f"  first byte alone {unloaded * 1e3:.1f} ms; accepted {milliseconds(first)}")
        print(f"  429 in {milliseconds([reply.ended - reply.due for reply in refused])}; {without} without Retry-After")


def aborts(quick: bool) -> None:
    """1,000 clients that go away at a random moment."""
    asyncio.run(_aborts(100 if quick else 1000))


async def _aborts(count: int) -> None:
    with stub("--slots", "16", "--pause", "0.002", "--queue", "1000") as server:
        client, chance = Client(server), random.Random(0)
        bodies = [client.request("/v1/chat/completions", chat(100, stream)) for stream in (True, False)]
        await client.ask(bodies[0])
        before, turn = server.megabytes(), asyncio.Semaphore(48)

        async def leave() -> None:
            async with turn:
                connection = await client.connect()
                asking = asyncio.ensure_future(connection.ask(chance.choice(bodies), 0.0))
                await asyncio.sleep(chance.random() * 0.5)
                connection.transport.abort()
                await asking

        await asyncio.gather(*(leave() for _ in range(count)))
        left = time.perf_counter()
        while (free := await _gauge(client, "firesteel:slots_free")) < 16 and time.perf_counter() - left < 5:
            await asyncio.sleep(0.01)
        seconds = time.perf_counter() - left
        waiting = await _gauge(client, "vllm:num_requests_waiting")
        lost, grown = 16 - free, server.megabytes() - before
        files = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        print(
            f"{count} aborts: {lost:.0f} slots lost, {waiting:.0f} still wait; RSS {grown:+.1f} MB, {files} open files"
        )
        print(f"  all free {seconds * 1e3:.0f} ms after the last")


async def _gauge(client: Client, name: str) -> float:
    lines = (await client.ask(client.request("/metrics"))).body.decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))
