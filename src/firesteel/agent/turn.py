"""One answer of a model, followed from its first token to its last."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from firesteel.backends import Backend, Request
from firesteel.backends.base import BackendFailed
from firesteel.format import Message, Parse, ParseEvent, StreamParser, Tokenizer

_END_OF_MESSAGE = "<|eom|>"


class Turn:
    """Shows what is said as it comes, and the tokens where their log-probabilities were asked.

    Stopped on the way, it still knows what was said.
    """

    def __init__(
        self, show: Callable[[ParseEvent], None], tokens: Callable[[Mapping[str, Any]], None] | None = None
    ) -> None:
        self.finish_reason: str | None = None
        self.stop_string = ""
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.reasoning_tokens = 0  # up to the end of the thought, its control tokens included; known after `close`
        self._show, self._tokens = show, tokens
        self._parser: StreamParser | None = None
        self._one_call = False  # the turn was ended after its first call
        self._began = time.monotonic()
        self._pieces: list[str] = []
        self._characters = 0
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._tokens_at: list[tuple[int, int]] = []  # (characters, tokens) so far

    async def run(self, backend: Backend, request: Request) -> None:
        """Follows the one sample of `request`. Raises ValueError when it is refused, BackendFailed when it fails."""
        self._parser = StreamParser(request.tools)
        failure = ""
        said = Said(backend.tokenizer) if backend.tokenizer is not None else None
        async with aclosing(backend.stream(request)) as deltas:
            async for delta in deltas:
                self._pieces.append(delta.text)
                self._characters += len(delta.text)
                self._ids += delta.token_ids
                if delta.logprobs:
                    self._logprobs += [token.logprob for token in delta.logprobs]
                # A backend that reports no token ids is taken to send one token a delta, until its usage tells.
                self.completion_tokens += len(delta.token_ids) or bool(delta.text or delta.events)
                if delta.events and any(event.kind == "reasoning" for event in delta.events):
                    self.reasoning_tokens = self.completion_tokens
                self._tokens_at.append((self._characters, self.completion_tokens))
                self.prompt_tokens = delta.prompt_tokens or self.prompt_tokens
                if delta.finish_reason:
                    self.finish_reason, self.stop_string = delta.finish_reason, delta.stop_string
                    self.cached_tokens = delta.cached_tokens
                    self.completion_tokens = delta.completion_tokens or self.completion_tokens
                    self.reasoning_tokens = delta.reasoning_tokens or self.reasoning_tokens
                if self._tokens and request.logprobs is not None and delta.logprobs and said:
                    self._tokens(
                        {"ids": delta.token_ids, "logprobs": delta.logprobs, "said": said.feed(delta.token_ids)}
                    )
                for event in [*self._parser.feed(delta.text), *self._parser.take(delta.events)]:
                    self._show(event)
                    failure = event.text if event.kind == "error" else failure
                    if event.kind == "tool_call" and not request.parallel_calls:
                        self.finish_reason, self._one_call = "stop", True
                        return
        if self.finish_reason not in ("stop", "length"):
            raise BackendFailed(failure or f"{backend.name} failed in the middle of its answer.")

    def close(self) -> Parse:
        """Shows what the end settles; returns all that was said."""
        if self._parser is None:  # never began
            return Parse()
        said = self._parser.close()
        if self._one_call:  # what follows it was never asked for
            said.tool_calls, said.errors = said.tool_calls[:1], []
        else:
            for event in self._parser.events_at_close:
                self._show(event)
        text = "".join(self._pieces)
        if said.reasoning and text:
            answer = text.rfind(said.answer)  # which may quote the mark
            self.reasoning_tokens = self._tokens_until(text.rfind(_END_OF_MESSAGE, 0, answer))
        return said

    def message(self, said: Parse) -> Message:
        """The turn as a message of a trace, with how it came to be. Calls without an id get none here."""
        usage: dict[str, float] = {
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "seconds": round(time.monotonic() - self._began, 3),
        }
        return Message(
            "assistant",
            said.answer,
            said.reasoning,
            said.commentary,
            said.tool_calls,
            token_ids=self._ids,
            logprobs=self._logprobs,
            usage=usage,
        )

    def _tokens_until(self, mark: int) -> int:
        """Tokens up to the end of the mark that stands at this character; all where there is none (-1)."""
        if mark < 0:
            return self.completion_tokens
        return next(tokens for characters, tokens in self._tokens_at if characters >= mark + len(_END_OF_MESSAGE))


class Said:
    """Tells of each token of a turn whether it is said to the user: not those of thoughts, calls and headers."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._message = tokenizer.id("<|message|>")
        self._ends = {tokenizer.id("<|eom|>"), *tokenizer.eos_ids}
        self._header: str | None = ""  # None within a body
        self._aloud = False

    def feed(self, ids: Sequence[int]) -> tuple[bool, ...]:
        return tuple(map(self._one, ids))

    def _one(self, id: int) -> bool:
        if id in self._ends:
            self._header, self._aloud = "", False
        elif self._header is None:
            return self._aloud
        elif id == self._message:
            self._aloud = self._header.endswith((" to=user", " to=commentary"))
            self._header = None
        else:
            self._header = (self._header + self._tokenizer.token_bytes(id).decode("utf-8", "replace"))[-16:]
        return False
