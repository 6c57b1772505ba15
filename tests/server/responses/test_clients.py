"""Other people's clients of responses, against a real server."""

import asyncio

import openai
import pytest
from agents import Agent, ModelSettings, OpenAIResponsesModel, RunConfig, Runner, function_tool
from pydantic import BaseModel

from tests.agent.scripted import Scripted, calls, says
from tests.server.serving import live


class Sum(BaseModel):
    total: int


def test_the_openai_sdk_asks_streams_parses_and_pages():
    script = [says("It is 4.", thought="2 and 2")] * 2 + [says('{"total": 4}')]
    with live(*script) as (url, _):
        sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="x")
        answer = sdk.responses.create(model="kindling", input="2 + 2?", reasoning={"effort": "low", "summary": "auto"})
        assert answer.output_text == "It is 4." and answer.output[0].summary[0].text == "2 and 2"
        assert answer.usage.output_tokens_details.reasoning_tokens > 0
        with sdk.responses.stream(model="kindling", input="2 + 2?") as stream:
            kinds = {event.type for event in stream}
            assert stream.get_final_response().output_text == "It is 4."
        assert {"response.reasoning_summary_text.delta", "response.output_text.delta"} <= kinds
        parsed = sdk.responses.parse(model="kindling", input="2 + 2?", text_format=Sum)
        assert parsed.output_parsed == Sum(total=4)
        (item,) = sdk.responses.input_items.list(answer.id).data
        assert item.content[0].text == "2 + 2?"
        assert sdk.responses.retrieve(answer.id).output_text == "It is 4."
        sdk.responses.delete(answer.id)
        with pytest.raises(openai.NotFoundError):
            sdk.responses.retrieve(answer.id)
        with pytest.raises(openai.BadRequestError) as refused:
            sdk.responses.create(model="kindling", input="x", previous_response_id=answer.id)
        assert refused.value.code == "previous_response_not_found"


def test_the_openai_sdk_resumes_and_cancels_the_background():
    with live(backend=Scripted(says("word " * 200), says("word " * 10), pause=0.01)) as (url, _):
        sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="x")
        long = sdk.responses.create(model="kindling", input="x", background=True)
        assert sdk.responses.cancel(long.id).status == "cancelled"
        first = []
        for event in sdk.responses.create(model="kindling", input="x", background=True, stream=True):
            first.append(event)
            if len(first) == 6:
                break
        rest = list(sdk.responses.retrieve(first[0].response.id, stream=True, starting_after=5))
        assert [event.sequence_number for event in first + rest] == list(range(6 + len(rest)))
        assert rest[-1].response.output_text == "word " * 10


def test_the_openai_sdk_keeps_conversations_and_compacts():
    with live(says("Hi Ann."), says("Ann."), says("Ann said hello.")) as (url, service):
        sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="x")
        talk = sdk.conversations.create(metadata={"of": "ann"})
        sdk.responses.create(model="kindling", input="I am Ann.", conversation=talk.id)
        assert sdk.responses.create(model="kindling", input="Who?", conversation=talk.id).output_text == "Ann."
        assert len(sdk.conversations.items.list(talk.id, order="asc").data) == 4
        compact = sdk.responses.compact(model="kindling", input="Hello from Ann.")
        assert [item.type for item in compact.output] == ["message", "compaction"]
        assert [message.text for message in service.backend.requests[1].messages] == ["I am Ann.", "Hi Ann.", "Who?"]


def test_the_openai_sdk_speaks_over_a_socket():
    with live(says("Hi Ann."), says("Ann.")) as (url, _):
        sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="x")
        with sdk.responses.connect() as connection:
            previous = None
            for question in ("I am Ann.", "Who?"):
                connection.response.create(
                    model="kindling", input=question, store=False, previous_response_id=previous or openai.omit
                )
                for event in connection:
                    if event.type in ("response.completed", "error"):
                        break
                assert event.type == "response.completed"
                previous = event.response.id
            assert event.response.output_text == "Ann."


@pytest.mark.parametrize("streaming", [False, True])
def test_an_openai_agent_uses_two_tools_and_sends_its_thoughts_back(streaming):
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

    first = " to=self<|message|>first add<|eom|><|start|>assistant" + calls(("add", {"a": "1", "b": "2"}))
    script = [first, calls(("double", {"a": "3"})), says("It is 6.")]

    async def main(url):
        sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x")
        settings = ModelSettings(store=False, response_include=["reasoning.encrypted_content"])
        agent = Agent("a", tools=[add, double], model=OpenAIResponsesModel("kindling", sdk), model_settings=settings)
        config = RunConfig(tracing_disabled=True)
        if not streaming:
            return (await Runner.run(agent, "Double 1 + 2.", run_config=config)).final_output
        result = Runner.run_streamed(agent, "Double 1 + 2.", run_config=config)
        async for _ in result.stream_events():
            pass
        return result.final_output

    with live(*script) as (url, service):
        assert asyncio.run(main(url)) == "It is 6."
        messages = service.backend.requests[-1].messages
    assert used == [("add", 1, 2), ("double", 3)]
    assert [message.reasoning for message in messages if message.role == "assistant"] == ["first add", ""]
