"""Who may generate, who waits, who is sent away: a bounded queue in front of the backend's slots.

What is refused is refused at once: when the queue is full, or when the measured service rate says that the wait would
outlast the longest one allowed. Retry-After is the time in which the work ahead should be done, from the same rate.
Shedding costs no throughput, waiting without end costs every caller (KAITO PR 2205: 28.9 s to 12.95 s mean latency).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from firesteel.backends.slots import Slots
from firesteel.server.errors import ApiError

_WEIGHT = 0.2  # of the newest request in the moving average


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
    async def place(self, cost: int) -> AsyncGenerator[float, None]:
        """Holds `cost` slots for the body; gives the seconds that it waited. Raises ApiError 429, or 503 at the end."""
        if self.draining:
            raise ApiError(503, "The server is shutting down.", code="shutting_down", retry_after=5)
        cost = min(cost, self.slots.total)
        expected = self.wait(cost)
        must_wait = self._ahead + cost > self.slots.total
        if must_wait and (self.waiting >= self._most or expected > self._seconds):
            raise self._refusal(expected)
        began = time.monotonic()
        self._ahead += cost
        self.waiting += 1
        waiting = True
        try:
            async with asyncio.timeout(self._seconds) as patience:
                async with self.slots.taken(cost):
                    patience.reschedule(None)
                    self.waiting, waiting = self.waiting - 1, False
                    self.running += 1
                    started = time.monotonic()
                    try:
                        yield started - began
                    finally:
                        self.running -= 1
                        self._note(time.monotonic() - started)
        except TimeoutError:
            if not waiting:
                raise
            raise self._refusal(self.wait(cost)) from None
        finally:
            self.waiting -= waiting
            self._ahead -= cost

    def _note(self, seconds: float) -> None:
        self._held = seconds if not self._held else (1 - _WEIGHT) * self._held + _WEIGHT * seconds

    def _refusal(self, expected: float) -> ApiError:
        self.refused += 1
        return ApiError(
            429,
            "The server is busy: the queue is full. Try again later.",
            code="overloaded",
            retry_after=min(max(expected, 0.1), 120),
        )
