"""The streaming events, against the specification's own schemas."""

import json
from pathlib import Path

import llm_comply
import pytest
from llm_comply.schema import SpecLoader

from firesteel.backends.base import Delta, TokenLogprob
from tests.agent.scripted import Scripted, calls, says
from tests.server.responses.asking import WEATHER, kinds, picture, streamed, talk

SPEC = SpecLoader(str(Path(llm_comply.__file__).parent / "specs" / "openresponses.json"))
SCHEMAS = {
    schema["properties"]["type"]["enum"][0]: name
    for name, schema in SPEC._spec["components"]["schemas"].items()
    if name.endswith("StreamingEvent")
}
THOUGHTFUL = says("It is 4.", thought="two and two")


def stream(*lines, settings=None, **body):
    @talk(*lines, **(settings or {}))
    async def events(client, ask):
        return streamed(await ask(**{"input": "x", "stream": True} | body))

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def check(events):
    for event in events:
        assert SPEC.validate(event, SCHEMAS[event["type"]]) == [], event


def test_thoughts_and_words_come_in_the_order_of_the_specification():
    events = stream(THOUGHTFUL)
    check(events)
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert len(deltas) > 1 and "".join(deltas) == "It is 4."
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"]
    assert done[0]["summary"] == [{"type": "summary_text", "text": "two and two"}]


@pytest.mark.parametrize(
    ("dialect", "name"), [("openai", "response.reasoning_text"), ("open-responses", "response.reasoning")]
)
def test_raw_thoughts_speak_the_dialect_that_the_operator_chose(dialect, name):
    events = stream(THOUGHTFUL, settings={"raw_reasoning": dialect})
    thought = "".join(event["delta"] for event in events if event["type"] == f"{name}.delta")
    (done,) = [event["text"] for event in events if event["type"] == f"{name}.done"]
    assert thought == done == "two and two"
    item = events[-1]["response"]["output"][0]
    assert item["content"] == [{"type": "reasoning_text", "text": "two and two"}] and item["summary"] == []
    if dialect == "open-responses":
        check(events)


def test_commentary_and_the_answer_are_messages_of_their_own():
    line = " to=commentary<|message|>Let me see.<|eom|><|start|>assistant to=user<|message|>Four.<|eot|>"
    events = stream(line)
    check(events)
    output = events[-1]["response"]["output"]
    assert [(item["phase"], item["content"][0]["text"]) for item in output] == [
        ("commentary", "Let me see."),
        ("final_answer", "Four."),
    ]


def test_a_call_comes_with_its_arguments_and_its_namespace():
    line = calls(("sky.get_weather", {"city": "Oslo"}))
    events = stream(line, tools=[{"type": "namespace", "name": "sky", "tools": [WEATHER, {"type": "custom"}]}])
    arguments = "".join(event["delta"] for event in events if event["type"].endswith("arguments.delta"))
    (item,) = events[-1]["response"]["output"]
    assert json.loads(arguments) == json.loads(item["arguments"]) == {"city": "Oslo"}
    assert (item["type"], item["name"], item["namespace"], item["status"]) == (
        "function_call",
        "get_weather",
        "sky",
        "completed",
    )
    check(stream(calls(("get_weather", {"city": "Oslo"})), tools=[WEATHER]))


def test_a_contemplating_answer_streams_its_agents_and_returns_the_ledger():
    events = stream(*[says("4")] * 3, model="kindling-contemplating", firesteel={"agents": 3})
    progress = [event for event in events if event["type"] == "firesteel:progress"]
    assert {event["agent"] for event in progress} >= {1, 2, 3} and "vote" in {event["kind"] for event in progress}
    response = events[-1]["response"]
    assert response["usage"]["firesteel"]["ledger"]["agents_started"] == 3
    assert [item["content"][0]["text"] for item in response["output"]] == ["4"]
    check([event for event in events if event["type"] != "firesteel:progress"])


def test_an_answer_without_a_word_is_an_empty_message():
    (item,) = stream(says(""))[-1]["response"]["output"]
    assert item["type"] == "message" and item["content"][0]["text"] == ""


def test_log_probabilities_come_with_the_words_that_they_belong_to():
    class Letters:
        """One token a character."""

        eos_ids = (-2,)

        def id(self, control):
            return {"<|message|>": -1, "<|eot|>": -2, "<|eom|>": -3}[control]

        def token_bytes(self, id):
            return chr(id).encode()

    class Sure(Scripted):
        tokenizer = Letters()

        async def stream(self, request):
            control = {"<|message|>": -1, "<|eot|>": -2}
            for piece in [*" to=user", "<|message|>", "h", "i", "<|eot|>"]:
                id = control.get(piece) or ord(piece)
                yield Delta(text=piece, token_ids=(id,), logprobs=(TokenLogprob(logprob=-0.5, top=((id, -0.5),)),))
            yield Delta(finish_reason="stop", prompt_tokens=10)

    body = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    events = stream(settings={"backend": Sure()}, **body)
    told = [event["logprobs"] for event in events if event["type"] == "response.output_text.delta"]
    assert [token["token"] for part in told for token in part] == ["h", "i"]
    (item,) = events[-1]["response"]["output"]
    assert [token["token"] for token in item["content"][0]["logprobs"]] == ["h", "i"]
    check(events)


def test_agents_tell_their_tokens_and_the_pictures_of_their_tools():
    look = calls(("zoom", {"img": "0", "bbox_2d": "[0, 0, 500, 500]"}))
    shown = [{"role": "user", "content": [{"type": "input_image", "image_url": picture(size=(300, 300))}]}]
    extras = {"mode": "contemplating", "agents": 1, "tools": ["zoom"]}
    events = stream(look, says("34"), input=shown, firesteel=extras)
    progress = [event for event in events if event["type"] == "firesteel:progress"]
    (made,) = [event["pictures"] for event in progress if event["kind"] == "tool_finished"]
    assert [url.partition(",")[0] for url in made] == ["data:image/png;base64"]
    counted = [event["data"]["completion_tokens"] for event in progress if event["kind"] == "message"]
    assert len(counted) == 2 and all(counted)
