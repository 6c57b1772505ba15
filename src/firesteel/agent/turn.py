"""One answer of a model, followed from its first token to its last."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing

from firesteel.backends import Backend, Request
from firesteel.format import Message, Parse, ParseEvent, StreamParser

_END_OF_MESSAGE = "<|eom|>"


class Turn:
    """Shows what is said as it comes. Stopped on the way, it still knows what was said."""

    def __init__(self, show: Callable[[ParseEvent], None]) -> None:
        self.finish_reason: str | None = None
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.reasoning_tokens = 0  # up to the end of the thought, its control tokens included; known after `close`
        self._show = show
        self._parser: StreamParser | None = None
        self._began = time.monotonic()
        self._text = ""
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._tokens_at: list[tuple[int, int]] = []  # (characters, tokens) so far

    async def run(self, backend: Backend, request: Request) -> None:
        """Follows the one sample of `request`. Raises ValueError when the backend refuses it or fails on the way."""
        self._parser = StreamParser(request.tools)
        async with aclosing(backend.stream(request)) as deltas:
            async for delta in deltas:
                self._text += delta.text
                self._ids += delta.token_ids
                self._logprobs += [token.logprob for token in delta.logprobs]
                # A backend that reports no token ids is taken to send one token a delta, until its usage tells.
                self.completion_tokens += len(delta.token_ids) or bool(delta.text or delta.events)
                if any(event.kind == "reasoning" for event in delta.events):
                    self.reasoning_tokens = self.completion_tokens
                self._tokens_at.append((len(self._text), self.completion_tokens))
                if delta.finish_reason:
                    self.finish_reason = delta.finish_reason
                    self.prompt_tokens, self.cached_tokens = delta.prompt_tokens, delta.cached_tokens
                    self.completion_tokens = delta.completion_tokens or self.completion_tokens
                    self.reasoning_tokens = delta.reasoning_tokens or self.reasoning_tokens
                for event in [*self._parser.feed(delta.text), *self._parser.take(delta.events)]:
                    self._show(event)
        if self.finish_reason not in ("stop", "length"):
            raise ValueError(f"{backend.name} failed in the middle of its answer.")

    def close(self) -> Parse:
        """Shows what the end settles; returns all that was said."""
        if self._parser is None:  # never began
            return Parse()
        said = self._parser.close()
        for event in self._parser.events_at_close:
            self._show(event)
        if said.reasoning and self._text:
            answer = self._text.rfind(said.answer)  # which may quote the mark
            self.reasoning_tokens = self._tokens_until(self._text.rfind(_END_OF_MESSAGE, 0, answer))
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
