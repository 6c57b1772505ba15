"""llama.cpp's server in this process, behind a random port of the loopback interface and a random key.

Its HTTP side is used because only that takes token ids, streams them back and ends the work when a connection closes.
Events come as lines `data: {json}`.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import orjson

from firesteel.backends.llama_client import FAST, SLOW, Answer, exchange

_CACHE_MIB = 512  # some 150 conversations of a thousand tokens, with the packaged model


class LlamaError(Exception):
    """The server's refusal: its HTTP status and its sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to load. `context` is the number of tokens of one sequence, prompt included."""

    slots: int
    context: int
    exact: bool  # fp32 cache, for comparisons; fp16 otherwise
    threads: int


class LlamaServer:
    """Loads in the constructor. Raises ValueError if llama.cpp cannot load the files."""

    def __init__(self, model: Path, mmproj: Path | None, options: Options) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.verbosity = -1
        params.model.path = str(model)
        if mmproj is not None:
            params.mmproj.path = str(mmproj)
        params.mmproj_use_gpu = False
        params.n_gpu_layers = 0
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE  # the file goes away after loading
        params.n_parallel = options.slots
        params.n_ctx = options.slots * options.context
        params.cpuparams.n_threads = options.threads
        params.cpuparams_batch.n_threads = options.threads
        # Flash attention sums in half precision on a CPU (logits off by 0.02) and is no faster at these sizes.
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if options.exact:
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.special = True  # control tokens are text here
        params.fit_params = False
        params.warmup = False
        # Conversations beyond the slots wait in main memory. Windowed layers keep their window alone: checkpoints near
        # the end of prompts let a prompt be cut back, and windowed layers of full size are slower (measured).
        params.cache_ram_mib = _CACHE_MIB
        params.cache_idle_slots = False
        params.ui = False
        params.use_jinja = False
        self._key = secrets.token_urlsafe(24)
        params.api_keys = [self._key]
        params.port = 0
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ValueError(f"llama.cpp cannot load {model}: {error}") from error
        address = self._server.listening_address
        parts = urlsplit(address if isinstance(address, str) else address.decode())
        assert parts.hostname and parts.port
        self._host, self._port = parts.hostname, parts.port
        self._open: WeakSet[Answer] = WeakSet()

    def break_off(self) -> None:
        """Ends what is being answered; whoever reads it gets what has arrived."""
        for answer in list(self._open):
            answer.transport.abort()

    def close(self) -> None:
        """Ends the server's threads and frees the model (blocks until it is done)."""
        self._server = None

    async def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The whole answer to a GET, or to a POST of `body`. Raises LlamaError if the server refuses."""
        method, data = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
        pieces = []
        async with self._exchange(method, path, data) as answer:
            while piece := await answer.read():
                pieces.append(piece)
        told = orjson.loads(b"".join(pieces))
        if answer.status != 200:
            raise _error(answer.status, told)
        return told

    async def events(
        self, path: str, body: dict[str, Any], fast: bool = False
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """The events that answer a request, some at a time; closing the generator ends the connection and the work.

        `fast` ones come some milliseconds after they happened, at any cost. Raises LlamaError if the server refuses, at
        once or on the way.
        """
        async with self._exchange("POST", path, json.dumps(body).encode()) as answer:
            pending = b""
            answer.slowest = FAST if fast else SLOW
            while piece := await answer.read():
                *lines, pending = (pending + piece).split(b"\n")
                events = [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
                for event in events:
                    if "error" in event:
                        raise _error(500, event)
                if events:
                    yield events
            if answer.status != 200:
                raise _error(answer.status, orjson.loads(pending))

    def _exchange(self, method: str, path: str, data: bytes) -> AbstractAsyncContextManager[Answer]:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self._key}\r\n"
            "Content-Type: application/json\r\n"
        )
        return exchange(self._host, self._port, head, data, self._open.add)


def _error(status: int, answer: dict[str, Any]) -> LlamaError:
    error = answer.get("error", answer)
    return LlamaError(error.get("code", status), error.get("message", "llama.cpp failed."))


def default_threads() -> int:
    """As many as there are cores for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
