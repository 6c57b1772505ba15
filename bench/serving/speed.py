"""Tokens a second and time to the first one with the packaged model: Firesteel, llama.cpp's server, transformers serve.

- Same weights, same prompt tokens, greedy, at most the same number of new tokens; turns end where the model ends them.
- One contender after the other, each in its own process, all with one thread for each core; no prompt comes twice.
- Firesteel is asked for a chat completion, so that rendering and reading the model's grammar are its burden; the others
  continue the rendered prompt, which costs them nothing.
- The first token is the first one of the thought, behind its header; that of transformers, which does not show control
  tokens, is the first of the header.
- `transformers serve` runs as it comes: one request after the other, weights in their own precision.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from firesteel.format import Message, Tokenizer, render
from firesteel.model.gguf_import import to_directory
from serving.load import Client, Reply, quantile
from serving.parts import Shares
from serving.process import Server, running

TOKENS, STREAMS, CONTEXT = 128, 8, 1024
QUESTIONS = (
    "What is 47 + 86 + 19?",
    "Sort these numbers from small to large: 91, 14, 62, 5, 38, 77.",
    "A box holds 12 pens. Ann has 7 boxes and gives away 15 pens. How many pens are left?",
    "Write 45 in binary.",
)
ASSETS = Path(str(resources.files("firesteel"))) / "assets" / "kindling"
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Contender:
    """`body` makes a request of a question; `marker` stands in the event of the first token."""

    name: str
    path: str
    body: Callable[[str], dict[str, Any]]
    marker: bytes
    tokens: Callable[[Reply], int]


def ours() -> Contender:
    def body(question: str) -> dict[str, Any]:
        asked = {"model": "kindling", "messages": [{"role": "user", "content": question}], "reasoning_effort": "high"}
        limits = {"max_tokens": TOKENS, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
        return asked | limits

    def tokens(reply: Reply) -> int:
        return reply.events()[-1]["usage"]["completion_tokens"]

    return Contender("firesteel", "/v1/chat/completions", body, b'"reasoning":"', tokens)


def llama(tokenizer: Tokenizer) -> Contender:
    def body(question: str) -> dict[str, Any]:
        ids = render([Message("user", question)], strength=256, tokenizer=tokenizer).ids
        return {"prompt": ids, "n_predict": TOKENS, "temperature": 0, "stream": True}

    def tokens(reply: Reply) -> int:
        return reply.events()[-1]["tokens_predicted"]

    return Contender("llama.cpp server", "/completion", body, b"<|message|>", tokens)


def transformers(directory: Path, tokenizer: Tokenizer) -> Contender:
    def body(question: str) -> dict[str, Any]:
        segments = render([Message("user", question)], strength=256, tokenizer=tokenizer).segments
        prompt = "".join(segment for segment in segments if isinstance(segment, str))
        return {"model": str(directory), "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "stream": True}

    def tokens(reply: Reply) -> int:
        return reply.events()[-1]["usage"]["completion_tokens"]

    return Contender("transformers serve", "/v1/completions", body, b'"text":"', tokens)


async def measure(contender: Contender, server: Server, repeats: int, streams: list[int]) -> None:
    """Prints medians over the repeats, the first of which only warms up."""
    client, number = Client(server), 0

    def request() -> bytes:
        nonlocal number
        number += 1
        return client.request(contender.path, contender.body(f"{QUESTIONS[number % 4]} (No. {number})"))

    for count in streams:
        rates, first, own, tokens = [], [], [], 0
        for repeat in range(repeats + 1):
            shares, began, spent = Shares(server), time.perf_counter(), server.own_seconds()
            replies = await asyncio.gather(*(client.ask(request(), marker=contender.marker) for _ in range(count)))
            seconds = time.perf_counter() - began
            assert all(reply.status == 200 for reply in replies), (contender.name, server.errors.read_text()[-1000:])
            tokens = sum(map(contender.tokens, replies))
            if repeat:
                rates.append(tokens / seconds)
                own.append((server.own_seconds() - spent) / tokens)
                first += [reply.token - reply.due for reply in replies]
        shown = " ".join(f"{rate:.0f}" for rate in rates)
        print(
            f"{contender.name:20} {count} streams: {quantile(rates, 0.5):7.1f} tokens/s ({shown})  first token "
            f"{quantile(first, 0.5) * 1e3:7.1f} ms  ({tokens / count:.0f} tokens each; {shares}; first thread "
            f"{quantile(own, 0.5) * 1e6:.0f} µs a token)",
            flush=True,
        )


def speed(quick: bool) -> None:
    """Tokens/s and time to first token of kindling, against llama.cpp's server and transformers serve."""
    repeats, streams = (1, [1, STREAMS]) if quick else (5, [1, STREAMS])
    tokenizer = Tokenizer(ASSETS / "tokenizer.json")
    asyncio.run(_firesteel(CORES, repeats, streams))
    options = ("--slots", str(STREAMS), "--context", str(CONTEXT), "--threads", str(CORES))
    with running("-m", "serving.llama", str(ASSETS / "kindling.gguf"), *options) as server:
        asyncio.run(measure(llama(tokenizer), server, repeats, streams))
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "kindling"
        to_directory(ASSETS / "kindling.gguf", ASSETS / "kindling-mmproj.gguf", directory)
        try:
            with running("-m", "serving.hf", str(directory)) as server:
                asyncio.run(measure(transformers(directory, tokenizer), server, repeats, streams))
        except RuntimeError as error:
            print(f"transformers serve: {str(error).strip().splitlines()[-1]}")


def threads(quick: bool) -> None:
    """Kindling behind Firesteel with a thread for each core, and with one core left free."""
    for count in sorted({max(1, CORES - 1), CORES}):
        print(f"{count} threads:")
        asyncio.run(_firesteel(count, 1 if quick else 5, [1, STREAMS]))


async def _firesteel(threads: int, repeats: int, streams: list[int]) -> None:
    code = "from firesteel.cli import main; main()"
    options = {"--port": 0, "--slots": STREAMS, "--context": CONTEXT, "--threads": threads, "--log": "text"}
    flat = [str(word) for pair in options.items() for word in pair]
    with tempfile.TemporaryDirectory() as data, running("-c", code, "serve", "--data", data, *flat) as server:
        await measure(ours(), server, repeats, streams)
