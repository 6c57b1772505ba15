"""Token buckets: how fast a key may go, and what OpenAI's rate-limit headers say about it.

A bucket holds one minute's worth and fills evenly, so a caller may burst but never gets more than its rate for long.
Source of the headers: platform.openai.com/docs/guides/rate-limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable


class Bucket:
    """`a_minute` units flow in each minute, and as many fit in. It may be drawn below zero; `clock` gives seconds."""

    def __init__(self, a_minute: int, clock: Callable[[], float]) -> None:
        self.size, self._clock = a_minute, clock
        self._level, self._at = float(a_minute), clock()

    @property
    def level(self) -> float:
        now = self._clock()
        self._level = min(self.size, self._level + (now - self._at) * self.size / 60)
        self._at = now
        return self._level

    def draw(self, units: float) -> None:
        self._level = self.level - units

    def fill(self, level: float) -> None:
        """This much is in it now."""
        self._level, self._at = level, self._clock()

    def until(self, level: float) -> float:
        """Seconds until that much is in it."""
        return max(0.0, level - self.level) * 60 / self.size

    def headers(self, of: str) -> dict[str, str]:
        """The limit, what is left of it, and when it will be whole again. `of` is "requests" or "tokens"."""
        return {
            f"x-ratelimit-limit-{of}": str(self.size),
            f"x-ratelimit-remaining-{of}": str(max(0, math.floor(self.level))),
            f"x-ratelimit-reset-{of}": duration(self.until(self.size)),
        }


def duration(seconds: float) -> str:
    """As OpenAI writes it: 20ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    return f"{minutes:.0f}m{rest:.0f}s" if minutes else f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
