import asyncio
import math

import openai
import pytest

from tests.agent.scripted import Scripted
from tests.server.plain import Plain
from tests.server.serving import events_of, kindling, live, serving

PATH = "/v1/completions"
TEXT = " one two three four"


@pytest.fixture(scope="module")
def model():
    """The openai SDK, and behind it the packaged model."""
    with live(backend=kindling) as (url, service):
        yield openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0), service.backend.tokenizer


def ask(backend, headers=None, settings=None, **body):
    """The response, and the service."""

    async def run():
        async with serving(backend=backend, headers=headers, **(settings or {})) as client:
            return await client.post(PATH, json={"model": "kindling", **body}), client.service

    return asyncio.run(run())


def test_a_text_and_its_token_ids_are_continued_alike(model):
    client, tokenizer = model
    prompt = "Sort from small to large: 9, 4, 7."
    ids = [tokenizer.id("<|begin_of_text|>"), *tokenizer.encode(prompt)]
    texts = [
        client.completions.create(model="kindling", prompt=given, max_tokens=8, temperature=0).choices[0].text
        for given in (prompt, ids)
    ]
    assert texts[0] == texts[1] != ""


def test_scoring_what_was_generated_gives_the_same_log_probabilities(model):
    client, tokenizer = model
    ids = [tokenizer.id("<|begin_of_text|>"), *tokenizer.encode("Find the largest: 3, 9.")]
    made = client.completions.create(model="kindling", prompt=ids, max_tokens=4, temperature=0, logprobs=2).choices[0]
    said = tokenizer.encode(made.text)
    scored = client.completions.create(model="kindling", prompt=[*ids, *said], max_tokens=0, echo=True, logprobs=2)
    told = scored.choices[0].logprobs
    assert told.token_logprobs[0] is None and told.top_logprobs[0] is None
    assert told.tokens[len(ids) :] == made.logprobs.tokens[: len(said)]
    for scored_one, made_one in zip(told.token_logprobs[len(ids) :], made.logprobs.token_logprobs, strict=False):
        assert math.isclose(scored_one, made_one, abs_tol=0.05)
    # What was chosen greedily is the best of its alternatives: how lm-eval tells.
    pairs = zip(made.logprobs.token_logprobs, made.logprobs.top_logprobs, strict=True)
    assert all(chosen == max(top.values()) for chosen, top in pairs)
    assert scored.usage.completion_tokens == 0 and scored.usage.prompt_tokens == len(ids) + len(said)


def test_offsets_are_where_the_tokens_stand(model):
    client, _ = model
    text = "Grüße aus ☃ nowhere"
    told = client.completions.create(model="kindling", prompt=text, max_tokens=3, echo=True, logprobs=0).choices[0]
    assert told.text.startswith(text)
    offsets, tokens = told.logprobs.text_offset, told.logprobs.tokens
    assert tokens[0] == "<|begin_of_text|>" and offsets[:2] == [0, 0]
    assert any(token.startswith("bytes:\\x") for token in tokens)
    for token, at in list(zip(tokens, offsets, strict=True))[1:]:
        assert token.startswith("bytes:") or told.text.startswith(token, at) or token.startswith("<|")
    assert all(set(top) == {token} for token, top in zip(tokens[1:], told.logprobs.top_logprobs[1:], strict=True))


def test_a_stop_string_ends_the_text(model):
    client, _ = model
    whole = client.completions.create(model="kindling", prompt="Sort: 3, 2, 1.", max_tokens=12, temperature=0)
    stop = whole.choices[0].text[2:4]
    cut = client.completions.create(model="kindling", prompt="Sort: 3, 2, 1.", max_tokens=12, temperature=0, stop=stop)
    assert cut.choices[0].text == whole.choices[0].text.partition(stop)[0]
    assert cut.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stop", ["x" * 1001, ["x"] * 17])
def test_more_stop_strings_than_anybody_needs_are_refused(stop):
    answer, _ = ask(Plain("a"), prompt="x", stop=stop)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "stop"


def test_a_stream_says_what_the_whole_says(model):
    client, _ = model
    asked = {"model": "kindling", "prompt": ["One two", "Sort: 2, 1."], "max_tokens": 5, "temperature": 0, "echo": True}
    asked |= {"n": 2, "logprobs": 1}
    whole = client.completions.create(**asked)
    texts, tokens, last = [""] * 4, [[] for _ in range(4)], None
    for chunk in client.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        last = chunk
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            tokens[choice.index] += choice.logprobs.tokens if choice.logprobs else []
    assert texts == [choice.text for choice in whole.choices]
    assert tokens == [choice.logprobs.tokens for choice in whole.choices]
    assert last.choices == [] and last.usage.completion_tokens == whole.usage.completion_tokens == 20


def test_choices_come_in_the_order_of_the_prompts():
    response, service = ask(Plain(TEXT), prompt=["a", "b"], n=2, max_tokens=2)
    told = response.json()
    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2, 3]
    assert {choice["text"] for choice in told["choices"]} == {" one two"}
    assert [choice["finish_reason"] for choice in told["choices"]] == ["length"] * 4
    assert told["usage"]["prompt_tokens"] == 4 and told["usage"]["completion_tokens"] == 8
    assert told["usage"]["prompt_tokens_details"]["cached_tokens"] == 2
    assert [request.n for request in service.backend.requests] == [2, 2]


def test_control_strings_in_a_text_stay_text():
    response, service = ask(Plain(TEXT), prompt="<|eot|>", max_tokens=1, echo=True)
    begin, *rest = service.backend.requests[0].prompt
    tokenizer = service.backend.tokenizer
    assert begin == tokenizer.id("<|begin_of_text|>") and tokenizer.id("<|eot|>") not in rest
    assert response.json()["choices"][0]["text"] == "<|eot|> one"


def test_echo_alone_asks_no_model():
    response, service = ask(Plain(TEXT), prompt="as it is", max_tokens=0, echo=True)
    assert response.json()["choices"] == [{"index": 0, "text": "as it is", "logprobs": None, "finish_reason": "length"}]
    assert service.backend.requests == []


def test_what_is_asked_reaches_the_backend():
    _, service = ask(
        Plain(TEXT),
        prompt="x",
        temperature=0.5,
        top_p=0.9,
        top_k=-1,
        seed=7,
        stop="\n",
        logit_bias={"5": -100},
        presence_penalty=1,
        frequency_penalty=-1,
        logprobs=3,
        best_of=5,
        suffix="left alone",
    )
    request = service.backend.requests[0]
    assert (request.temperature, request.top_p, request.top_k, request.seed) == (0.5, 0.9, 0, 7)
    assert (request.stop, request.logit_bias, request.logprobs, request.max_tokens) == (("\n",), {5: -100}, 3, 16)
    assert (request.presence_penalty, request.frequency_penalty) == (1, -1)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt.0"),
        ({"prompt": [["a"]]}, "prompt.0"),
        ({"prompt": ["a", 1]}, "prompt.1"),
        ({"prompt": [True]}, "prompt.0"),
        ({"prompt": {"text": "a"}}, "prompt"),
        ({"prompt": [10**9]}, "prompt"),
        ({"prompt": [[1], [-1]]}, "prompt.1"),
        ({"prompt": "word " * 1200}, "prompt"),
        ({"prompt": ["a"] * 9, "n": 2}, "n"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": "a", "temperature": 3}, "temperature"),
        ({"prompt": "a", "logit_bias": {"1": 101}}, None),
    ],
)
def test_wrong_values_are_told_by_name(body, param):
    response, service = ask(Plain(TEXT), **body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert not service.admission.running


def test_an_unknown_model_and_one_without_tokens_are_refused():
    assert ask(Plain(), model="other", prompt="a")[0].status_code == 404
    refused = ask(Scripted(), prompt="a")[0]
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_tokenizer")


def test_what_is_not_done_in_time_ends_as_it_is():
    response, service = ask(Plain(TEXT * 50, pause=0.02), prompt="a", max_tokens=200, settings={"seconds": 0.3})
    choice = response.json()["choices"][0]
    assert choice["finish_reason"] == "length" and choice["text"].startswith(" one")
    assert 0 < response.json()["usage"]["completion_tokens"] < 200
    assert not service.backend.running


def test_a_model_that_fails_is_told_in_the_stream_too():
    whole, _ = ask(Plain(TEXT, broken=True), prompt="a")
    assert (whole.status_code, whole.json()["error"]["code"]) == (502, "backend_failed")
    stream, _ = ask(Plain(TEXT, broken=True), prompt="a b", echo=True, logprobs=1, stream=True)
    *_, (_, error), (_, done) = events_of(stream.text)
    assert error["error"]["code"] == "backend_failed" and done == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_served_is_a_status_before_anything_is_said(stream):
    response, _ = ask(Plain(TEXT), prompt="word " * 1200, echo=True, stream=stream)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_a_full_server_sends_away():
    async def run():
        async with serving(backend=Plain(TEXT, pause=0.05), queue=0) as client:
            body = {"model": "kindling", "prompt": ["a"] * 4}
            first = asyncio.create_task(client.post(PATH, json=body))
            while not client.service.admission.running:
                await asyncio.sleep(0.01)
            return await client.post(PATH, json=body), await first

    refused, served = asyncio.run(run())
    assert (refused.status_code, served.status_code) == (429, 200)
    assert int(refused.headers["retry-after"]) >= 1


def test_rights_and_usage_hold_as_everywhere():
    async def run():
        async with serving(backend=Plain(TEXT)) as client:
            store = client.service.store
            _, instant = await store.create_key(owner="ann", name="i", modes=("instant",))
            key, any_mode = await store.create_key(owner="ben", name="b")
            body = {"model": "kindling", "prompt": "a b", "max_tokens": 2}
            answers = [
                await client.post(PATH, json=body, headers={"authorization": f"Bearer {secret}"})
                for secret in (instant, any_mode)
            ]
            return answers, key, await store.usage(owner="ben"), client.service.metrics.text().decode()

    (refused, served), key, [used], metrics = asyncio.run(run())
    assert refused.json()["error"]["code"] == "mode_not_allowed" and served.status_code == 200
    assert (used.key, used.prompt_tokens, used.completion_tokens) == (key.id, 3, 2)
    assert 'vllm:generation_tokens_total{model_name="kindling"} 2.0' in metrics
