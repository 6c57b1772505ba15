"""What the server writes about its work: one JSON object a line, or readable text, on stderr.

Lines tell who asked for what and how it went; never bodies, prompts, answers or keys. What a request's own handlers
learn about it (model, mode, tokens, waits) they add with `note`; it stands in the one line that ends the request, and
every line that is written on the way carries the request's id. The context travels with the task, so that nobody has
to hand it down.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

FORMATS = ("json", "text")


@dataclass
class Current:
    """The request that is being handled. `timeout` is its header, as it came."""

    id: str
    timeout: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


CURRENT: ContextVar[Current | None] = ContextVar("the request", default=None)


def note(**facts: Any) -> None:
    """Adds facts to the line that will be written about the request."""
    if current := CURRENT.get():
        current.facts |= facts


def set_up(format: str, stream: TextIO | None = None) -> None:
    """Sends the log to `stream` (default: stderr): ours from INFO on, everybody else's from WARNING on.

    Raises ValueError for an unknown format.
    """
    if format not in FORMATS:
        raise ValueError(f"There is no log format {format}; there are: {', '.join(FORMATS)}.")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Json() if format == "json" else Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("firesteel").setLevel(logging.INFO)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """What is known beyond the message."""
    facts: dict[str, Any] = {}
    if current := CURRENT.get():
        facts["request_id"] = current.id
    return facts | {name: value for name, value in vars(record).items() if name not in _USUAL}


class Json(logging.Formatter):
    """Times are UTC with milliseconds (RFC 3339)."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class Text(logging.Formatter):
    """The same for people. Control characters in what strangers sent are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        facts = " ".join(f"{name}={value}" for name, value in _facts(record).items())
        line = f"{at} {record.levelname.lower():7} {record.getMessage()} {facts}".rstrip()
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


# What every record has, and what uvicorn adds for terminals.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}
