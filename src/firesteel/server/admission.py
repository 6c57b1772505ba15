"""Who may generate, who waits, who is sent away: a bounded queue in front of the backend's slots.

What is refused is refused at once: when the queue is full, or when the measured service rate says that the wait would
outlast the longest one allowed. Retry-After is the time in which the work ahead should be done, from the same rate.
Shedding costs no throughput, waiting without end costs every caller (KAITO PR 2205: 28.9 s to 12.95 s mean latency).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from firesteel.backends.slots import Slots
from firesteel.server.errors import ApiError

_WEIGHT = 0.2  # of the newest request in the moving average
_UNKNOWN = 1.0  # seconds after which to ask again while nothing has ended yet
_LONGEST = 120.0  # seconds that clients are ready to obey


class Admission:
    """`slots` generate at once, `queue` requests wait, each at most `seconds`."""

    def __init__(self, slots: int, queue: int, seconds: float) -> None:
        self.slots, self._most, self._seconds = Slots(slots), queue, seconds
        self.waiting = self.running = self.refused = 0
        self.draining = False
        self._ahead = 0  # slots that are taken or waited for
        self._held = 0.0  # seconds for which one slot is held, on average; 0 while nothing has ended

    def wait(self, cost: int) -> float:
        """The seconds until the work ahead of a request of this cost should be done; 0 while nothing is known."""
        over = self._ahead + cost - self.slots.total
        return max(0, over) * self._held / self.slots.total

    @asynccontextmanager
    async def place(self, cost: int, patience: float | None = None) -> AsyncGenerator[float, None]:
        """Holds `cost` slots for the body; gives the seconds that it waited, at most `patience` if the caller has less.

        Raises ApiError 429 where there is no place (in time), 503 when the server is shutting down. Cancelling whoever
        waits gives the place in the queue to the next.
        """
        if self.draining:
            raise ApiError(503, "The server is shutting down.", code="shutting_down", retry_after=5)
        cost = min(cost, self.slots.total)
        patience = self._seconds if patience is None else min(patience, self._seconds)
        expected, must_wait = self.wait(cost), self._ahead + cost > self.slots.total
        if must_wait and self.waiting >= self._most:
            raise self._refusal("The server is busy and its queue is full.", expected)
        if must_wait and expected > patience:
            raise self._refusal("The server is busy: the wait would be too long.", expected)
        began = time.monotonic()
        async with AsyncExitStack() as held:
            self._ahead += cost
            held.callback(self._leave, cost)
            self.waiting += 1
            try:
                async with asyncio.timeout(patience):
                    await held.enter_async_context(self.slots.taken(cost))
            except TimeoutError:
                message = f"The server is busy: there was no place within {patience:g} seconds."
                raise self._refusal(message, self.wait(0)) from None
            finally:
                self.waiting -= 1
            self.running += 1
            started = time.monotonic()
            try:
                yield started - began
            finally:
                self.running -= 1
                self._note(time.monotonic() - started)

    async def idle(self) -> None:
        """Returns when nobody generates or waits."""
        while self.running or self.waiting:
            await asyncio.sleep(0.02)

    def _leave(self, cost: int) -> None:
        self._ahead -= cost

    def _note(self, seconds: float) -> None:
        self._held = seconds if not self._held else (1 - _WEIGHT) * self._held + _WEIGHT * seconds

    def _refusal(self, message: str, expected: float) -> ApiError:
        self.refused += 1
        wait = min(expected, _LONGEST) if self._held else _UNKNOWN
        return ApiError(429, f"{message} Try again later.", code="overloaded", retry_after=max(wait, 0.1))
