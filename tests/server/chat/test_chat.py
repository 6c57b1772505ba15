"""Chat completions, asked of a model that says what is written here."""

import asyncio
import base64
import io
import json
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

from firesteel.backends import Delta, TokenLogprob
from firesteel.format import Tokenizer
from tests.agent.scripted import Scripted, calls, says
from tests.server.serving import events_of, kindling, live, serving

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
ASK = {"model": "kindling", "messages": [{"role": "user", "content": "hello"}]}


def post(*lines, backend=None, path="/v1/chat/completions", settings=None, **body):
    async def main():
        async with serving(*lines, backend=backend, **(settings or {})) as client:
            return await client.post(path, json=ASK | body)

    return asyncio.run(main())


def chunks(*lines, **body):
    answer = post(*lines, stream=True, **body)
    assert answer.status_code == 200, answer.text
    return [data for _, data in events_of(answer.text)]


def asked(*lines, **body):
    """The requests that reached the model."""
    model = Scripted(*lines)
    answer = post(backend=model, **body)
    assert answer.status_code == 200, answer.text
    return model.requests


def refused(**body):
    answer = post(says("hi"), **body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and error["message"]
    return error


def picture():
    data = io.BytesIO()
    Image.new("RGB", (56, 56), "red").save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def test_an_answer_with_its_thought_under_both_names_and_its_usage():
    body = post(says("It is 4.", thought="2 and 2")).json()
    message = body["choices"][0]["message"]
    assert message["content"] == "It is 4."
    assert message["reasoning"] == message["reasoning_content"] == "2 and 2"
    assert body["choices"][0]["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["prompt_tokens"] == 10
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]


def test_a_stream_says_the_same_as_the_whole_answer():
    said = chunks(says("It is 4.", thought="2 and 2"))
    assert said[-1] == "[DONE]"
    deltas = [chunk["choices"][0]["delta"] for chunk in said[:-1]]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(delta.get("content") or "" for delta in deltas) == "It is 4."
    assert "".join(delta.get("reasoning", "") for delta in deltas) == "2 and 2"
    assert all(delta.get("reasoning") == delta.get("reasoning_content") for delta in deltas)
    assert [chunk["choices"][0]["finish_reason"] for chunk in said[:-1]][-1] == "stop"


def test_usage_is_streamed_only_on_request_in_a_chunk_of_its_own():
    assert all("usage" not in chunk for chunk in chunks(says("hi"))[:-1])
    said = chunks(says("hi"), stream_options={"include_usage": True})
    assert said[-2]["choices"] == [] and said[-2]["usage"]["prompt_tokens"] == 10
    assert all(chunk["usage"] is None for chunk in said[:-2])


def test_calls_of_the_callers_tools_end_the_turn():
    body = post(calls(("add", {"a": "1", "b": "2"})), tools=[ADD]).json()
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["type"] == "function" and call["id"]
    assert call["function"]["name"] == "add" and json.loads(call["function"]["arguments"]) == {"a": 1, "b": 2}


def test_a_call_is_streamed_as_its_name_and_then_its_arguments():
    said = chunks(calls(("add", {"a": "1", "b": "2"}), ("add", {"a": "3", "b": "4"})), tools=[ADD])
    deltas = [d for chunk in said[:-1] for d in chunk["choices"][0]["delta"].get("tool_calls", ())]
    first, second = deltas[0], deltas[1]
    assert first["function"] == {"name": "add", "arguments": ""} and first["id"] and first["index"] == 0
    assert json.loads(second["function"]["arguments"]) == {"a": 1, "b": 2} and "id" not in second
    assert [delta["index"] for delta in deltas] == [0, 0, 1, 1]
    assert len({delta["id"] for delta in deltas if "id" in delta}) == 2


def test_the_result_of_a_call_reaches_the_model_with_the_thought_before_it():
    call = {"id": "call_0", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    history = [
        {"role": "user", "content": "add"},
        {"role": "assistant", "content": None, "reasoning_content": "I add", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0", "content": "3"},
    ]
    (request,) = asked(says("3"), messages=history, tools=[ADD])
    _, assistant, result = request.messages
    assert assistant.reasoning == "I add" and assistant.tool_calls[0].arguments == {"a": 1, "b": 2}
    assert result.text == "3" and result.tool_call_id == "call_0"


def test_without_parallel_calls_there_is_one():
    two = calls(("add", {"a": "1", "b": "2"}), ("add", {"a": "3", "b": "4"}))
    body = post(two, tools=[ADD], parallel_tool_calls=False).json()
    assert len(body["choices"][0]["message"]["tool_calls"]) == 1
    assert body["choices"][0]["finish_reason"] == "tool_calls"


def test_pictures_are_read_and_counted():
    parts = [{"type": "image_url", "image_url": {"url": picture()}}, {"type": "text", "text": "what?"}]
    model = Scripted(says("red"))
    body = post(backend=model, messages=[{"role": "user", "content": parts}]).json()
    assert model.requests[0].messages[0].images[0].size == (56, 56)
    assert body["usage"]["prompt_tokens_details"]["image_tokens"] == 4


def test_several_choices_are_one_request_to_the_model():
    model = Scripted(says("one"), says("two"), says("three"))
    body = post(backend=model, n=3).json()
    assert [request.n for request in model.requests] == [3]
    assert [choice["message"]["content"] for choice in body["choices"]] == ["one", "two", "three"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]


def test_names_and_effort_choose_how_much_is_thought():
    assert asked(says("hi"), model="kindling-instant")[0].strength == 1
    assert asked(says("hi"), reasoning_effort="none")[0].strength == 0
    assert asked(says("hi"), reasoning_effort="xhigh")[0].strength == 512
    assert asked(says("hi"), reasoning_effort=77)[0].strength == 77
    assert asked(says("hi"))[0].strength == 256


def test_contemplating_streams_its_agents_and_returns_the_ledger():
    lines = [says("4", thought="a"), says("4", thought="b"), says("5", thought="c")]
    body = {"model": "kindling-contemplating", "firesteel": {"agents": 3}, "stream_options": {"include_usage": True}}
    said = chunks(*lines, **body)
    progress = [chunk["firesteel"] for chunk in said[:-1] if "firesteel" in chunk]
    assert {step["agent"] for step in progress if step["kind"] == "reasoning"} <= {1, 2, 3}
    assert any(step["kind"] == "vote" and step["data"]["clusters"][0]["answer"] == "4" for step in progress)
    content = "".join(c["choices"][0]["delta"].get("content") or "" for c in said[:-1] if c["choices"])
    assert content == "4"
    usage = said[-2]["usage"]
    assert usage["firesteel"]["ledger"]["agents_started"] == 3
    assert usage["completion_tokens"] == usage["firesteel"]["ledger"]["total_tokens"] > 0


def test_contemplating_agrees_on_the_callers_tool():
    call = calls(("add", {"a": "1", "b": "2"}))
    body = post(
        call, call, says("3"), model="kindling-contemplating", firesteel={"agents": 3}, tools=[ADD], stream=False
    ).json()
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    assert body["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "add"


def test_a_tool_that_runs_here_is_told_and_its_result_used():
    model = Scripted(calls(("zoom", {"image": "1"})), says("done"))
    parts = [{"type": "image_url", "image_url": {"url": picture()}}, {"type": "text", "text": "look"}]
    answer = post(
        backend=model,
        messages=[{"role": "user", "content": parts}],
        stream=True,
        tools=[{"type": "firesteel:zoom"}, {"type": "web_search"}],
    )
    said = [data for _, data in events_of(answer.text)][:-1]
    kinds = [chunk["firesteel"]["kind"] for chunk in said if "firesteel" in chunk]
    assert "tool_started" in kinds and "tool_finished" in kinds
    assert not any("tool_calls" in c["choices"][0]["delta"] for c in said if c["choices"])
    content = "".join(c["choices"][0]["delta"].get("content") or "" for c in said if c["choices"])
    assert content == "done" and len(model.requests) == 2


def test_calls_of_our_own_tools_are_not_the_callers():
    mixed = calls(("zoom", {"image": "1"}), ("add", {"a": "1", "b": "2"}))
    body = post(mixed, tools=[ADD, {"type": "firesteel:zoom"}]).json()
    assert [call["function"]["name"] for call in body["choices"][0]["message"]["tool_calls"]] == ["add"]


def test_sampling_options_reach_the_model():
    options = {"temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": "x", "max_completion_tokens": 9}
    options |= {"logit_bias": {"5": -100}, "presence_penalty": 0.5, "frequency_penalty": 0.25}
    (request,) = asked(says("hi"), **options)
    assert (request.temperature, request.top_p, request.seed, request.stop) == (0.5, 0.9, 3, ("x",))
    assert request.max_tokens == 9 and request.logit_bias == {5: -100}
    assert (request.presence_penalty, request.frequency_penalty) == (0.5, 0.25)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    (request,) = asked(says("{}"), response_format=format, tool_choice="required", tools=[ADD])
    assert request.json_schema == schema and request.tool_choice == "required"
    (request,) = asked(says("{}"), tool_choice={"type": "function", "function": {"name": "add"}}, tools=[ADD])
    assert request.tool_choice == "add"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", []),
        ("messages", [{"role": "wizard", "content": "x"}]),
        ("temperature", 3),
        ("top_p", 0),
        ("n", 0),
        ("n", 1000),
        ("max_tokens", 0),
        ("logit_bias", {"a": 1}),
        ("logit_bias", {"1": 1000}),
        ("top_logprobs", 21),
        ("reasoning_effort", "enormous"),
        ("response_format", {"type": "json_schema"}),
        ("tool_choice", "perhaps"),
        ("stop", ["x"] * 17),
        ("stop", "x" * 1001),
        ("stream", "maybe"),
        ("firesteel", {"agents": 0}),
        ("firesteel", {"mode": "dreaming"}),
    ],
)
def test_a_wrong_value_is_told_by_its_name(field, value):
    assert field.split(".")[0] in (refused(**{field: value})["param"] or "")


def test_unknown_fields_and_tools_are_left_alone():
    body = {"frobnicate": 1, "tools": [{"type": "mystery", "x": 1}], "user": "me", "service_tier": "auto"}
    assert post(says("hi"), **body).status_code == 200


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x.png", "file:///etc/passwd", "data:image/png,abc", "data:;base64,!"]
)
def test_pictures_from_elsewhere_are_refused(url):
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    assert refused(messages=[{"role": "user", "content": parts}])["param"] == "messages.0.content.0"


def test_an_unknown_model_is_not_found():
    answer = post(says("hi"), model="gpt-4")
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "model_not_found"


def test_aliases_answer():
    assert post(says("hi"), model="gpt-5-x", settings={"aliases": ("gpt-5-x",)}).json()["model"] == "gpt-5-x"


def test_what_fails_on_the_way_is_an_event_of_the_stream():
    class Breaking(Scripted):
        async def stream(self, request):
            yield Delta(text=" to=user<|message|>half", token_ids=(1,))
            yield Delta(finish_reason="error")

    answer = post(backend=Breaking(), stream=True)
    *_, error, end = [data for _, data in events_of(answer.text)]
    assert error["error"]["type"] == "server_error" and end == "[DONE]"


def test_what_fails_at_once_is_a_status():
    class Refusing(Scripted):
        async def stream(self, request):
            raise ValueError("The schema cannot be enforced.")
            yield

    answer = post(backend=Refusing(), stream=True)
    assert answer.status_code == 400 and "schema" in answer.json()["error"]["message"]


def test_logprobs_are_those_of_the_answer():
    class Certain(Scripted):
        tokenizer = Tokenizer.default()

        async def stream(self, request):
            text = " to=self<|message|>hm<|eom|><|start|>assistant to=user<|message|>yes<|eot|>"
            for id in self.tokenizer.encode(text, special=True):
                piece = self.tokenizer.token_bytes(id).decode()
                yield Delta(text=piece, token_ids=(id,), logprobs=(TokenLogprob(logprob=-0.5, top=((id, -0.5),)),))
            yield Delta(finish_reason="stop", prompt_tokens=3)

    whole = post(backend=Certain(), logprobs=True, top_logprobs=1).json()["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in whole) == "yes"
    assert all(token["logprob"] == -0.5 and len(token["top_logprobs"]) == 1 for token in whole)
    answer = post(backend=Certain(), logprobs=True, stream=True)
    pieces = [data for _, data in events_of(answer.text)][:-1]
    found = [t["token"] for c in pieces for t in (c["choices"][0]["logprobs"] or {}).get("content", ())]
    assert "".join(found) == "yes"


def test_a_client_that_leaves_ends_the_work():
    model = Scripted(*[says("word " * 2000)] * 2, pause=0.005)
    with live(backend=model) as (url, service), httpx.Client() as client:
        with client.stream("POST", f"{url}/v1/chat/completions", json=ASK | {"stream": True}) as answer:
            lines = answer.iter_lines()
            next(lines)
            assert model.running == 1
        with pytest.raises(httpx.ReadTimeout):
            client.post(f"{url}/v1/chat/completions", json=ASK, timeout=0.3)
        for _ in range(100):
            if not model.running and not service.admission.running:
                break
            time.sleep(0.05)
        assert model.running == 0 and service.admission.slots.free == service.admission.slots.total
        (used,) = asyncio.run(service.store.usage())
        assert used.requests == 2 and used.completion_tokens > 0, "what was generated for nobody is billed too"


def test_kindling_answers_about_a_picture():
    chart = Path(__file__).parents[3] / "examples" / "chart.png"
    url = "data:image/png;base64," + base64.b64encode(chart.read_bytes()).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "how much more is L than M?"}]
    format = {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    }

    async def main():
        async with serving(backend=kindling()) as client:
            first = await client.post(
                "/v1/chat/completions", json=ASK | {"messages": [{"role": "user", "content": parts}]}, timeout=60
            )
            second = await client.post(
                "/v1/chat/completions", json=ASK | {"response_format": format, "logprobs": True}, timeout=60
            )
            return first.json(), second.json()

    first, second = asyncio.run(main())
    message = first["choices"][0]["message"]
    assert message["reasoning"] and message["content"]
    assert first["usage"]["prompt_tokens_details"]["image_tokens"] > 0
    json.loads(second["choices"][0]["message"]["content"])
    assert second["choices"][0]["logprobs"]["content"]


def test_a_kept_completion_can_be_read_again_and_deleted():
    async def main():
        async with serving(says("one"), says("two"), says("three")) as client:
            path = "/v1/chat/completions"
            whole = (await client.post(path, json=ASK | {"store": True, "metadata": {"k": "v"}})).json()
            await client.post(path, json=ASK | {"store": True, "stream": True})
            await client.post(path, json=ASK)
            page = (await client.get(path, params={"limit": 1})).json()
            for limit in ("0", "101", "x", "9" * 5000):
                wrong = await client.get(path, params={"limit": limit})
                assert wrong.status_code == 400 and wrong.json()["error"]["param"] == "limit"
            assert page["has_more"] and page["data"][0]["choices"][0]["message"]["content"] == "two"
            kept = (await client.get(f"{path}/{whole['id']}")).json()
            assert kept == whole | {"metadata": {"k": "v"}}
            changed = (await client.post(f"{path}/{whole['id']}", json={"metadata": {"k": "w"}})).json()
            assert changed["metadata"] == {"k": "w"}
            (message,) = (await client.get(f"{path}/{whole['id']}/messages")).json()["data"]
            assert message["content"] == "hello"
            assert (await client.delete(f"{path}/{whole['id']}")).json()["deleted"]
            assert (await client.get(f"{path}/{whole['id']}")).status_code == 404

    asyncio.run(main())
