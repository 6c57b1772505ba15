"""`POST /v1/completions`: raw text or token ids, continued, without turns, roles and tools: for scoring and training.

- A text is a document of its own: `<|begin_of_text|>` comes first, and control strings in it stay text. Whoever means
  control tokens sends token ids, which are taken as they are.
- `echo` with `logprobs` scores: the prompt's tokens are forced one by one, and only its first has no log-probability.
  With `max_tokens` 0 nothing is generated.
- Tokens are told by their text; those that are no whole characters as `bytes:\\xe2\\x80`. `text_offset` counts
  characters. The `<|begin_of_text|>` at the start and the token that ends a text have none. Behind a stop string the
  tokens are those that were sampled.
- `temperature` is 1 where neither the caller nor the operator says otherwise, as everywhere else in this old protocol.
- `best_of` and `suffix` are left alone, and so is the mode in the model's name: this is the model as it is.

Reference: platform.openai.com/docs/api-reference/completions.
"""

from __future__ import annotations

import asyncio
import codecs
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firesteel.backends import Delta
from firesteel.backends import Request as Continuation
from firesteel.backends.base import BackendFailed, TokenLogprob
from firesteel.backends.merge import merged
from firesteel.format import Tokenizer
from firesteel.server.ask import Caller, Usage
from firesteel.server.chat.body import StreamOptions
from firesteel.server.chat.reply import usage_of
from firesteel.server.chat.routes import failed
from firesteel.server.errors import invalid
from firesteel.server.http import EventStream, answer_json, body_of, caller_of, connected, event, service_of
from firesteel.server.reading import Loose, stops_of
from firesteel.server.service import Service, work
from firesteel.server.tokens import checked_ids, encode, tokenizer_of

_MAX_TOKENS = 16  # where the caller says nothing, as everywhere in this protocol
_LEAST = -9999.0  # JSON has no infinity


class CompletionBody(Loose):
    model: str
    prompt: Any = None  # read by `prompts_of`, which tells more clearly what is wrong
    max_tokens: int | None = Field(None, ge=0)
    n: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    logit_bias: dict[int, float] | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    stream: bool | None = None
    stream_options: StreamOptions | None = None


async def create(request: Request) -> Response:
    service, caller = service_of(request), caller_of(request)
    body = await body_of(request, CompletionBody)
    tokenizer = tokenizer_of(service)
    service.names.mode(body.model)
    prompts = await asyncio.to_thread(prompts_of, tokenizer, body.prompt)
    count = len(prompts) * (body.n or 1)
    if count > service.settings.most_choices:
        raise invalid(f"At most {service.settings.most_choices} choices are made at once.", "n")
    usage = Usage()
    pieces = choices(service, caller, body, [request_of(service, body, ids) for ids in prompts], usage)
    head = {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": body.model,
    }
    if not body.stream:
        return answer_json(head | await connected(request, whole(pieces, count, usage)))
    with_usage = bool(body.stream_options and body.stream_options.include_usage)
    return EventStream(chunks(pieces, head, usage, with_usage), failed)


def prompts_of(tokenizer: Tokenizer, prompt: Any) -> list[list[int]]:
    """The prompts as token ids: one text, one list of ids, or several of either. Raises ApiError 400."""
    one = not isinstance(prompt, list) or (bool(prompt) and all(type(item) is int for item in prompt))
    prompts = []
    for number, item in enumerate([prompt] if one else prompt):
        param = "prompt" if one else f"prompt.{number}"
        if isinstance(item, str) or (item is None and one):
            prompts.append(encode(tokenizer, item or ""))
        elif isinstance(item, list) and item and all(type(id) is int for id in item):
            prompts.append(checked_ids(tokenizer, item, param))
        else:
            raise invalid("A prompt is a text or a list of token ids that is not empty.", param, "invalid_value")
    if not prompts:
        raise invalid("There is no prompt in the list.", "prompt", "invalid_value")
    return prompts


def request_of(service: Service, body: CompletionBody, ids: list[int]) -> Continuation:
    """What is asked of the backend for one prompt. Raises ApiError 400."""
    settings = service.settings
    if body.max_tokens == 0 and not body.echo:
        raise invalid("Without echo, at least one token must be asked for.", "max_tokens")
    temperature = settings.temperature if body.temperature is None else body.temperature
    scored = bool(body.echo) and body.logprobs is not None
    try:
        return Continuation(
            prompt=ids[:1] if scored else ids,
            forced=ids[1:] if scored else (),
            n=body.n or 1,
            max_tokens=_MAX_TOKENS if body.max_tokens is None else min(body.max_tokens, settings.most_tokens),
            temperature=1.0 if temperature is None else temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            top_k=max(0, body.top_k or 0),
            seed=body.seed,
            stop=stops_of(body.stop),
            logprobs=body.logprobs,
            logit_bias=body.logit_bias or {},
            presence_penalty=body.presence_penalty or 0.0,
            frequency_penalty=body.frequency_penalty or 0.0,
        )
    except ValueError as error:
        raise invalid(str(error)) from error


async def choices(
    service: Service, caller: Caller, body: CompletionBody, requests: Sequence[Continuation], usage: Usage
) -> AsyncGenerator[dict[str, Any], None]:
    """Pieces of choices in the words of the protocol, as they come. Fills `usage`. Raises ApiError."""
    n, reasons = body.n or 1, {}
    # Whoever may continue any text may think in it.
    async with work(service, caller, body.model, "thinking", len(requests) * n, (), usage, "prompt") as job:
        until = asyncio.get_running_loop().time() + min(service.settings.seconds, job.left)
        streams = [_continued(service, body, each, at * n, usage, until) for at, each in enumerate(requests)]
        async with aclosing(merged(streams)) as pieces:
            async for piece in pieces:
                job.piece()
                reasons[piece["index"]] = piece["finish_reason"]
                yield piece
        job.outcome = reasons[0]


async def _continued(
    service: Service, body: CompletionBody, request: Continuation, first: int, usage: Usage, until: float
) -> AsyncGenerator[dict[str, Any], None]:
    """The pieces of one prompt's choices, numbered from `first`; those that are not done at `until` end there."""
    prompt = request.prompt or ()
    told = [_Choice(tokenizer_of(service), first + at, request) for at in range(request.n)]
    opening = [choice.echo(prompt) for choice in told] if body.echo else []
    running, begun = set(range(request.n)), False
    generates = bool(request.max_tokens or request.forced)
    async with aclosing(service.backend.stream(request)) as deltas:
        while running and generates:
            try:
                async with asyncio.timeout_at(until):
                    delta = await anext(deltas, Delta(finish_reason="error"))
            except TimeoutError:
                break
            if delta.finish_reason == "error":
                raise BackendFailed(f"{service.backend.name} failed in the middle of its answer.")
            if not begun:  # what is refused is refused before anything is said
                for piece in opening:
                    yield piece
                begun = True
                usage.prompt_tokens += len(prompt) + len(request.forced)
            choice = told[delta.index]
            usage.completion_tokens += choice.count(delta)
            if delta.finish_reason:
                running.remove(delta.index)
                usage.cached_tokens += 0 if delta.index else delta.cached_tokens
            if said := choice.piece(delta):
                yield said
    if not begun:
        for piece in opening:
            yield piece
        usage.prompt_tokens += len(prompt) + len(request.forced)
    for index in sorted(running):
        yield told[index].end()


class _Choice:
    """One choice on its way: counts tokens and characters, writes log-probabilities."""

    def __init__(self, tokenizer: Tokenizer, index: int, request: Continuation) -> None:
        self._tokenizer, self._index, self._most = tokenizer, index, request.logprobs
        self._forced = len(request.forced)  # those still to come
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._characters = 0

    def count(self, delta: Delta) -> int:
        """How many of its tokens were generated."""
        forced = min(self._forced, len(delta.token_ids))
        self._forced -= forced
        return len(delta.token_ids) - forced

    def echo(self, ids: Sequence[int]) -> dict[str, Any]:
        """The prompt as the backend has it: with log-probabilities only its first token, as the others are forced."""
        text = self._tokenizer.decode(ids[ids[0] == self._tokenizer.id("<|begin_of_text|>") :])
        self._characters = len(text)
        first = {"tokens": [self._name(ids[0])], "token_logprobs": [None], "top_logprobs": [None], "text_offset": [0]}
        return self._told(text, None if self._most is None else first)

    def piece(self, delta: Delta) -> dict[str, Any] | None:
        """None where there is nothing to tell yet."""
        scored = self._most is not None and bool(delta.token_ids)
        if not (scored or delta.text or delta.finish_reason):
            return None
        return self._told(delta.text, self._scores(delta) if scored else None, delta.finish_reason)

    def end(self) -> dict[str, Any]:
        """Its time is up."""
        return self._told("", None, "length")

    def _told(self, text: str, scores: dict[str, Any] | None, reason: str | None = None) -> dict[str, Any]:
        return {"index": self._index, "text": text, "logprobs": scores, "finish_reason": reason}

    def _scores(self, delta: Delta) -> dict[str, Any]:
        tokens, offsets = [self._name(id) for id in delta.token_ids], []
        for id in delta.token_ids:
            offsets.append(self._characters)
            if id not in self._tokenizer.eos_ids:
                self._characters += len(self._decoder.decode(self._tokenizer.token_bytes(id)))
        return {
            "tokens": tokens,
            "token_logprobs": [max(token.logprob, _LEAST) for token in delta.logprobs],
            "top_logprobs": [self._top(name, token) for name, token in zip(tokens, delta.logprobs, strict=True)],
            "text_offset": offsets,
        }

    def _top(self, name: str, token: TokenLogprob) -> dict[str, float]:
        """The best tokens, and the one that stands there."""
        best = {self._name(id): max(logprob, _LEAST) for id, logprob in token.top[: self._most]}
        return best | {name: max(token.logprob, _LEAST)}

    def _name(self, id: int) -> str:
        data = self._tokenizer.token_bytes(id)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


async def whole(pieces: AsyncGenerator[dict[str, Any], None], count: int, usage: Usage) -> dict[str, Any]:
    """All pieces of `count` choices, put together."""
    made: list[dict[str, Any]] = [{"index": at, "text": "", "logprobs": None} for at in range(count)]
    async with aclosing(pieces):
        async for piece in pieces:
            choice, scores = made[piece["index"]], piece["logprobs"]
            choice["text"] += piece["text"]
            choice["finish_reason"] = piece["finish_reason"]
            if choice["logprobs"] is None:
                choice["logprobs"] = scores
            elif scores:
                for name, values in scores.items():
                    choice["logprobs"][name] += values
    return {"choices": made, "usage": usage_of(usage)}


async def chunks(
    pieces: AsyncGenerator[dict[str, Any], None], head: Mapping[str, Any], usage: Usage, with_usage: bool
) -> AsyncGenerator[bytes, None]:
    """The pieces as server-sent events, up to `[DONE]`."""
    tail = {"usage": None} if with_usage else {}
    async with aclosing(pieces):
        async for piece in pieces:
            yield event({**head, "choices": [piece], **tail})
    if with_usage:
        yield event({**head, "choices": [], "usage": usage_of(usage)})
    yield b"data: [DONE]\n\n"


routes: list[BaseRoute] = [Route("/v1/completions", create, methods=["POST"])]
