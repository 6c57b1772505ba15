"""Anthropic's Python SDK, against a real server whose model is scripted."""

import anthropic
import pytest

from tests.agent.scripted import Scripted, calls, says
from tests.server.messages.posting import ADD, THINK
from tests.server.serving import live

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def asking():
    """A client of a server whose model says these lines, and the model."""
    servers = []

    def ask(*lines, **settings):
        model = Scripted(*lines)
        server = live(backend=lambda: model, **settings)
        url, _ = server.__enter__()
        servers.append(server)
        return anthropic.Anthropic(base_url=url, api_key="x", max_retries=0), model

    yield ask
    for server in servers:
        server.__exit__(None, None, None)


def test_create(asking):
    client, _ = asking(says("It is 4.", thought="2 and 2"))
    message = client.messages.create(model="kindling", max_tokens=100, messages=HELLO, thinking=THINK)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[1].text == "It is 4." and message.usage.output_tokens > 0
    assert message._request_id


def test_the_stream_helper_puts_the_message_together(asking):
    client, _ = asking(says("It is 4.", thought="2 and 2"))
    with client.messages.stream(model="kindling", max_tokens=100, messages=HELLO, thinking=THINK) as stream:
        assert "".join(stream.text_stream) == "It is 4."
        message = stream.get_final_message()
    assert message.content[0].thinking == "2 and 2" and message.content[0].signature
    assert message.stop_reason == "end_turn" and message.usage.input_tokens == 10


def test_the_stream_helper_lets_progress_pass(asking):
    client, _ = asking(*[says("4", thought="2 and 2")] * 3)
    extra = {"firesteel": {"mode": "contemplating", "agents": 3}}
    with client.messages.stream(model="kindling", max_tokens=100, messages=HELLO, extra_body=extra) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_message()
    assert "firesteel_progress" in kinds and message.content[-1].text == "4"


def test_a_loop_with_two_tools(asking):
    client, model = asking(
        calls(("add", {"a": "1", "b": "2"})), calls(("double", {"x": "3"})), says("It is 6.", thought="so")
    )
    double = ADD | {"name": "double", "input_schema": {"type": "object", "properties": {"x": {"type": "integer"}}}}
    work = {"add": lambda a, b: a + b, "double": lambda x: 2 * x}
    messages = [{"role": "user", "content": "Add 1 and 2, double it."}]
    while True:
        message = client.messages.create(
            model="kindling", max_tokens=100, messages=messages, tools=[ADD, double], thinking=THINK
        )
        messages.append({"role": "assistant", "content": message.content})
        if message.stop_reason != "tool_use":
            break
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": str(work[block.name](**block.input))}
            for block in message.content
            if block.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})
    assert message.content[-1].text == "It is 6."
    assert [m.text for m in model.requests[-1].messages if m.role == "tool"] == ["3", "6"]


def test_the_tool_runner(asking):
    client, _ = asking(calls(("shout", {"word": "hi"})), says("HI it is."))

    @anthropic.beta_tool
    def shout(word: str) -> str:
        """Says it loudly."""
        return word.upper()

    runner = client.beta.messages.tool_runner(model="kindling", max_tokens=100, messages=HELLO, tools=[shout])
    assert runner.until_done().content[0].text == "HI it is."


def test_count_tokens(asking):
    client, _ = asking()
    messages = [{"role": "user", "content": "x" * 400}]
    assert client.messages.count_tokens(model="kindling", messages=messages).input_tokens == 100


def test_structured_output(asking):
    from pydantic import BaseModel

    class Sum(BaseModel):
        total: int

    client, model = asking(says('{"total": 4}'))
    parsed = client.messages.parse(model="kindling", max_tokens=100, messages=HELLO, output_format=Sum)
    assert parsed.parsed_output == Sum(total=4)
    assert model.requests[0].json_schema["properties"]["total"]["type"] == "integer"


def test_errors_are_the_kinds_of_the_sdk(asking):
    client, _ = asking()
    with pytest.raises(anthropic.NotFoundError) as error:
        client.messages.create(model="claude", max_tokens=100, messages=HELLO)
    assert error.value.request_id and error.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="kindling", max_tokens=0, messages=HELLO)
