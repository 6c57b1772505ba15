"""Responses that are made without anybody listening: durable, watched from anywhere, cancelled from anywhere.

- The server's own tasks make them. Events are in the store before anybody reads them; whoever watches reads the store,
  so that it makes no difference when one comes, which replica one asks, or whether the server was started anew.
- The events of the end are stored before the row says that the response has ended, and nobody sees them before it does:
  who was told the end finds it in the store.
- A replica holds leases on what it makes. What is left by one that died is claimed when its lease has run out, and
  marked as failed (`server_restarted`) with the items that were whole. It is not begun again: tools may have acted.
- Where the queue is full, a response waits; there may be as many of them as requests may wait.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from firesteel.server.ask import Caller
from firesteel.server.errors import ApiError
from firesteel.server.responses.blobs import packed, packed_messages, unpacked
from firesteel.server.responses.events import TERMINAL, finished_items
from firesteel.server.responses.items import Reader
from firesteel.server.responses.resource import ENDED
from firesteel.server.responses.run import Question, Run, continued
from firesteel.server.responses.seal import Seals
from firesteel.server.service import Service
from firesteel.server.store import StoredResponse, StoreUnavailable

_LOG = logging.getLogger("firesteel.server")
LEASE, RENEW, SWEEP, TICK = 30.0, 5.0, 10.0, 1.0  # seconds
CLEAN = 3600.0  # seconds between two looks for files and blobs that nobody needs; the first when a replica starts
UNDO = 86400.0  # seconds for which a deleted thread can be restored
_POLL = 0.5  # seconds between looks at what another replica makes
_PAGE = 1000

Reason = Literal["cancelled", "shutdown", "lost"]
RESTARTED = ApiError(503, "The server was restarted before this was done.", code="server_restarted")


async def recover(service: Service) -> None:
    """Marks what dead replicas left, and purges threads that were deleted a day ago. A replica does it when it starts,
    and again and again while `start` holds.
    """
    await service.part(Background).recover()


def start(service: Service) -> None:
    """Begins to look after what other replicas leave; within a running event loop."""
    service.part(Background).start()


async def stop(service: Service, seconds: float) -> None:
    """Waits so long for what is made here, then marks the rest as failed."""
    await service.part(Background).stop(seconds)


@dataclass(eq=False)
class _Job:
    run: Run
    making: asyncio.Task[None] | None = None
    reason: Reason | None = None  # why it was stopped

    def stop(self, reason: Reason) -> None:
        self.reason = self.reason or reason
        if self.making:
            self.making.cancel()


class Background:
    """What this replica makes in the background."""

    def __init__(self, service: Service) -> None:
        self._service, self._store = service, service.store
        self.replica = secrets.token_hex(8)
        self._jobs: dict[str, _Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._tending: asyncio.Task[None] | None = None
        self._cleaning: asyncio.Task[None] | None = None
        self._sweeping = False

    async def add(self, asked: Question) -> Run:
        """Begins to make a response, which is stored when this returns. Raises ApiError 429 for too many, 503 at the
        end.
        """
        settings = self._service.settings
        if self._service.admission.draining:
            raise ApiError(503, "The server is shutting down.", code="shutting_down", retry_after=5)
        if len(self._jobs) >= settings.queue + settings.slots:
            raise ApiError(429, "Too many responses are in the background.", code="overloaded", retry_after=10)
        run = Run(self._service, asked)
        job = self._jobs[asked.id] = _Job(run)
        try:
            first = run.queue()
            await self._store.put_response(await run.stored())
            await self._store.lease(asked.id, self.replica, time.time() + LEASE)
            await self._append(job, first)
        except BaseException:
            del self._jobs[asked.id]
            raise
        self._tasks[asked.id] = asyncio.create_task(self._make(job))
        self._tend()
        return run

    async def cancel(self, owner: str, id: str) -> None:
        """Returns when the response has ended, or after some seconds if another replica does not listen."""
        if await self._stop(id, "cancelled"):
            return
        await self._store.ask_cancel(owner, id)
        for _ in range(20):
            row = await self._store.get_response(owner, id)
            if row is None or row.status in ENDED:
                return
            await asyncio.sleep(_POLL)

    async def forget(self, id: str) -> None:
        """Stops the work on a response that is to be deleted."""
        await self._stop(id, "lost")

    async def _stop(self, id: str, reason: Reason) -> bool:
        """Whether it was made here and has ended now. One that is still being stored ends as soon as it begins."""
        if id in self._jobs:
            self._jobs[id].stop(reason)
        if task := self._tasks.get(id):
            await asyncio.wait([task])
        return task is not None

    async def follow(self, owner: str, id: str, after: int = -1) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a response above the number `after`, to its end, however it is made."""
        ended = False
        while not ended:
            news = self._news.setdefault(id, asyncio.Event()) if id in self._jobs else None
            row = await self._store.get_response(owner, id)  # before its events, which must not be older
            ended = row is None or row.status in ENDED
            page = [orjson.loads(text) for _, text in await self._store.events(owner, id, after, _PAGE)]
            if page and page[-1]["type"] in TERMINAL and not ended:
                page.pop()
            for event in page:
                yield event
                after = event["sequence_number"]
            if len(page) == _PAGE:
                ended = False
            elif news and not ended:
                await news.wait()
            elif not ended:
                await asyncio.sleep(_POLL)

    async def recover(self) -> None:
        now = time.time()
        for row in await self._store.claim_expired(self.replica, now, now + LEASE):
            if row.id not in self._jobs:
                await self._bury(row)
        await self._store.purge_threads(now - UNDO)

    def start(self) -> None:
        self._sweeping = True
        self._tend()
        self._cleaning = asyncio.create_task(self._clean())

    async def stop(self, seconds: float) -> None:
        self._sweeping = False
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)
        for job in list(self._jobs.values()):
            job.stop("shutdown")
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        for task in filter(None, (self._tending, self._cleaning)):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _make(self, job: _Job) -> None:
        """The life of a job. It is never cancelled itself, only its `making`."""
        run, id = job.run, job.run.asked.id
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        job.making = asyncio.create_task(self._generate(run, queue))
        job.making.add_done_callback(lambda _: queue.put_nowait(None))
        if job.reason:
            job.making.cancel()
        try:
            begun, ended = False, False
            while not ended:
                # What comes while the store writes goes into the next write.
                batch = [await queue.get()]
                while not queue.empty():
                    batch.append(queue.get_nowait())
                ended = batch[-1] is None
                if run.begun and not begun and not ended:
                    begun = True
                    await self._store.put_response(await run.stored())
                await self._append(job, [event for event in batch if event is not None])
            reason = job.reason if job.making.cancelled() else None  # it may have ended before it was stopped
            error = RESTARTED if reason == "shutdown" else _error_of(job.making)
            closing = run.close(error, cancelled=reason == "cancelled")
            if job.reason != "lost" and await self._append(job, closing):
                await run.save()
        except StoreUnavailable as error:
            _LOG.error("A background response cannot be stored; it will count as lost.", exc_info=error)
        finally:
            job.making.cancel()
            await asyncio.gather(job.making, return_exceptions=True)
            del self._jobs[id], self._tasks[id]
            self._tell(id)

    async def _generate(self, run: Run, queue: asyncio.Queue[dict[str, Any] | None]) -> None:
        while True:
            try:
                async with aclosing(run.events()) as events:
                    async for event in events:
                        queue.put_nowait(event)
                return
            except ApiError as error:
                if run.begun or error.code != "overloaded":
                    raise
                await asyncio.sleep(error.retry_after or 1.0)

    async def _append(self, job: _Job, events: list[dict[str, Any]]) -> bool:
        """False if the response was deleted."""
        asked = job.run.asked
        lines = [(event["sequence_number"], orjson.dumps(event).decode()) for event in events]
        there = await self._store.append_events(asked.caller.owner, asked.id, lines)
        if not there:
            job.stop("lost")
        self._tell(asked.id)
        return there

    def _tell(self, id: str) -> None:
        """Wakes whoever watches."""
        if news := self._news.pop(id, None):
            news.set()

    def _tend(self) -> None:
        if self._tending is None or self._tending.done():
            self._tending = asyncio.create_task(self._tended())

    async def _tended(self) -> None:
        """Renews leases, hears cancellations, sweeps; as long as there is something to look after."""
        renewed = swept = time.monotonic()
        while self._jobs or self._sweeping:
            await asyncio.sleep(TICK)
            try:
                for id in await self._store.cancel_asked(self.replica) if self._jobs else ():
                    if id in self._jobs:
                        self._jobs[id].stop("cancelled")
                if time.monotonic() - renewed >= RENEW:
                    renewed = time.monotonic()
                    for id in list(self._jobs):
                        if not await self._store.lease(id, self.replica, time.time() + LEASE) and id in self._jobs:
                            self._jobs[id].stop("lost")
                if self._sweeping and time.monotonic() - swept >= SWEEP:
                    swept = time.monotonic()
                    await self.recover()
            except StoreUnavailable as error:
                _LOG.warning("Background responses are not looked after: %s", error)

    async def _clean(self) -> None:
        """Deletes what nobody needs, again and again: a task of its own, as it may take longer than a lease lasts."""
        while True:
            try:
                await self._forget_old()
                if deleted := await self._store.sweep(time.time()):
                    _LOG.info("blobs that nothing names were deleted", extra={"blobs": deleted})
            except StoreUnavailable as error:
                _LOG.warning("What nobody needs is not deleted: %s", error)
            await asyncio.sleep(CLEAN)

    async def _forget_old(self) -> None:
        if days := self._service.settings.keep_days:
            before = time.time() - days * 86_400
            responses = await self._store.forget_responses(before)
            if deleted := responses + await self._store.forget_completions(before):
                _LOG.info("old responses and completions were deleted", extra={"deleted": deleted})

    async def _bury(self, row: StoredResponse) -> None:
        """Ends a response that nobody makes any more."""
        store = self._store
        events: list[dict[str, Any]] = []
        while page := await store.events(row.owner, row.id, events[-1]["sequence_number"] if events else -1, _PAGE):
            events += [orjson.loads(text) for _, text in page]
        if events and events[-1]["type"] in TERMINAL:  # only the row was not written any more
            body = events[-1]["response"]
        else:
            error = {"code": RESTARTED.code, "message": RESTARTED.message}
            body = await unpacked(store, row.body)
            body |= {"status": "failed", "error": error, "output": finished_items(events)}
            number = 1 + (events[-1]["sequence_number"] if events else -1)
            last = {"type": "response.failed", "sequence_number": number, "response": body}
            await store.append_events(row.owner, row.id, [(number, orjson.dumps(last).decode())])
        reader = Reader(self._service, Caller(row.owner), await self._service.part(Seals).ready())
        messages = list(row.messages)
        try:
            await reader.read(body["output"], row.id, "output", kept=True)
            messages += await packed_messages(store, reader.messages, reader.urls)
        except ApiError as error:  # it must end all the same; whoever follows it goes on from its input
            _LOG.warning("What a lost response said cannot be read: %s", error, extra={"response": row.id})
        whole = await packed(store, body)
        await store.put_response(replace(row, status=body["status"], body=whole, messages=messages))
        items = [*row.request["input"], *whole["output"]]
        await continued(store, row.owner, row.conversation, whole["status"], items)
        _LOG.warning("A response was lost by a replica that died.", extra={"response": row.id})


def _error_of(making: asyncio.Task[None]) -> ApiError | None:
    """What the making of a response failed with."""
    failure = None if making.cancelled() else making.exception()
    if failure is None or isinstance(failure, ApiError):
        return failure
    _LOG.error("A background response failed.", exc_info=failure)
    return ApiError(500, "The server failed; its log tells why.")
