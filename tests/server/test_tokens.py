import asyncio

import pytest

from firesteel.format import Message, render
from tests.agent.scripted import Scripted
from tests.server.plain import Plain
from tests.server.serving import serving

TURN = [{"role": "user", "content": "Sort: 3, <|eot|> 1."}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def post(path, backend=None, **body):
    async def run():
        async with serving(backend=backend or Plain()) as client:
            return await client.post(path, json=body), client.service.backend.tokenizer

    return asyncio.run(run())


def test_a_prompt_is_read_as_completions_read_it():
    response, tokenizer = post("/tokenize", model="kindling", prompt="<|eot|> é")
    told = response.json()
    assert told["tokens"] == [tokenizer.id("<|begin_of_text|>"), *tokenizer.encode("<|eot|> é")]
    assert tokenizer.id("<|eot|>") not in told["tokens"]
    assert told["count"] == len(told["tokens"]) and told["max_model_len"] == 1024 and told["token_strs"] is None


def test_no_begin_of_text_where_none_is_wanted():
    response, tokenizer = post("/tokenize", prompt="a b", add_special_tokens=False, return_token_strs=True)
    assert response.json()["tokens"] == tokenizer.encode("a b")
    assert "".join(response.json()["token_strs"]) == "a b"


@pytest.mark.parametrize(("model", "strength"), [("kindling", 256), ("kindling-instant", 1)])
def test_messages_are_read_as_chat_reads_them(model, strength):
    response, tokenizer = post("/tokenize", model=model, messages=TURN, tools=[TOOL])
    tool = {"type": "function", "function": {"name": "look", "description": "", "parameters": {"type": "object"}}}
    assert response.json()["tokens"] == render([Message("user", TURN[0]["content"])], [tool], strength, tokenizer).ids


def test_a_conversation_may_end_without_the_models_header():
    whole, open_ended = (
        post("/tokenize", messages=TURN, add_generation_prompt=wanted)[0].json()["tokens"] for wanted in (False, True)
    )
    assert open_ended[: len(whole)] == whole and len(open_ended) > len(whole)


def test_tokens_come_back_as_text():
    _, tokenizer = post("/tokenize", prompt="a")
    ids = [tokenizer.id("<|begin_of_text|>"), *tokenizer.encode("Grüße ☃")]
    assert post("/detokenize", tokens=ids)[0].json() == {"prompt": "<|begin_of_text|>Grüße ☃"}


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {}, 400, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": TURN}, 400, "prompt"),
        ("/tokenize", {"prompt": "a", "model": "other"}, 404, "model"),
        ("/tokenize", {"messages": [{"role": "tool", "content": "x"}]}, 400, "messages"),
        ("/tokenize", {"messages": TURN, "reasoning_effort": "huge"}, 400, "reasoning_effort"),
        ("/detokenize", {"tokens": [10**9]}, 400, "tokens"),
        ("/detokenize", {"tokens": [-1]}, 400, "tokens"),
        ("/detokenize", {"tokens": "abc"}, 400, "tokens"),
    ],
)
def test_wrong_values_are_told_by_name(path, body, status, param):
    response, _ = post(path, **body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_a_model_elsewhere_has_no_tokens_here(path):
    response, _ = post(path, backend=Scripted(), prompt="a", tokens=[1])
    assert (response.status_code, response.json()["error"]["code"]) == (400, "no_tokenizer")


def test_the_tokenizer_tells_its_ends():
    async def run():
        async with serving(backend=Plain()) as client:
            return (await client.get("/tokenizer_info")).json(), client.service.backend.tokenizer

    told, tokenizer = asyncio.run(run())
    assert tokenizer.id(told["bos_token"]) == told["bos_token_id"]
    assert tokenizer.id(told["eos_token"]) == told["eos_token_id"]
