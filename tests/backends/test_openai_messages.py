"""What is sent to servers, and what is done about what they refuse."""

import asyncio
import json

import pytest
from PIL import Image

from firesteel.backends.base import Request, complete
from firesteel.backends.openai import OpenAIBackend
from firesteel.backends.openai_messages import Dialect, body, effort
from firesteel.format import Message, Part, ToolCall
from tests.backends.server import ASK, Server, answer, named, refusal, said, serve, sse

RED = Image.new("RGB", (4, 3), (255, 0, 0))
SEEN = [
    Message("system", "be brief"),
    Message("user", [Part(text="what is"), Part(image=RED), Part(text="that?")]),
    Message(
        "assistant", "", "look closer", "I zoom.", [ToolCall("zoom", {"n": 1}, "a"), ToolCall("zoom", {"n": 2}, "b")]
    ),
    Message("tool", [Part(text="crop "), Part(image=RED)], name="zoom", tool_call_id="b"),
    Message("tool", "nothing", name="zoom", tool_call_id="a"),
    Message("developer", "go on"),
]


def test_a_conversation_is_sent_with_its_pictures_where_they_stand():
    sent = body(Request(messages=SEEN), Dialect(), 1, None)["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert [part["type"] for part in sent[1]["content"]] == ["text", "image_url", "text"]
    assert sent[1]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert [part["type"] for part in sent[3]["content"]] == ["text", "image_url"]
    first, second = sent[2]["tool_calls"]
    assert (sent[3]["tool_call_id"], sent[4]["tool_call_id"]) == (second["id"], first["id"])
    assert json.loads(second["function"]["arguments"]) == {"n": 2}
    assert all(len(call["id"]) == 9 and call["id"].isalnum() for call in (first, second))  # as Mistral wants them
    assert (sent[0]["content"], sent[2]["content"], sent[4]["content"]) == ("be brief", "I zoom.", "nothing")


def test_options_are_sent_in_the_words_of_the_interface():
    tools = [named("f"), named("g")]
    request = Request(
        messages=ASK, tools=tools, strength=256, max_tokens=9, temperature=0, top_p=0.5, top_k=3, json_schema={"a": 1}
    )
    sent = body(request, Dialect(), 2, 11)
    assert sent["response_format"]["json_schema"]["schema"] == {"a": 1}
    assert (sent["n"], sent["seed"], sent["temperature"], sent["top_p"], sent["top_k"]) == (2, 11, 0, 0.5, 3)
    assert (sent["reasoning_effort"], sent["max_tokens"], "tool_choice" in sent) == ("high", 9, False)
    assert sent["stream_options"] == {"include_usage": True}
    assert not {"logit_bias", "presence_penalty", "frequency_penalty"} & set(sent)
    bent = Request(messages=ASK, logit_bias={5: -100, 6: 2.5}, presence_penalty=0.5, frequency_penalty=-1)
    bends = body(bent, Dialect(), 1, None)
    assert bends["logit_bias"] == {"5": -100, "6": 2.5}
    assert (bends["presence_penalty"], bends["frequency_penalty"]) == (0.5, -1)
    assert sent["tools"] == tools
    for choice, expected in [
        ("required", "required"),
        ("g", {"type": "function", "function": {"name": "g"}}),
    ]:
        assert (
            body(Request(messages=ASK, tools=tools, tool_choice=choice), Dialect(), 1, None)["tool_choice"] == expected
        )
    assert "tools" not in body(Request(messages=ASK, tools=tools, tool_choice="none"), Dialect(), 1, None)


@pytest.mark.parametrize(
    "messages",
    [
        [Message("system", [Part(image=RED)])],
        [Message("assistant", [Part(image=RED)])],
        [Message("tool", "5", name="f")],
        [Message("assistant", tool_calls=[ToolCall("f", {}, "a")]), Message("tool", "5", name="g", tool_call_id="b")],
    ],
)
def test_conversations_that_cannot_be_said_are_refused(messages):
    with pytest.raises(ValueError):
        body(Request(messages=messages), Dialect(), 1, None)


# What servers refuse


@pytest.mark.parametrize(
    "refused",
    [
        refusal(400, "Unknown parameter: 'top_k'.", "top_k"),
        refusal(400, "Unrecognized request argument supplied: top_k"),
        refusal(400, "property 'top_k' is unsupported"),
        (
            422,
            {},
            [b'{"detail":[{"type":"extra_forbidden","loc":["body","top_k"],"msg":"Extra inputs are not permitted"}]}'],
        ),
    ],
)
def test_an_unknown_parameter_is_left_out_from_then_on(refused, caplog):
    async def main():
        async with Server(refused, answer("yes")) as server:
            backend = OpenAIBackend(server.url, "m")
            for _ in range(2):
                (sample,) = await complete(backend, Request(messages=ASK, top_k=5, top_p=0.9, seed=3))
                assert sample.parse().answer == "yes"
            await backend.close()
            return server.bodies

    first, *others = asyncio.run(main())
    assert (first.pop("top_k"), others) == (5, [first, first])
    assert "top_k" in caplog.text


def test_a_parameter_with_a_bad_value_is_not_left_out():
    with pytest.raises(ValueError, match="between 0 and 2"):
        serve(refusal(400, "temperature must be between 0 and 2", "temperature"))


@pytest.mark.parametrize("name", ["tools", "response_format", "tool_choice"])
def test_what_decides_the_meaning_of_an_answer_is_never_left_out(name):
    request = Request(messages=ASK, tools=[named("f")], tool_choice="f", json_schema={"type": "object"})
    with pytest.raises(ValueError, match=name):
        serve(refusal(400, f"Unknown parameter: '{name}'.", name), request=request)


def test_max_tokens_gets_its_newer_name():
    refused = refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens")
    _, server = serve(refused, answer("yes"), request=Request(messages=ASK, max_tokens=77))
    assert "max_tokens" not in server.bodies[1]
    assert server.bodies[1]["max_completion_tokens"] == 77


def test_strength_becomes_the_nearest_word_that_the_server_takes():
    assert [effort(s) for s in (0, 1, 2, 16, 64, 65, 300, 512)] == [
        *("none", "minimal", "low", "low", "medium", "high", "xhigh", "xhigh")
    ]

    def reply(sent):
        word = sent.get("reasoning_effort")
        if word in ("none", "minimal"):
            return refusal(400, f"Unsupported value: 'reasoning_effort' does not support '{word}' with this model.")
        return answer(str(word))

    (sample,), server = serve(reply, request=Request(messages=ASK, strength=1))
    assert (sample.parse().answer, len(server.requests)) == ("low", 3)

    def knows_none(sent):
        if "reasoning_effort" in sent:
            return refusal(400, "Unrecognized request argument supplied: reasoning_effort")
        return answer("no word")

    (sample,), server = serve(knows_none)
    assert (sample.parse().answer, len(server.requests)) == ("no word", 2)


def test_names_with_dots_are_written_plainly_where_a_server_demands_it():
    def reply(sent):
        name = sent["tools"][0]["function"]["name"]
        if "." in name:
            message = "Invalid 'tools[0].function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'."
            return refusal(400, message, "tools[0].function.name")
        assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == name
        call = {"index": 0, "id": "x", "function": {"name": name, "arguments": "{}"}}
        return sse(said(tool_calls=[call]), said(finish_reason="tool_calls"))

    messages = [*ASK, Message("assistant", tool_calls=[ToolCall("box.run", {})]), Message("tool", "ok", name="box.run")]
    (sample,), _ = serve(reply, request=Request(messages=messages, tools=[named("box.run")]))
    assert [call.name for call in sample.parse().tool_calls] == ["box.run"]
    with pytest.raises(ValueError, match="Two tools"):
        tools = [named("box.run"), named("box__run")]
        serve(refusal(400, "tools[0].function.name does not match pattern"), request=Request(messages=ASK, tools=tools))


def test_a_picture_that_is_refused_in_a_result_follows_in_a_framed_user_message():
    def reply(sent):
        if any(m["role"] == "tool" and not isinstance(m["content"], str) for m in sent["messages"]):
            return refusal(400, "'messages.3' : for 'role:tool' the value must be a string")
        return answer("red")

    async def main():
        async with Server(reply) as server:
            backend = OpenAIBackend(server.url, "m")
            for _ in range(2):
                await complete(backend, Request(messages=SEEN))
            await backend.close()
            return server.bodies

    bodies = asyncio.run(main())
    assert len(bodies) == 3  # refused, framed, framed at once
    sent = bodies[-1]["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "tool", "user", "user"]
    assert sent[3]["content"] == "crop [picture 1 of this result follows below]"
    opening, picture, closing = sent[5]["content"]
    assert opening["text"] == f'<tool_output name="zoom" tool_call_id="{sent[3]["tool_call_id"]}" picture="1">'
    assert picture["type"] == "image_url"
    assert closing["text"] == "</tool_output>"


def test_a_server_that_refuses_pictures_everywhere_is_not_taken_to_want_frames():
    async def main():
        async with Server(refusal(400, "this model cannot see")) as server:
            backend = OpenAIBackend(server.url, "m")
            with pytest.raises(ValueError, match="cannot see"):
                await complete(backend, Request(messages=SEEN))
            await backend.close()
            return backend._dialect, len(server.requests)

    assert asyncio.run(main()) == (Dialect(), 2)


def test_thoughts_go_back_under_the_name_under_which_they_came_unless_refused():
    def reply(sent):
        if any("reasoning_content" in message for message in sent["messages"]) and len(sent["messages"]) > 6:
            return refusal(400, "Extra inputs are not permitted: reasoning_content")
        return sse(said(reasoning_content="hm"), said(content="yes"), said(finish_reason="stop"))

    async def main():
        async with Server(reply) as server:
            backend = OpenAIBackend(server.url, "m")
            for messages in (SEEN, SEEN, [*SEEN, *ASK], SEEN):
                await complete(backend, Request(messages=messages))
            await backend.close()
            return [sent["messages"][2].get("reasoning_content") for sent in server.bodies]

    assert asyncio.run(main()) == [None, "look closer", "look closer", None, None]
