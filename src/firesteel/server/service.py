"""What stands behind every protocol: the model, the store, the queue, and `answer`, in which they come together.

A protocol turns its body into an `Ask`, reads the events of the `Answer` and writes them in its own words. Rights,
limits, admission, deadlines, tools, usage and metrics are dealt with here, once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from firesteel.agent import Event
from firesteel.agent.limits import Budget
from firesteel.agent.schedule import Joined
from firesteel.agent.toolbox import toolbox
from firesteel.agent.tools import Tool
from firesteel.backends import Backend
from firesteel.backends.base import BackendFailed, ContextExceeded
from firesteel.backends.merge import merged
from firesteel.backends.resolve import PACKAGED
from firesteel.format import Trace, image_tokens
from firesteel.server.access import Access
from firesteel.server.admission import Admission
from firesteel.server.ask import Ask, Caller, Usage
from firesteel.server.errors import ApiError, invalid
from firesteel.server.logs import CURRENT, note
from firesteel.server.metrics import Metrics
from firesteel.server.names import Names
from firesteel.server.settings import Settings
from firesteel.server.store import Store
from firesteel.server.store import Usage as Used

_LOG = logging.getLogger("firesteel.server")
T = TypeVar("T")


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
    working: set[asyncio.Task[None]] = field(default_factory=set)  # on requests, until they are answered
    ended: bool = False  # nothing is answered any more
    parts: dict[Callable[[Service], Any], Any] = field(default_factory=dict)

    def part(self, kind: Callable[[Service], T]) -> T:
        """What a protocol keeps beside the requests: the one `kind(service)` there is."""
        if kind not in self.parts:
            self.parts[kind] = kind(self)
        return self.parts[kind]

    def end(self) -> None:
        """Ends what is still being answered; each answer says so (`http.py`)."""
        self.ended = True
        for task in self.working:
            task.cancel()

    @property
    def max_tokens(self) -> int:
        """What one turn generates at most where the caller says nothing: kindling's thoughts are short."""
        return self.settings.max_tokens or (1024 if self.settings.backend == PACKAGED else 8192)

    @classmethod
    def of(cls, settings: Settings, backend: Backend, store: Store, name: str) -> Service:
        admission = Admission(backend.slots, settings.queue, settings.queue_seconds)
        names = Names(name, settings.aliases)
        return cls(settings, backend, store, names, admission, Metrics(name, admission), Access(store))


class Job:
    """One piece of work while it runs. `outcome` is the reason of its end, or "cancelled" as long as there is none.

    `patience` are the seconds that the caller gives it, its wait in the queue included.
    """

    def __init__(self, metrics: Metrics, patience: float) -> None:
        self.outcome, self.began, self.last_piece = "cancelled", time.monotonic(), 0.0
        self.patience = patience
        self._metrics = metrics

    @property
    def left(self) -> float:
        """The seconds that are left of the caller's patience."""
        return self.patience - (time.monotonic() - self.began)

    def piece(self) -> None:
        """Something of the answer came."""
        now = time.monotonic()
        if self.last_piece:
            self._metrics.next_piece(now - self.last_piece)
        else:
            self._metrics.first_piece(now - self.began)
            note(ttft=round(now - self.began, 4))
        self.last_piece = now


@asynccontextmanager
async def work(
    service: Service,
    caller: Caller,
    model: str,
    mode: str,
    cost: int,
    tools: Sequence[str],
    usage: Usage,
    param: str = "messages",
    seconds: float | None = None,
) -> AsyncGenerator[Job, None]:
    """What everything that generates goes through: rights, a place for `cost` sequences, the bill of its `usage`.

    `seconds` is the patience that the body names. Raises ApiError, also for what the backend refuses within (`param` is
    the field that was too long) or fails at.
    """
    service.access.check(caller, mode, tools)
    job = Job(service.metrics, _patience(seconds))
    try:
        async with service.admission.place(cost, job.patience) as waited:
            service.metrics.admitted(waited)
            note(queued=round(waited, 4))
            yield job
    except ContextExceeded as error:
        job.outcome = "error"
        raise invalid(str(error), param, "context_length_exceeded") from error
    except ValueError as error:
        job.outcome = "error"
        raise _failure(error, begun=bool(job.last_piece)) from error
    except Exception as error:
        job.outcome = "error"
        if isinstance(error, ApiError) and error.status == 429:
            service.metrics.refused()
        raise
    finally:
        service.metrics.finished(job.outcome, usage, time.monotonic() - job.began)
        tokens = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
        note(model=model, mode=mode, outcome=job.outcome, **tokens)
        service.access.spent(caller, usage.total_tokens)
        service.store.add_usage(
            Used(
                owner=caller.owner,
                key=caller.key.id if caller.key else "",
                model=model,
                mode=mode,
                at=time.time(),
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.cached_tokens,
                completion_tokens=usage.completion_tokens,
                reasoning_tokens=usage.reasoning_tokens,
            )
        )


class Answer:
    """One question being answered: read `events`; then `traces`, `reasons` (one each a sample) and `usage` are whole.

    A reason is "stop", "length", "limit", "tool_calls" or, for a sample that failed, "error".
    """

    def __init__(self, service: Service, ask: Ask, caller: Caller) -> None:
        pictures = [image for message in ask.messages for image in message.images]
        tokenizer = service.backend.tokenizer
        tokens = sum(tokenizer.image_tokens(picture) if tokenizer else image_tokens(picture) for picture in pictures)
        self.ask, self.usage = ask, Usage(image_tokens=tokens)
        self.traces = [Trace(list(ask.messages)) for _ in range(ask.n)]
        self.reasons = ["error"] * ask.n
        self._service, self._caller = service, caller
        self._asked = len(ask.messages)
        self._budgets: list[Budget] = []

    def said(self, sample: int = 0) -> list[Any]:
        """The messages that a sample added to the conversation."""
        return self.traces[sample].messages[self._asked :]

    async def events(self) -> AsyncGenerator[tuple[int, Event], None]:
        """(sample, event) as they come; closing ends the work. What `agent` 0 says is the answer, others' is progress.

        Raises ApiError: before the first event for what cannot be served, later for a model that failed on the way.
        """
        ask = self.ask
        async with work(
            self._service,
            self._caller,
            ask.model,
            ask.mind.mode,
            ask.cost,
            ask.tools,
            self.usage,
            seconds=ask.seconds,
        ) as job:
            try:
                async with aclosing(self._samples(job)) as events:
                    async for sample, event in events:
                        if event.kind in ("reasoning", "commentary", "content"):
                            job.piece()
                        self._note(sample, event)
                        yield sample, event
            finally:  # what a caller left behind is billed too
                self._count()
            job.outcome = self.reasons[0]

    def _samples(self, job: Job) -> AsyncGenerator[tuple[int, Event], None]:
        if self.ask.n == 1:
            return self._run(0, self._service.backend, job)
        # Equal requests of all samples become one, with one prefill.
        backend = Joined(self._service.backend)
        return merged([self._run(sample, backend, job) for sample in range(self.ask.n)])

    async def _run(self, sample: int, backend: Backend, job: Job) -> AsyncGenerator[tuple[int, Event], None]:
        ask, trace, settings = self.ask, self.traces[sample], self._service.settings
        mind = replace(ask.mind, limits=replace(ask.mind.limits, seconds=min(settings.seconds, job.left)))
        async with AsyncExitStack() as stack:
            tools: list[Tool] = []
            if ask.tools:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firesteel-")))
                if ask.fill:  # not before the request has its place: many that wait would hold many files
                    await ask.fill(_made(folder / "data"))
                tools = await stack.enter_async_context(toolbox(ask.tools, trace, backend, mind, _LOG.info, folder))
                if ask.keep:
                    stack.push_async_callback(ask.keep, folder / "data")
            budget = mind.limits.start()
            self._budgets.append(budget)
            async with aclosing(mind.answer(trace, backend, tools, ask.theirs, budget)) as events:
                async for event in events:
                    if ask.mind.mode == "contemplating" and event.kind == "message" and event.agent == 0:
                        for piece in _winner(event):
                            yield sample, piece
                    yield sample, event

    def _note(self, sample: int, event: Event) -> None:
        usage = self.usage
        if event.kind == "message" and event.message and bool(event.agent) == (self.ask.mind.mode == "contemplating"):
            usage.reasoning_tokens += int(event.message.usage.get("reasoning_tokens", 0))
        if event.kind == "done":
            self.reasons[sample] = event.text
            if self.ask.mind.mode == "contemplating":
                usage.ledger = event.data

    def _count(self) -> None:
        usage, budgets = self.usage, self._budgets
        usage.prompt_tokens = sum(budget.prompt_tokens for budget in budgets)
        usage.cached_tokens = sum(budget.cached_tokens for budget in budgets)
        usage.completion_tokens = sum(budget.completion_tokens for budget in budgets)


def _patience(seconds: float | None) -> float:
    """The seconds that the caller gives in the body or in the header x-request-timeout. Raises ApiError."""
    current, patience = CURRENT.get(), math.inf if seconds is None else seconds
    if current is None or current.timeout is None:
        return patience
    try:
        given = float(current.timeout)
    except ValueError:
        given = 0.0
    if not given > 0:
        raise invalid("A timeout is a number of seconds above 0.", "x-request-timeout")
    return min(given, patience)


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
    """What a backend complains of before its first words is the request, unless it says that it failed itself."""
    if begun or isinstance(error, BackendFailed):
        return ApiError(502, str(error), code="backend_failed")
    return invalid(str(error))
