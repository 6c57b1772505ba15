"""The one small protocol between whoever wants words and whoever makes them.

A backend turns a `Request` into a stream of `Delta`s. Closing the async generator (or cancelling the task that
consumes it) cancels the work and frees its slot. A backend serves many requests at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from firesteel.format import Message, Parse, ParseEvent, StreamParser, Tokenizer


class BackendFailed(ValueError):
    """The model could not answer, now or to the end; the request was not to blame."""


class ContextExceeded(ValueError):
    """The prompt alone is longer than a sequence may be: `tokens` of it, where `limit` fit."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"The prompt has {tokens} tokens, more than the {limit} that fit.")
        self.tokens, self.limit = tokens, limit


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt and how to continue it. Raises ValueError for what contradicts itself.

    `strength` is 0..512 (0 and 1 answer at once). `thinking_budget` closes the thought after that many tokens and
    lets the answer follow. `tool_choice` is "auto", "none", "required" or a tool's name; without `parallel_calls`
    whoever reads the answer ends it after its first call. `logprobs` is the number of alternatives per token (0: only
    the sampled token's own log-probability; None: none); they are those of the model, before temperature, cuts, masks
    and biases. `temperature` 0 is greedy.

    `logit_bias` is added to the logits of tokens by their ids, -100..100; -100 bans. The penalties, -2..2, lower what
    the answer has said already: `presence_penalty` once, `frequency_penalty` for each time. Tokens of the prompt are
    not counted (llama.cpp: these never get the presence penalty).

    `prompt` are token ids to continue instead of messages: no turn, no tools, no strength. The text is then the plain
    continuation, in which stop strings count from its beginning and the token that ends it has no text.

    `forced` are tokens that the turn or the continuation begins with, told like sampled ones; stop strings,
    `max_tokens` and the tokens that end a turn count only behind them, and with `max_tokens` 0 nothing else comes. So
    an answer is scored; or a text, whose first token is the prompt.
    """

    messages: Sequence[Message] = ()
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
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    json_schema: dict[str, Any] | None = None
    tool_choice: str = "auto"
    parallel_calls: bool = True
    thinking_budget: int | None = None
    prompt: Sequence[int] | None = None
    forced: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"{self.n} samples were asked for.")
        if self.max_tokens < 0:
            raise ValueError(f"max_tokens is {self.max_tokens}, but cannot be negative.")
        if not all(-100 <= bias <= 100 for bias in self.logit_bias.values()):
            raise ValueError("A bias of a token must lie between -100 and 100.")
        if not (-2 <= self.presence_penalty <= 2 and -2 <= self.frequency_penalty <= 2):
            raise ValueError("The presence and the frequency penalty must lie between -2 and 2.")
        held = self.json_schema is not None or self.thinking_budget is not None
        held = held or self.tool_choice not in ("auto", "none")
        if self.prompt is None:
            if self.forced and held:
                raise ValueError("Tokens can be forced only without a schema, a demanded call and a thinking budget.")
            return
        if not self.prompt:
            raise ValueError("An empty prompt cannot be continued.")
        if self.messages or self.tools or held:
            raise ValueError("A prompt of token ids stands alone: without messages, tools, schema and thinking budget.")


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
    `stop_string` is the one at which the answer ended.
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
    stop_string: str = ""


class Backend(Protocol):
    """Who answers. `name` is the address it was opened by."""

    name: str

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The model's own, where it is known: that of `Request.prompt` and of the ids in deltas."""
        ...

    @property
    def context(self) -> int | None:
        """The most tokens of one sequence, prompt and answer together, where that is known."""
        ...

    @property
    def slots(self) -> int:
        """How many samples are generated (or, at a server, requests are put) at the same time."""
        ...

    @property
    def parallel(self) -> bool:
        """Whether samples generated at once hardly slow each other: not where a few cores compute all of them."""
        ...

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


def check_tokens(request: Request, vocabulary: int) -> None:
    """Raises ValueError for a token id that does not exist."""
    for id in (*(request.prompt or ()), *request.forced, *request.logit_bias):
        if not 0 <= id < vocabulary:
            raise ValueError(f"Token id {id} is outside the vocabulary of {vocabulary}.")


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
