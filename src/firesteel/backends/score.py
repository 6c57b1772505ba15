"""How probable texts are to a model: the log-probabilities of continuations that it did not choose."""

from __future__ import annotations

from collections.abc import Sequence

from firesteel.backends.base import Backend, Request, TokenLogprob, complete


async def score(
    backend: Backend, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[list[TokenLogprob]]:
    """The log-probability of each token of each continuation, after the prompt and what stands before it there.

    Raises ValueError where the backend cannot tell or gives up.
    """
    # One after the other: each finds the prompt in the cache, where side by side each would have to read it.
    return [await _score(backend, prompt, continuation) for continuation in continuations]


async def _score(backend: Backend, prompt: Sequence[int], continuation: Sequence[int]) -> list[TokenLogprob]:
    request = Request(prompt=prompt, forced=continuation, max_tokens=0, logprobs=0, temperature=0)
    [sample] = await complete(backend, request)
    if len(sample.logprobs) != len(continuation):
        raise ValueError(f"{backend.name} ended before everything was scored.")
    return sample.logprobs
