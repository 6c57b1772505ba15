"""Other people's clients of chat completions, against a real server."""

import asyncio
import json

import openai
import pytest
from agents import Agent, OpenAIChatCompletionsModel, RunConfig, Runner, function_tool
from pydantic import BaseModel

from tests.agent.scripted import Scripted, calls, says
from tests.server.serving import kindling, live


class Sum(BaseModel):
    total: int


def client(url, **options):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="x", **options)


def test_the_openai_sdk_asks_streams_and_parses():
    script = says("It is 4.", thought="2 and 2"), says("It is 4.", thought="2 and 2"), says('{"total": 4}')
    with live(*script) as (url, _):
        sdk = client(url)
        messages = [{"role": "user", "content": "2 + 2?"}]
        answer = sdk.chat.completions.create(model="kindling", messages=messages)
        assert answer.choices[0].message.content == "It is 4."
        assert answer.usage.completion_tokens_details.reasoning_tokens > 0
        with sdk.chat.completions.stream(model="kindling", messages=messages) as stream:
            assert stream.get_final_completion().choices[0].message.content == "It is 4."
        parsed = sdk.chat.completions.parse(model="kindling", messages=messages, response_format=Sum)
        assert parsed.choices[0].message.parsed == Sum(total=4)
        assert "kindling-contemplating" in [model.id for model in sdk.models.list()]


def test_the_openai_sdk_reads_our_errors():
    with live(says("hi")) as (url, _):
        sdk = client(url, max_retries=0)
        with pytest.raises(openai.BadRequestError) as refused:
            sdk.chat.completions.create(model="kindling", messages=[{"role": "user", "content": "x"}], temperature=9)
        assert refused.value.param == "temperature"
        with pytest.raises(openai.NotFoundError):
            sdk.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])


def test_the_openai_sdk_waits_and_tries_again_when_the_queue_is_full():
    slow = [says("word " * 40)] + [says("hi")] * 4

    async def main(url):
        sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=5)
        ask = {"model": "kindling", "messages": [{"role": "user", "content": "x"}]}
        answers = await asyncio.gather(*(sdk.chat.completions.create(**ask) for _ in range(4)))
        return [answer.choices[0].finish_reason for answer in answers]

    class Narrow(Scripted):
        slots = 1

    with live(backend=Narrow(*slow, pause=0.01), queue=1) as (url, service):
        assert asyncio.run(main(url)) == ["stop"] * 4
        assert service.admission.refused > 0


def test_an_openai_agent_uses_two_tools():
    used = []

    @function_tool
    def add(a: int, b: int) -> int:
        """Adds."""
        used.append(("add", a, b))
        return a + b

    @function_tool
    def double(a: int) -> int:
        """Doubles."""
        used.append(("double", a))
        return 2 * a

    script = calls(("add", {"a": "1", "b": "2"})), calls(("double", {"a": "3"})), says("6")

    async def main(url):
        model = OpenAIChatCompletionsModel("kindling", openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x"))
        agent = Agent(name="counter", model=model, tools=[add, double])
        quiet = RunConfig(tracing_disabled=True)
        whole = await Runner.run(agent, "(1 + 2) * 2?", run_config=quiet)
        streamed = Runner.run_streamed(agent, "(1 + 2) * 2?", run_config=quiet)
        async for _ in streamed.stream_events():
            pass
        return whole.final_output, streamed.final_output

    with live(*script, *script) as (url, _):
        assert asyncio.run(main(url)) == ("6", "6")
    assert used == [("add", 1, 2), ("double", 3)] * 2


def test_kindling_calls_the_tool_that_is_demanded_and_keeps_to_schemas():
    """The weights have never seen these tools: the grammar makes the call."""
    tools = [
        {
            "type": "function",
            "function": {
                "name": "paint",
                "parameters": {
                    "type": "object",
                    "properties": {"colour": {"enum": ["red", "blue"]}, "times": {"type": "integer"}},
                    "required": ["colour", "times"],
                },
            },
        }
    ]
    with live(backend=kindling) as (url, _):
        sdk = client(url)
        ask = {"model": "kindling", "messages": [{"role": "user", "content": "paint"}], "max_tokens": 400}
        for choice in ("required", {"type": "function", "function": {"name": "paint"}}):
            answer = sdk.chat.completions.create(**ask, tools=tools, tool_choice=choice).choices[0]
            arguments = json.loads(answer.message.tool_calls[0].function.arguments)
            assert answer.finish_reason == "tool_calls"
            assert arguments["colour"] in ("red", "blue") and isinstance(arguments["times"], int)
        parsed = sdk.chat.completions.parse(**ask, response_format=Sum, reasoning_effort="low", temperature=1.0)
        assert isinstance(parsed.choices[0].message.parsed, Sum)
