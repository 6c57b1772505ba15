"""What llama.cpp is asked, and raw prompts, forced tokens, biases and penalties in it."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from PIL import Image

from firesteel.backends import llama_body
from firesteel.backends.base import Completion, Request, complete
from firesteel.backends.gguf import GGUFBackend
from firesteel.format import Message, Part, Rendered, render

TEXT = "the quick brown fox counts 12 red circles; Grüße, ☕ 東京 𝄞<|eot|> and 7<|eom|> blue\0 squares"


SEEN = [
    Message("user", [Part(text="Is it"), Part(image=Image.linear_gradient("L").resize((90, 60))), Part(text="a fox?")])
]
TORN, QU = 100, [80, 84]  # a byte of a character, and letters that a tokenizer would join


def run(backend: GGUFBackend, request: Request) -> list[Completion]:
    return asyncio.run(complete(backend, request))


def rendered(ids: list[int]) -> Rendered:
    return Rendered(ids, [], "", [], [])


@pytest.fixture(scope="module")
def ids(backend) -> list[int]:
    return backend.tokenizer.encode(TEXT * 3, special=True)


def test_a_raw_prompt_is_continued_as_it_stands(backend, reference, ids):
    request = Request(prompt=ids, temperature=0, max_tokens=30, logprobs=0)
    [sample] = run(backend, request)
    assert sample.token_ids == reference.greedy(rendered(ids), 30, backend.tokenizer.eos_ids)
    assert sample.prompt_tokens == len(ids) and len(sample.logprobs) == len(sample.token_ids)
    assert sample.text == b"".join(map(backend.tokenizer.token_bytes, sample.token_ids)).decode("utf-8", "replace")
    stop = sample.text[5:8]
    [cut] = run(backend, replace(request, stop=[stop]))
    assert cut.text == sample.text[: sample.text.index(stop)]
    assert cut.finish_reason == "stop" and cut.cached_tokens > len(ids) // 2


def test_the_token_that_ends_a_raw_continuation_has_no_text(backend):
    end = backend.tokenizer.id("<|eot|>")
    [sample] = run(backend, Request(prompt=[5], forced=[end, 6], temperature=0, max_tokens=9, logit_bias={end: 100}))
    assert sample.token_ids == [end, 6, end] and sample.finish_reason == "stop"
    assert sample.text == "<|eot|>" + backend.tokenizer.token_bytes(6).decode()


def test_logprobs_of_forced_tokens_are_those_of_the_whole_forward_pass(backend, reference, ids):
    # Ends of turns, torn characters and a zero byte are among them.
    [sample] = run(backend, Request(prompt=ids[:1], forced=ids[1:], max_tokens=0, logprobs=2))
    assert sample.token_ids == ids[1:] and sample.text == TEXT.removeprefix("the") + TEXT * 2
    assert (sample.finish_reason, sample.prompt_tokens, sample.cached_tokens) == ("length", 1, 0)
    expected = reference.logprobs(rendered(ids[:1]), ids[1:])
    for token, found, row in zip(ids[1:], sample.logprobs, expected, strict=True):
        assert found.logprob == pytest.approx(row[token].item(), abs=1e-3)
        assert [value for _, value in found.top] == pytest.approx(row.topk(2).values.tolist(), abs=1e-3)


def test_a_piece_is_made_when_the_one_before_was_scored(backend, monkeypatch, ids):
    """Each holds all the tokens before it: together they would be as many as the square of the text."""
    told, longer, events = [], backend._longer, backend._events
    monkeypatch.setattr(backend, "_longer", lambda *given: (told.append("made"), longer(*given))[1])
    monkeypatch.setattr(backend, "_events", lambda *given: (told.append("asked"), events(*given))[1])
    run(backend, Request(prompt=ids[:1], forced=ids[1:40], max_tokens=0, logprobs=0))
    assert len(told) > 4 and told == ["made", "asked"] * (len(told) // 2)


@pytest.mark.parametrize("messages", [SEEN, [Message("user", "the quick brown fox")]], ids=["picture", "text"])
def test_an_answer_is_forced_behind_messages(backend, reference, messages):
    asked, tokenizer = render(messages, tokenizer=backend.tokenizer), backend.tokenizer
    forced = tokenizer.encode(" to=user<|message|>12 red<|eot|>", special=True)
    for logprobs in (None, 1):
        request = Request(messages=messages, forced=forced, max_tokens=0, logprobs=logprobs, temperature=0, stop=["1"])
        [sample] = run(backend, request)
        assert sample.token_ids == forced and sample.parse().answer == "12 red"
        assert (sample.finish_reason, sample.prompt_tokens) == ("length", len(asked.ids))
    rows = reference.logprobs(asked, forced)
    for id, found, row in zip(forced, sample.logprobs, rows, strict=True):
        assert found.logprob == pytest.approx(row[id].item(), abs=2e-3)
    begun = replace(request, forced=forced[:-1], max_tokens=5, stop=[])
    longer = Rendered([*asked.ids, *forced[:-1]], [], "", asked.images, [])
    expected = reference.greedy(longer, 5, tokenizer.eos_ids)
    for logprobs in (None, 1):
        [sample] = run(backend, replace(begun, logprobs=logprobs))
        assert sample.token_ids == forced[:-1] + expected


def test_hundreds_of_tokens_are_forced_and_then_it_goes_on(backend, reference, ids):
    long = [id for id in ids if id < 800] * 10
    for logprobs in (None, 0):
        request = Request(prompt=long[:7], forced=long[7:700], n=2, temperature=0, max_tokens=6, logprobs=logprobs)
        expected = reference.greedy(rendered(long[:700]), 6, backend.tokenizer.eos_ids)
        for sample in run(backend, request):
            assert sample.token_ids == long[7:700] + expected
            assert sample.prompt_tokens == 7 and sample.cached_tokens <= 7
            assert len(sample.logprobs) == (0 if logprobs is None else len(sample.token_ids))


def test_nothing_to_generate_is_an_end(backend, ids):
    for forced in ([], ids[3:9]):
        [sample] = run(backend, Request(prompt=ids[:3], forced=forced, max_tokens=0))
        assert (sample.token_ids, sample.finish_reason) == (forced, "length")


def test_a_bias_adds_to_a_logit_and_leaves_the_log_probability(backend, ids):
    free = Request(prompt=ids, temperature=0, max_tokens=1, logprobs=2)
    [[sample]] = [run(backend, free)]
    (best, _), (second, _) = sample.logprobs[0].top
    gap = sample.logprobs[0].top[0][1] - sample.logprobs[0].top[1][1]
    for bias, chosen in (
        ({second: gap + 0.1}, second),
        ({second: gap - 0.1}, best),
        ({best: -100, second: -100.0}, None),
        ({17: 100}, 17),
    ):
        [found] = run(backend, replace(free, logit_bias=bias))
        assert found.token_ids == [chosen] if chosen is not None else found.token_ids[0] not in (best, second)
        assert found.logprobs[0].top == sample.logprobs[0].top


@pytest.mark.parametrize("penalty", ["presence_penalty", "frequency_penalty"])
def test_penalties_lower_what_was_generated_and_not_what_was_asked(backend, penalty):
    # Seven tokens may be said, of which three stand in the prompt.
    said, prompt = [300, 301, 302, 303, 304, 305, 306], [300, 300, 301, 302, 300]
    request = Request(prompt=prompt, temperature=0, max_tokens=14, logit_bias=dict.fromkeys(said, 50.0))
    [first] = run(backend, replace(request, max_tokens=1))
    [sample] = run(backend, replace(request, **{penalty: 2.0}))
    assert sample.token_ids[0] == first.token_ids[0]
    counts = Counter(run(backend, request)[0].token_ids)
    assert len(Counter(sample.token_ids)) > len(counts)


def test_what_llama_cpp_counts_in_the_prompt_is_given_back(backend):
    request = Request(prompt=[5], presence_penalty=1.0, frequency_penalty=0.5, logit_bias={7: 3.0, 8: -100, 9: -2})
    asked = llama_body.body(request, backend.tokenizer, [7, 7, 8, 6], 20)
    assert asked["samplers"] == ["penalties", "min_p", "temperature", "top_k", "top_p"] and asked["repeat_last_n"] == 24
    assert sorted(asked["logit_bias"]) == [[6, 1.5], [7, 5.0], [8, False], [9, -2.0]]
    plain = llama_body.body(Request(), backend.tokenizer, [7], 20)
    assert "logit_bias" not in plain and "repeat_last_n" not in plain


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_what_is_left_out_before_drawing_is_never_drawn(backend, temperature, monkeypatch):
    request = Request(prompt=[5, 9], temperature=temperature, max_tokens=60, seed=11, n=4)
    drawn = [sample.token_ids for sample in run(backend, request)]
    monkeypatch.setattr(llama_body, "_NEVER", 0.0)
    assert [sample.token_ids for sample in run(backend, request)] == drawn
    monkeypatch.setattr(llama_body, "_NEVER", 0.9)
    assert [sample.token_ids for sample in run(backend, request)] != drawn


def test_every_token_has_its_log_probability_under_masks_and_budgets(backend):
    schema = {"type": "object", "properties": {"n": {"enum": [1, 22, 333]}}, "required": ["n"]}
    ask = [Message("user", [Part(text="fox"), Part(image=Image.new("RGB", (40, 40), "red"))])]
    request = Request(messages=ask, json_schema=schema, thinking_budget=4, max_tokens=60, seed=3, n=3, logprobs=0)
    for sample in run(backend, request):
        assert len(sample.logprobs) == len(sample.token_ids) > 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": []}, "empty prompt"),
        ({"prompt": [5000]}, "Token id 5000 is outside the vocabulary"),
        ({"prompt": [5], "forced": [-1]}, "Token id -1"),
        ({"prompt": [5], "logit_bias": {1024: 1.0}}, "Token id 1024"),
        ({"prompt": [5], "logit_bias": {4: 101}}, "between -100 and 100"),
        ({"prompt": [5], "presence_penalty": 2.5}, "between -2 and 2"),
        ({"prompt": [5], "max_tokens": -1}, "negative"),
        ({"prompt": [5], "messages": [Message("user", "fox")]}, "stands alone"),
        ({"prompt": [5], "tool_choice": "required"}, "stands alone"),
        ({"messages": [Message("user", "fox")], "forced": [5], "thinking_budget": 3}, "without a schema"),
        ({"messages": SEEN, "forced": QU, "max_tokens": 3}, "whole words"),
        ({"messages": SEEN, "forced": [TORN, 5], "max_tokens": 0, "logprobs": 0}, "whole words"),
    ],
)
def test_unusable_requests_are_refused(backend, options, words):
    with pytest.raises(ValueError, match=words):
        run(backend, Request(**options))


def test_a_longer_context_than_the_model_says(files):
    long = GGUFBackend(*files, slots=1, context=4096, threads=1)  # the file says 2048
    assert (long.context, long.slots) == (4096, 1)
    text = [Message("user", "fox " * 2200)]
    [sample] = run(long, Request(messages=text, temperature=0, max_tokens=5))
    assert sample.prompt_tokens == len(render(text, tokenizer=long.tokenizer).ids) > 2048
    assert len(sample.token_ids) == 5
    asyncio.run(long.close())
