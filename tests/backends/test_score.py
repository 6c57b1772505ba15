"""Scores on the packaged model."""

import asyncio
import math

import pytest

from firesteel.backends import Request, complete, open_backend
from firesteel.backends.score import score
from tests.agent.scripted import Scripted, says


@pytest.fixture(scope="module")
def kindling():
    backend = open_backend(slots=2, context=1024, threads=2)
    yield backend
    asyncio.run(backend.close())


def test_scores_are_those_of_a_free_greedy_run(kindling):
    prompt = kindling.tokenizer.encode("The quick brown fox")
    [free] = asyncio.run(complete(kindling, Request(prompt=prompt, temperature=0, max_tokens=12, logprobs=0)))
    [scored, other] = asyncio.run(score(kindling, prompt, [free.token_ids, [5, 6, 7]]))
    assert [token.logprob for token in scored] == pytest.approx([token.logprob for token in free.logprobs], abs=0.05)
    assert len(other) == 3 and other[0].logprob < scored[0].logprob


def test_a_next_token_is_as_probable_as_its_score_says(kindling):
    """All alternatives of one place together are certain, and the best come first."""
    prompt = kindling.tokenizer.encode("2 + 2 =")
    size = kindling.tokenizer.vocab_size
    [sample] = asyncio.run(complete(kindling, Request(prompt=prompt, temperature=0, max_tokens=1, logprobs=size)))
    top = dict(sample.logprobs[0].top)
    assert sum(map(math.exp, top.values())) == pytest.approx(1, abs=1e-3)
    tried = [*list(top)[:3], 4000, kindling.tokenizer.id("<|eot|>")]
    found = asyncio.run(score(kindling, prompt, [[id] for id in tried]))
    assert [token.logprob for [token] in found] == pytest.approx([top[id] for id in tried], abs=0.05)


def test_nothing_scores_nothing_and_a_long_prompt_is_read_once(kindling):
    prompt = kindling.tokenizer.encode("one two three four five six seven eight nine ten " * 30)
    assert asyncio.run(score(kindling, prompt, [])) == []
    assert asyncio.run(score(kindling, prompt, [[]])) == [[]]
    request = Request(prompt=prompt, forced=[5, 6], max_tokens=0, logprobs=0)

    async def twice():
        await score(kindling, prompt, [[7]])
        return await complete(kindling, request)

    [sample] = asyncio.run(twice())
    assert sample.cached_tokens > len(prompt) - 20


def test_a_backend_that_tells_no_log_probabilities_is_refused():
    with pytest.raises(ValueError, match="scripted ended before"):
        asyncio.run(score(Scripted(says("x")), [1], [[2]]))
