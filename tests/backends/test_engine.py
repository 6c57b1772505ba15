import asyncio
import json
import threading
from contextlib import aclosing
from dataclasses import replace

import pytest
import torch
from PIL import Image

from firesteel.backends.base import BackendFailed, Request, complete
from firesteel.backends.engine import EngineBackend
from firesteel.format import Message, Part, render

HELLO = [Message("user", "How many red circles?")]


@pytest.fixture
def engine(checkpoint):
    others = set(threading.enumerate())  # another file's in the same process
    engine = EngineBackend(checkpoint, slots=3, context=512)
    yield engine
    asyncio.run(engine.close())
    assert not any(thread.name == "firesteel-engine" for thread in set(threading.enumerate()) - others)


@pytest.fixture
def script(monkeypatch, engine):
    """Let the model say a text, the same in all rows."""

    def say(text):
        ids = iter([*engine.tokenizer.encode(text, special=True), *[engine.tokenizer.id("<|eot|>")] * 99])
        monkeypatch.setattr(
            "firesteel.engine.engine.sample",
            lambda logits, controls, numbers: torch.full((len(logits),), next(ids)),
        )

    return say


def answers(engine, *requests):
    async def run():
        return await asyncio.gather(*(complete(engine, request) for request in requests))

    return asyncio.run(run())


def picture():
    image = Image.linear_gradient("L").convert("RGB").resize((120, 70))
    return [Message("user", [Part(text="What is"), Part(image=image), Part(text="this?")])]


def test_greedy_equals_transformers_and_llama_cpp_side_by_side(engine, reference, backend):
    long = [Message("user", "the quick brown fox counts 12 red circles and 7 blue squares " * 3)]
    conversations = [HELLO, picture(), long]
    requests = [Request(messages=messages, temperature=0, max_tokens=16, logprobs=2) for messages in conversations]
    ours, theirs = answers(engine, *requests), answers(backend, *requests)
    for messages, [sample], [other] in zip(conversations, ours, theirs, strict=True):
        rendered = render(messages, tokenizer=engine.tokenizer)
        expected = reference.greedy(rendered, 16, engine.tokenizer.eos_ids)
        assert sample.token_ids == other.token_ids == expected
        assert sample.text == other.text
        assert sample.prompt_tokens == len(rendered.ids)
        assert sample.finish_reason == other.finish_reason == ("length" if len(expected) == 16 else "stop")
        own = [(token.logprob, *(value for _, value in token.top)) for token in sample.logprobs]
        llama = [(token.logprob, *(value for _, value in token.top)) for token in other.logprobs]
        assert torch.allclose(torch.tensor(own), torch.tensor(llama), atol=2e-3)


def test_samples_follow_the_seed_whatever_else_runs(engine):
    request = Request(messages=HELLO, n=5, max_tokens=10, seed=3, logprobs=2)
    [alone] = answers(engine, request)
    again, _ = answers(engine, request, Request(messages=picture(), n=2, max_tokens=5))
    assert [sample.token_ids for sample in alone] == [sample.token_ids for sample in again]
    assert len({tuple(sample.token_ids) for sample in alone}) > 1
    for sample in alone:
        assert len(sample.logprobs) == len(sample.token_ids)
        assert all(len(token.top) == 2 and token.logprob <= token.top[0][1] for token in sample.logprobs)
    assert [sample.cached_tokens for sample in alone] == [0] + [alone[0].prompt_tokens] * 4


def test_logprobs_only_where_asked_for(engine):
    plain, own = answers(engine, *(Request(messages=HELLO, max_tokens=3, logprobs=logprobs) for logprobs in (None, 0)))
    assert plain[0].logprobs == []
    assert [token.top for token in own[0].logprobs] == [()] * len(own[0].token_ids)


def test_text_streams_in_whole_characters(engine, script):
    said = " to=user<|message|>Grüße ☕ 東京 🙂"
    script(said)

    async def run():
        return [delta async for delta in engine.stream(Request(messages=HELLO))]

    deltas = asyncio.run(run())
    assert "".join(delta.text for delta in deltas) == said + "<|eot|>"
    assert not any("\ufffd" in delta.text for delta in deltas)
    assert sum(bool(delta.token_ids) for delta in deltas) > 8
    assert [delta.finish_reason for delta in deltas] == [None] * (len(deltas) - 1) + ["stop"]


def test_stop_strings_end_the_answer_not_the_thought(engine, script):
    script(" to=self<|message|>red and<|eom|><|start|>assistant to=user<|message|>Some red and blue")
    [[sample]] = answers(engine, Request(messages=HELLO, stop=["zz", "d and"]))
    assert sample.text == " to=self<|message|>red and<|eom|><|start|>assistant to=user<|message|>Some re"
    assert sample.finish_reason == "stop"
    assert sample.prompt_tokens > 0


def test_the_budget_closes_the_thought_and_the_answer_follows(engine, script):
    script(" to=self<|message|>" + "red " * 60)
    [[sample]] = answers(engine, Request(messages=HELLO, thinking_budget=5, max_tokens=40))
    thought, answer = sample.text.split("<|eom|>")
    assert len(engine.tokenizer.encode(thought.removeprefix(" to=self<|message|>"))) == 5
    assert answer.startswith("<|start|>assistant to=user<|message|>")
    assert "red" in answer
    assert len(sample.token_ids) == 40


def test_closing_the_stream_frees_its_rows(engine):
    async def run():
        first = Request(messages=HELLO, n=3, max_tokens=400)  # all slots
        async with aclosing(engine.stream(first)) as stream:
            async for delta in stream:
                if delta.token_ids:
                    break
        task = asyncio.create_task(complete(engine, first))
        await asyncio.sleep(0)
        task.cancel()
        return await complete(engine, Request(messages=HELLO, n=3, max_tokens=2))

    samples = asyncio.run(run())
    assert [len(sample.token_ids) for sample in samples] == [2, 2, 2]
    assert not engine._worker._engine.busy


def test_closing_the_backend_ends_what_runs(engine, script):
    script(" to=user<|message|>" + "red " * 300)

    async def run():
        reasons = []
        async for delta in engine.stream(Request(messages=HELLO, n=4, max_tokens=400)):
            if not reasons:
                closing = asyncio.create_task(engine.close())
            reasons.append(delta.finish_reason)
        await closing
        return reasons

    assert asyncio.run(run())[-4:] == ["error"] * 4


def test_a_refresh_that_fails_or_comes_too_late_says_so(engine, monkeypatch):
    stopped = threading.Event()

    async def run():
        monkeypatch.setattr(engine._worker._engine, "refresh", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await engine.refresh()
        engine._worker._commands.put(stopped.wait)
        engine._worker._commands.put(None)  # the end comes before the refresh
        waiting = asyncio.create_task(engine.refresh())
        await asyncio.sleep(0)
        stopped.set()
        with pytest.raises(BackendFailed, match="has ended"):
            await waiting

    asyncio.run(asyncio.wait_for(run(), 30))


def test_once_the_engine_has_ended_everything_is_refused(engine):
    asyncio.run(engine.close())
    for attempt in (engine.refresh, lambda: complete(engine, Request(messages=HELLO))):
        with pytest.raises(BackendFailed, match="has ended"):
            asyncio.run(attempt())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"messages": [Message("user", "circles " * 600)]}, "more than the 511 that fit"),
        ({"prompt": [5] * 500, "forced": [5] * 12}, "has 512 tokens, more than the 511 that fit"),
        ({"prompt": [5], "forced": [1024]}, "Token id 1024 is outside"),
        ({"messages": HELLO, "temperature": -1}, "temperature"),
        ({"messages": HELLO, "tool_choice": "paint"}, "needs tools"),
        ({"messages": HELLO, "n": 0}, "0 samples"),
    ],
)
def test_what_cannot_be_served_is_refused(engine, options, words):
    with pytest.raises(ValueError, match=words):
        answers(engine, Request(**options))
    [[sample]] = answers(engine, Request(messages=HELLO, max_tokens=1))
    assert sample.finish_reason == "length"


def test_raw_prompts_forced_tokens_and_biases_are_as_in_llama_cpp(engine, backend):
    ids = engine.tokenizer.encode("the quick brown fox counts ☕ 12 red<|eot|> circles" * 2, special=True)
    scored = Request(prompt=ids[:4], forced=ids[4:], max_tokens=6, logprobs=2, temperature=0, n=2)
    requests = [
        scored,
        replace(scored, logprobs=None, stop=["circles"]),
        replace(scored, max_tokens=0),
        replace(scored, forced=(), max_tokens=0),
        replace(scored, logit_bias={5: 3.0, 6: 60.0, 7: 61.0, 8: -100.0}),
        replace(scored, logit_bias=dict.fromkeys(range(300, 306), 50.0), frequency_penalty=1.5),
    ]
    for ours, theirs in zip(answers(engine, *requests), answers(backend, *requests), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.token_ids == other.token_ids and one.text == other.text
            assert (one.finish_reason, one.prompt_tokens) == (other.finish_reason, other.prompt_tokens)
            logprobs = [[token.logprob for token in sample.logprobs] for sample in (one, other)]
            assert logprobs[0] == pytest.approx(logprobs[1], abs=2e-3)


def test_an_answer_is_forced_behind_messages_as_in_llama_cpp(engine, backend):
    forced = engine.tokenizer.encode(" to=user<|message|>12 red", special=True)
    for messages in (HELLO, picture()):
        scored = Request(messages=messages, forced=forced, max_tokens=4, logprobs=2, temperature=0)
        requests = [scored, replace(scored, logprobs=None), replace(scored, logprobs=None, max_tokens=0)]
        for [one], [other] in zip(answers(engine, *requests), answers(backend, *requests), strict=True):
            assert one.token_ids == other.token_ids and one.text == other.text
            assert (one.finish_reason, one.prompt_tokens) == (other.finish_reason, other.prompt_tokens)
            logprobs = [[token.logprob for token in sample.logprobs] for sample in (one, other)]
            assert logprobs[0] == pytest.approx(logprobs[1], abs=2e-3)


def test_a_schema_is_kept_after_a_thought(engine):
    pytest.importorskip("llguidance")
    schema = {"type": "object", "properties": {"n": {"enum": [1, 22, 333]}}, "required": ["n"]}
    request = Request(messages=HELLO, json_schema=schema, thinking_budget=4, max_tokens=60, n=3, seed=1)
    [samples] = answers(engine, request)
    for sample in samples:
        assert sample.finish_reason == "stop"
        answer = sample.text.split("to=user<|message|>")[1]
        assert json.loads(answer[: answer.index("<|")])["n"] in (1, 22, 333)


def test_a_directory_without_its_tokenizer_is_refused(checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        EngineBackend(tmp_path)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(checkpoint / name)
    with pytest.raises(ValueError, match="no tokenizer file"):
        EngineBackend(tmp_path)
