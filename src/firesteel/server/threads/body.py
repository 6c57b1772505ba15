"""The bodies of threads: what the app may set, and the file that an export writes and an import reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field

from firesteel.server.reading import Loose
from firesteel.server.threads.files import GIVEN, MOST, check_name

SETTINGS_BYTES = 16 << 10
TITLE = 512  # characters
KIND, VERSION = "firesteel.thread", 1  # of the file

Id = Annotated[str, Field(min_length=1, max_length=128)]
Time = Annotated[float, Field(ge=0, le=1e11)]  # seconds since the epoch
Count = Annotated[int, Field(ge=0, lt=2**53)]


def _small(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    if settings is not None and len(orjson.dumps(settings)) > SETTINGS_BYTES:
        raise ValueError(f"settings have more than {SETTINGS_BYTES:,} bytes")
    return settings


class ThreadBody(Loose):
    title: str | None = Field(default=None, max_length=TITLE)
    settings: Annotated[dict[str, Any] | None, AfterValidator(_small)] = None


class ThreadChanges(ThreadBody):
    pinned: bool | None = None
    leaf: Id | None = None


class Word(Loose):
    """What a user says to a tool that wants to change something."""

    answer: Literal["once", "always", "deny"]


class InputDetails(Loose):
    cached_tokens: Count = 0
    image_tokens: Count = 0


class OutputDetails(Loose):
    reasoning_tokens: Count = 0


class Ledger(Loose):
    ledger: dict[Annotated[str, Field(max_length=64)], int | float | None] = Field(default_factory=dict, max_length=32)


class Tokens(Loose):
    """The usage of a turn."""

    input_tokens: Count = 0
    input_tokens_details: InputDetails = Field(default_factory=InputDetails)
    output_tokens: Count = 0
    output_tokens_details: OutputDetails = Field(default_factory=OutputDetails)
    total_tokens: Count = 0
    firesteel: Ledger | None = None


class Failure(Loose):
    code: str = Field(max_length=128)
    message: str = Field(max_length=4096)


class FolderFile(Loose):
    """A file at the end of a turn. `data` is base64; it stands where `id`, which names the bytes, comes first."""

    name: Annotated[str, Field(max_length=4096), AfterValidator(check_name)]
    id: Id
    data: str | None = None


class TurnFile(Loose):
    id: Id
    previous: Id | None = None
    created_at: Time
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    model: str = Field(max_length=256)
    mode: Literal["instant", "thinking", "contemplating"] | None = None
    instructions: str = ""
    input: list[dict[str, Any]]
    output: list[dict[str, Any]]
    usage: Tokens | None = None
    error: Failure | None = None
    files: list[FolderFile] = Field(default_factory=list, max_length=MOST + GIVEN)


class ThreadFile(ThreadBody):
    object: Literal["firesteel.thread"]
    version: Literal[1]
    created_at: Time
    leaf: Id | None = None
    turns: list[TurnFile]
