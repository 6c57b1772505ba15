"""A backend that continues every prompt with the same text, and gives given words the scores that a test wrote down."""

import asyncio
from dataclasses import replace

from firesteel.backends import Delta
from firesteel.backends.base import ContextExceeded, TokenLogprob
from firesteel.format import Tokenizer, render


class Plain:
    """`scores` are log-probabilities of forced texts (default -9); a generated token has -0.5, its rival -1."""

    name, context, slots, parallel = "plain", 1024, 4, True

    def __init__(self, text="", scores=None, pause=0.0, broken=False):
        self.tokenizer = Tokenizer.default()
        self.text, self.scores, self.pause, self.broken = text, scores or {}, pause, broken
        self.requests, self.running = [], 0

    async def stream(self, request):
        self.requests.append(request)
        known = [*self.read(request), *request.forced]
        if len(known) >= self.context:
            raise ContextExceeded(len(known), self.context - 1)
        self.running += 1
        try:
            for index in range(request.n):
                async for delta in self._sample(request):
                    yield replace(delta, index=index)
        finally:
            self.running -= 1

    def read(self, request):
        """The ids of the prompt."""
        if request.prompt is not None:
            return request.prompt
        return render(request.messages, (), request.strength, self.tokenizer).ids

    async def _sample(self, request):
        if request.forced:
            words = self.tokenizer.decode(request.forced)
            score = self.scores.get(words.rpartition("<|message|>")[2].removesuffix("<|eot|>"), -9.0)
            logprobs = [TokenLogprob(logprob=value) for value in (*[0.0] * (len(request.forced) - 1), score)]
            yield Delta(text=words, token_ids=tuple(request.forced), logprobs=tuple(logprobs))
        ids = self.tokenizer.encode(self.text)
        for id in ids[: request.max_tokens]:
            await asyncio.sleep(self.pause)
            if self.broken:
                yield Delta(finish_reason="error")
                return
            logprob = TokenLogprob(logprob=-0.5, top=((id, -0.5), (id + 1, -1.0)))
            yield Delta(text=self.tokenizer.decode([id]), token_ids=(id,), logprobs=(logprob,))
        reason = "length" if request.max_tokens < len(ids) else "stop"
        yield Delta(finish_reason=reason, prompt_tokens=len(self.read(request)), cached_tokens=1)

    async def close(self):
        pass
