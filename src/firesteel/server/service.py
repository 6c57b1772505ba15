"""What stands behind every protocol: the model, the store, the queue, and `answer`, in which they come together.

A protocol turns its body into an `Ask`, reads the events of the `Answer` and writes them in its own words. Rights,
limits, admission, deadlines, tools, usage and metrics are dealt with here, once.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firesteel.agent import Event
from firesteel.agent.files import write_file
from firesteel.agent.schedule import Joined
from firesteel.agent.toolbox import toolbox
from firesteel.agent.tools import Tool
from firesteel.backends import Backend
from firesteel.backends.base import ContextExceeded
from firesteel.format import Trace, image_tokens
from firesteel.server.access import Access
from firesteel.server.admission import Admission
from firesteel.server.ask import Ask, Caller, Usage
from firesteel.server.errors import ApiError, invalid
from firesteel.server.metrics import Metrics
from firesteel.server.names import Names
from firesteel.server.settings import Settings
from firesteel.server.store import Store
from firesteel.server.store import Usage as Used

_LOG = logging.getLogger("firesteel.server")


@dataclass
class Service:
    """Everything that requests share."""

    settings: Settings
    backend: Backend
    store: Store
    names: Names
    admission: Admission
    metrics: Metrics
    access: Access

    @classmethod
    def of(cls, settings: Settings, backend: Backend, store: Store, name: str) -> Service:
        admission = Admission(backend.slots, settings.queue, settings.queue_seconds)
        names = Names(name, settings.aliases)
        return cls(settings, backend, store, names, admission, Metrics(name, admission), Access(store))


class Answer:
    """One question being answered: read `events`; then `traces`, `reasons` (one each a sample) and `usage` are whole.

    A reason is "stop", "length", "limit", "tool_calls" or, for a sample that failed, "error".
    """

    def __init__(self, service: Service, ask: Ask, caller: Caller) -> None:
        self.ask, self.usage = ask, Usage()
        self.traces = [Trace(list(ask.messages)) for _ in range(ask.n)]
        self.reasons = ["error"] * ask.n
        self._service, self._caller = service, caller
        self._asked = len(ask.messages)

    def said(self, sample: int = 0) -> list[Any]:
        """The messages that a sample added to the conversation."""
        return self.traces[sample].messages[self._asked :]

    async def events(self) -> AsyncGenerator[tuple[int, Event], None]:
        """(sample, event) as they come; closing ends the work. What `agent` 0 says is the answer, others' is progress.

        Raises ApiError: before the first event for what cannot be served, later for a model that failed on the way.
        """
        service, ask, began = self._service, self.ask, time.monotonic()
        service.access.check(self._caller, ask.mind.mode, ask.tools)
        outcome, last = "cancelled", 0.0
        try:
            async with AsyncExitStack() as stack:
                waited = await stack.enter_async_context(service.admission.place(ask.cost))
                service.metrics.admitted(waited)
                async with aclosing(self._samples()) as events:
                    async for sample, event in events:
                        now = time.monotonic()
                        if event.kind in ("reasoning", "commentary", "content"):
                            if last:
                                service.metrics.next_piece(now - last)
                            else:
                                service.metrics.first_piece(now - began)
                            last = now
                        self._count(sample, event)
                        yield sample, event
                outcome = self.reasons[0]
        except ContextExceeded as error:
            outcome = "error"
            raise invalid(str(error), "messages", "context_length_exceeded") from error
        except ValueError as error:
            outcome = "error"
            raise _failure(error, begun=bool(last)) from error
        except ApiError as error:
            outcome = "error"
            if error.status == 429:
                service.metrics.refused()
            raise
        finally:
            self._finish(outcome, time.monotonic() - began)

    async def _samples(self) -> AsyncGenerator[tuple[int, Event], None]:
        if self.ask.n == 1:
            async with aclosing(self._run(0, self._service.backend)) as events:
                async for event in events:
                    yield 0, event
            return
        # Equal requests of all samples become one, with one prefill.
        backend = Joined(self._service.backend)
        queue: asyncio.Queue[tuple[int, Event | None]] = asyncio.Queue()

        async def follow(sample: int) -> None:
            try:
                async with aclosing(self._run(sample, backend)) as events:
                    async for event in events:
                        queue.put_nowait((sample, event))
            finally:
                queue.put_nowait((sample, None))

        tasks = [asyncio.create_task(follow(sample)) for sample in range(self.ask.n)]
        try:
            running = len(tasks)
            while running:
                sample, next_event = await queue.get()
                if next_event is None:
                    running -= 1
                else:
                    yield sample, next_event
            for task in tasks:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, sample: int, backend: Backend) -> AsyncGenerator[Event, None]:
        ask, trace, settings = self.ask, self.traces[sample], self._service.settings
        seconds = settings.seconds if ask.seconds is None else min(ask.seconds, settings.seconds)
        mind = replace(ask.mind, limits=replace(ask.mind.limits, seconds=seconds))
        async with AsyncExitStack() as stack:
            tools: list[Tool] = []
            if ask.tools:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firesteel-")))
                for name, data in ask.files.items():
                    write_file(_made(folder / "data"), name, data)
                tools = await stack.enter_async_context(toolbox(ask.tools, trace, backend, mind, _LOG.info, folder))
            async with aclosing(mind.answer(trace, backend, tools, ask.theirs)) as events:
                async for event in events:
                    if ask.mind.mode == "contemplating" and event.kind == "message" and event.agent == 0:
                        for piece in _winner(event):
                            yield piece
                    yield event

    def _count(self, sample: int, event: Event) -> None:
        usage = self.usage
        if event.kind == "message" and event.message and bool(event.agent) == (self.ask.mind.mode == "contemplating"):
            usage.reasoning_tokens += int(event.message.usage.get("reasoning_tokens", 0))
        if event.kind == "done":
            self.reasons[sample] = event.text
            usage.prompt_tokens += event.data["prompt_tokens"]
            usage.cached_tokens += event.data["cached_tokens"]
            contemplated = "total_tokens" in event.data
            usage.completion_tokens += event.data["total_tokens" if contemplated else "completion_tokens"]
            if contemplated:
                usage.ledger = event.data

    def _finish(self, outcome: str, seconds: float) -> None:
        service, usage, key = self._service, self.usage, self._caller.key
        usage.image_tokens = sum(image_tokens(image) for message in self.ask.messages for image in message.images)
        service.metrics.finished(outcome, usage, seconds)
        service.access.spent(self._caller, usage.total_tokens)
        service.store.add_usage(
            Used(
                owner=self._caller.owner,
                key=key.id if key else "",
                model=self.ask.model,
                mode=self.ask.mind.mode,
                at=time.time(),
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.cached_tokens,
                completion_tokens=usage.completion_tokens,
                reasoning_tokens=usage.reasoning_tokens,
            )
        )


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _winner(event: Event) -> list[Event]:
    """What the agent said whose answer was chosen, as if it had been the only one."""
    message = event.message
    assert message is not None
    said = [("reasoning", message.reasoning), ("commentary", message.commentary), ("content", message.text)]
    pieces = [Event(kind=kind, text=text) for kind, text in said if text]  # type: ignore[arg-type]
    return pieces + [Event(kind="tool_call", call=call) for call in message.tool_calls]


def _failure(error: ValueError, begun: bool) -> ApiError:
    """A model that fails after its first words failed by itself; before them, the request was not to be served."""
    return ApiError(502, str(error), code="backend_failed") if begun else invalid(str(error))
