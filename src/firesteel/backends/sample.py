"""One sample on its way: ids in, text out, stop strings found.

Stop strings end the visible part of a turn: inside the thought and inside headers they have no effect. In a plain
continuation, which has no turns, they count everywhere. The text from the stop string on is not given out; the ids are
those that were sampled.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from functools import lru_cache

from firesteel.backends.base import Delta, TokenLogprob
from firesteel.backends.stops import Stops
from firesteel.format import Tokenizer


@lru_cache(maxsize=1 << 18)
def _bytes(tokenizer: Tokenizer, id: int) -> bytes:
    return tokenizer.token_bytes(id)


class Sample:
    """Turns the ids of sample `index` into deltas; `plain` is one that continues a prompt of token ids."""

    def __init__(
        self,
        index: int,
        tokenizer: Tokenizer,
        stop: Sequence[str] = (),
        *,
        prompt_tokens: int = 0,
        plain: bool = False,
    ) -> None:
        self.index = index
        self.finished = False
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = Stops(stop)
        self._message = tokenizer.id("<|message|>")
        self._marks = {self._message, tokenizer.id("<|eom|>"), *tokenizer.eos_ids}  # no stop string is found in these
        self._header = ""  # of the message being written; "to=self" marks a thought
        self._plain = plain
        self._body = plain  # whether stop strings count here
        self._prompt_tokens = prompt_tokens

    def force(self, ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> Delta:
        """What the sample begins with. No stop string ends it, and no token."""
        stops, self._stops = self._stops, Stops(())
        text = "".join(map(self._spelled, ids))
        self._stops = stops
        return Delta(
            index=self.index,
            text=text,
            token_ids=tuple(ids),
            logprobs=tuple(logprobs),
            prompt_tokens=self._prompt_tokens,
        )

    def feed(self, ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> Delta | None:
        """What these ids add, up to a stop string. None where there is nothing to tell."""
        assert not self.finished
        text, used = "", 0
        for id in ids:
            text += self._text(id)
            used += 1
            if self.finished:
                break
        if not used:
            return None
        return Delta(
            index=self.index,
            text=text,
            token_ids=tuple(ids[:used]),
            logprobs=tuple(logprobs[:used]),
            finish_reason="stop" if self.finished else None,
            prompt_tokens=self._prompt_tokens,
            stop_string=self._stops.word,
        )

    def end(self, reason: str, cached_tokens: int = 0) -> Delta:
        """The last delta, with what was held back."""
        text = self._stops.rest() + self._decoder.decode(b"", final=True)
        self.finished = True
        return Delta(
            index=self.index,
            text=text,
            finish_reason=reason,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=min(cached_tokens, self._prompt_tokens),
        )

    def _text(self, id: int) -> str:
        return "" if self._plain and id in self._tokenizer.eos_ids else self._spelled(id)

    def _spelled(self, id: int) -> str:
        if not self._plain and id in self._marks:
            text = self._stops.rest() + self._decoder.decode(b"", final=True) + _bytes(self._tokenizer, id).decode()
            self._decoder.reset()
            self._body = id == self._message and not self._header.endswith("to=self")
            self._header = ""
            return text
        text = self._decoder.decode(_bytes(self._tokenizer, id))
        if not self._body:
            self._header = (self._header + text)[-16:]
            return text
        text = self._stops.feed(text)
        self.finished = self._stops.found
        return text
