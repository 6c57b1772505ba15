"""llama.cpp's server in this process, behind a random port of the loopback interface and a random key.

Its HTTP side is used because only that takes token ids, streams them back and ends the work when a connection closes.
The client is a few lines of asyncio: one request a connection, answers in chunks, events as `data: {json}` lines.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_CACHE_MIB = 512  # some 150 conversations of a thousand tokens, with the packaged model
_PAUSE = 0.004  # seconds between two looks at a stream


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

    def close(self) -> None:
        """Ends the server's threads and frees the model (blocks until it is done)."""
        self._server = None

    async def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The whole answer to a GET, or to a POST of `body`. Raises LlamaError if the server refuses."""
        method, data = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
        async with self._exchange(method, path, data) as (status, chunks):
            answer = json.loads(b"".join([chunk async for chunk in chunks]))
        if status != 200:
            raise _error(status, answer)
        return answer

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[list[dict[str, Any]], None]:
        """The events that answer a request, some at a time; closing the generator ends the connection and the work.

        Raises LlamaError if the server refuses, at once or on the way.
        """
        async with self._exchange("POST", path, json.dumps(body).encode()) as (status, chunks):
            pending = b""
            async for chunk in chunks:
                *lines, pending = (pending + chunk).split(b"\n")
                events = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
                for event in events:
                    if "error" in event:
                        raise _error(500, event)
                if events:
                    yield events
                    # Waking up for each token would take the cores away from llama.cpp.
                    await asyncio.sleep(_PAUSE)
            if status != 200:
                raise _error(status, json.loads(pending))

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, body: bytes
    ) -> AsyncGenerator[tuple[int, AsyncGenerator[bytes, None]], None]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            head = (
                f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self._key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            chunked = "transfer-encoding: chunked" in answer
            async with aclosing(_chunks(reader) if chunked else _rest(reader)) as content:
                yield int(answer.split(maxsplit=2)[1]), content
        finally:
            writer.close()


async def _chunks(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    """The content of a chunked body, as much at a time as has arrived."""
    buffer = b""
    while data := await reader.read(1 << 16):
        buffer += data
        content = b""
        while (line := buffer.find(b"\r\n")) >= 0:
            size = int(buffer[:line], 16)
            if size == 0 or len(buffer) < line + size + 4:
                break
            content += buffer[line + 2 : line + 2 + size]
            buffer = buffer[line + size + 4 :]
        if content:
            yield content


async def _rest(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    yield await reader.read()


def _error(status: int, answer: dict[str, Any]) -> LlamaError:
    error = answer.get("error", answer)
    return LlamaError(error.get("code", status), error.get("message", "llama.cpp failed."))


def default_threads() -> int:
    """As many as there are cores for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
