"""The one small protocol between whoever wants words and whoever makes them.

A backend turns a `Request` into a stream of `Delta`s. Closing the async generator (or cancelling the task that
consumes it) cancels the work and frees its slot. A backend serves many requests at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from firesteel.format import Message, Parse, ParseEvent, StreamParser


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt and how to continue it.

    `strength` is 0..512 (0 and 1 answer at once). `thinking_budget` closes the thought after that many tokens and
    lets the answer follow. `tool_choice` is "auto", "none", "required" or a tool's name. `logprobs` is the number of
    alternatives per token (0: only the sampled token's own log-probability; None: none). `temperature` 0 is greedy.
    """

    messages: Sequence[Message]
    tools: Sequence[dict[str, Any]] = ()
    strength: int = 64
    n: int = 1
    max_tokens: int = 1024
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: Sequence[str] = ()
    logprobs: int | None = None
    json_schema: dict[str, Any] | None = None
    tool_choice: str = "auto"
    thinking_budget: int | None = None


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """A sampled token's log-probability and the alternatives (token id, log-probability), best first."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What is new of sample `index`; the last one carries the finish reason and usage.

    `text` is raw, control tokens included, for a parser to read. A backend whose model does not speak the Muse grammar
    has read it already and gives `events` instead.

    `finish_reason`: "stop" (end of turn or a stop string), "length", "error". `completion_tokens` is for backends that
    know the number of generated tokens but not the tokens; `reasoning_tokens` are those of them that were thought.
    """

    index: int = 0
    text: str = ""
    events: tuple[ParseEvent, ...] = ()
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


class Backend(Protocol):
    """Who answers. `name` is the address it was opened by."""

    name: str

    def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Yields deltas of all `n` samples, interleaved; raises ValueError for a request that cannot be served."""
        ...

    async def close(self) -> None:
        """Frees everything; requests in flight end."""
        ...


@dataclass
class Completion:
    """A finished sample: the concatenation of its deltas."""

    text: str = ""
    events: list[ParseEvent] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def parse(self, tools: Sequence[dict[str, Any]] = ()) -> Parse:
        """What was said."""
        parser = StreamParser(tools)
        parser.feed(self.text)
        parser.take(self.events)
        return parser.close()


async def complete(backend: Backend, request: Request) -> list[Completion]:
    """Runs a request to its end and returns its `n` samples in order."""
    samples = [Completion() for _ in range(request.n)]
    async for delta in backend.stream(request):
        sample = samples[delta.index]
        sample.text += delta.text
        sample.events += delta.events
        sample.completion_tokens += len(delta.token_ids) or bool(delta.text or delta.events)
        sample.token_ids += delta.token_ids
        sample.logprobs += delta.logprobs
        if delta.finish_reason:
            sample.finish_reason = delta.finish_reason
            sample.prompt_tokens, sample.cached_tokens = delta.prompt_tokens, delta.cached_tokens
            sample.completion_tokens = delta.completion_tokens or sample.completion_tokens
    return samples
