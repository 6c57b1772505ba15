"""What the store keeps, one frozen dataclass a row. Times are seconds since the epoch; `owner` is who may see a row.

The columns in `tables.py` carry the same names, so a row becomes its record by `Record(**row)`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal


class StoreUnavailable(Exception):
    """The database cannot be read or written now (disk full, read-only, locked, unreachable); later it may be."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """An API key without its secret. `prefix` is the start of the secret, for people to tell keys apart."""

    id: str
    owner: str
    name: str
    prefix: str
    modes: tuple[str, ...] = ()  # empty: all
    tools: tuple[str, ...] = ()  # server tools; empty: none, ("*",): all
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    monthly_tokens: int | None = None  # prompt and completion tokens in a calendar month, UTC
    expires: float | None = None
    created: float
    revoked: float | None = None
    admin: bool = False  # may look after the server: keys, usage of all

    @property
    def status(self) -> Literal["active", "revoked", "expired"]:
        """Now."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= time.time() else "active"


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What was used: of one request when it is added, of one day (`at` its first second, UTC) when it is read.

    Reasoning tokens are among the completion tokens and cached ones among the prompt tokens, as the APIs count.
    """

    owner: str
    key: str
    model: str
    mode: str
    at: float
    requests: int = 1
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class StoredResponse:
    """One response of the Responses API: `body` as it is sent, `request` as it came.

    `messages` is what it adds to the conversation, input then output, as dicts of `Message`; a picture in them is
    {"type": "image", "blob": sha256}.
    """

    id: str
    owner: str
    created: float
    status: str  # queued, in_progress, completed, incomplete, failed, cancelled
    background: bool = False
    model: str
    previous: str | None = None
    conversation: str | None = None
    thread: str | None = None  # whose turn it is
    body: dict[str, Any]
    request: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    instructions: str = ""


@dataclass(frozen=True, kw_only=True)
class StoredCompletion:
    """One chat completion that was asked to be kept: `body` as it is sent, `messages` the whole trace."""

    id: str
    owner: str
    created: float
    model: str
    body: dict[str, Any]
    messages: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Conversation:
    id: str
    owner: str
    created: float
    updated: float
    title: str = ""
    pinned: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Thread:
    """A tree of responses. `leaf` is the turn whose path is shown; `deleted` is when it was, until it is purged."""

    id: str
    owner: str
    created: float
    updated: float
    title: str = ""
    pinned: bool = False
    leaf: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    deleted: float | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of a conversation; positions grow and are never given twice."""

    id: str
    position: int
    value: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class File:
    id: str
    owner: str
    created: float
    name: str
    purpose: str
    media_type: str
    bytes: int
    expires: float | None = None  # from then on nobody sees it


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The answer that an Idempotency-Key was given the first time."""

    status: int
    headers: dict[str, str]
    body: bytes
