"""Asking a server again: when it is worth it, and after how long.

Another time may help against a lost connection, a timeout, 408, 409, 429 and 5xx but 501. The pause doubles from half
a second to eight, shortened at random so that many clients do not come back at once. A server that names the pause
(Retry-After, RFC 9110 section 10.2.3: seconds or a date) is obeyed; one that asks for more than two minutes is not
waited for.
"""

from __future__ import annotations

import asyncio
import random
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PATIENCE = 120.0  # seconds


class Failed(Exception):
    """A failure that another time may not meet. `retry_after` is the header of that name."""

    def __init__(self, message: str, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def may_help(status: int) -> bool:
    """Whether the same request may get another answer than this HTTP status."""
    return status in (408, 409, 429) or (status >= 500 and status != 501)  # not implemented


def pause(attempt: int, retry_after: str | None = None) -> float:
    """Seconds to wait after the failure of attempt 0, 1, … More than `PATIENCE`: give up."""
    named = _seconds(retry_after or "")
    if named is not None:
        return named
    return min(8.0, 0.5 * 2**attempt) * random.uniform(0.5, 1)


async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


def _seconds(retry_after: str) -> float | None:
    """What a Retry-After header says; None for one that says nothing."""
    if re.fullmatch(r"\d{1,9}(\.\d+)?", retry_after.strip()):
        return float(retry_after)
    try:
        left = parsedate_to_datetime(retry_after).astimezone(UTC) - datetime.now(UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, left.total_seconds())
