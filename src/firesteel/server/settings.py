"""How the server is run: what an operator may choose. Caps that nobody needs to choose stand where they hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`backend` is a model's address. Sizes are bytes, times are seconds; None is no limit, or what the model decides.

    `slots` sequences generate at once; `queue` requests may wait for them, each at most `queue_seconds`.
    `tools` are those that callers may ask to be run here. `raw_reasoning` chooses the dialect of reasoning events:
    "summary", "openai" or "open-responses". `aliases` are further names under which the model answers.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    backend: str = "kindling"
    name: str = ""  # of the model; default: the last part of its address
    aliases: tuple[str, ...] = ()
    data: Path | None = None  # files of the server; default: ~/.local/share/firesteel
    database: str = ""  # default: SQLite in `data`
    slots: int = 8
    context: int | None = None
    threads: int | None = None
    queue: int = 64
    queue_seconds: float = 60.0
    seconds: float = 600.0  # a request's, from admission on
    drain_seconds: float = 30.0
    permission_seconds: float = 120.0  # for which a tool waits for its user's word in a thread; 0: nobody is asked
    tools: tuple[str, ...] = ("zoom", "ground", "python", "files", "artifacts", "agents")
    strength: str = "high"
    temperature: float | None = None
    max_tokens: int | None = None  # generated in one turn where the caller says nothing; default: by the model
    most_tokens: int = 32_768  # that a caller may ask for
    most_choices: int = 16
    most_agents: int = 32
    body_bytes: int = 64 << 20
    file_bytes: int = 32 << 20
    owner_files: int = 1000  # uploads that one owner keeps here at a time; what conversations hold does not count
    owner_bytes: int = 2 << 30  # of them together
    keep_days: float = 30.0  # for stored responses and completions outside of threads; 0: for ever
    images: int = 50
    image_bytes: int = 20 << 20
    image_pixels: int = 24_000_000
    messages: int = 2048
    remote_images: bool = False
    raw_reasoning: str = "summary"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    log_requests: bool = True


def data_folder(settings: Settings) -> Path:
    """Where the server keeps its files, by the XDG base directory specification."""
    home = os.environ.get("XDG_DATA_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "share"
    return settings.data or base / "firesteel"


def default_database(settings: Settings) -> str:
    """The URL of the store; whoever opens it makes the folder (0700) and the file (0600)."""
    return settings.database or f"sqlite:///{data_folder(settings)}/server.sqlite"
