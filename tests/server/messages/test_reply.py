"""Answers in the words of Messages, whole and streamed."""

from importlib.resources import files

import pytest
from llm_comply.schema import SpecLoader

from firesteel.backends import Delta
from tests.agent.scripted import Scripted, calls, says
from tests.server.messages.posting import ADD, THINK, answered, folded, post, streamed
from tests.server.serving import events_of

SPEC = SpecLoader(str(files("llm_comply") / "specs" / "anthropic.json"))
SCHEMAS = {
    "message_start": "MessageStartEvent",
    "content_block_start": "ContentBlockStartEvent",
    "content_block_delta": "ContentBlockDeltaEvent",
    "content_block_stop": "ContentBlockStopEvent",
    "message_delta": "MessageDeltaEvent",
    "message_stop": "MessageStopEvent",
}
COMMENTED = " to=commentary<|message|>Let me add.<|eom|><|start|>assistant" + calls(("add", {"a": "1", "b": "2"}))


def names(events):
    return [name if name != "content_block_delta" else data["delta"]["type"] for name, data in events]


@pytest.mark.parametrize("line", [says("It is 4.", thought="2 and 2"), COMMENTED, says("")])
def test_answers_and_events_have_the_form_that_anthropic_published(line):
    assert SPEC.validate(answered(line, thinking=THINK, tools=[ADD]), "Message") == []
    for name, data in streamed(line, thinking=THINK, tools=[ADD]):
        assert SPEC.validate(data, SCHEMAS[name]) == [], (name, data)


@pytest.mark.parametrize("line", [says("It is 4.", thought="2 and 2"), COMMENTED])
@pytest.mark.parametrize("display", ["summarized", "omitted"])
def test_a_stream_says_the_same_as_the_whole_answer(line, display):
    thinking = THINK | {"display": display}
    whole = answered(line, thinking=thinking, tools=[ADD])
    told = folded(streamed(line, thinking=thinking, tools=[ADD]))
    for message in (whole, told):
        ids = [message.pop("id"), *(block.pop("id") for block in message["content"] if block["type"] == "tool_use")]
        assert all(ids)
    assert whole["content"] and told == whole


def test_a_thought_is_a_block_with_a_signature_before_the_text():
    body = answered(says("It is 4.", thought="2 and 2"), thinking=THINK)
    thought, text = body["content"]
    assert thought["type"] == "thinking" and thought["thinking"] == "2 and 2" and thought["signature"]
    assert text == {"type": "text", "text": "It is 4.", "citations": None}
    assert body["stop_reason"] == "end_turn" and body["stop_sequence"] is None


def test_events_come_in_the_order_of_the_reference():
    events = streamed(says("4", thought="2"), thinking=THINK)
    assert names(events) == [
        "message_start",
        "content_block_start",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [data["index"] for _, data in events if "index" in data] == [0, 0, 0, 0, 1, 1, 1]


def test_a_ping_follows_the_start():
    events = events_of(post(says("4"), stream=True).text)
    assert events[1] == ("ping", {"type": "ping"})


def test_omitted_thoughts_leave_a_block_without_text():
    events = streamed(says("4", thought="2 and 2"), thinking=THINK | {"display": "omitted"})
    assert names(events)[1:4] == ["content_block_start", "signature_delta", "content_block_stop"]
    assert answered(says("4", thought="2"), thinking=THINK | {"display": "omitted"})["content"][0]["thinking"] == ""


def test_those_who_do_not_ask_for_thoughts_get_text_only():
    assert [block["type"] for block in answered(says("4", thought="2 and 2"))["content"]] == ["text"]
    assert "thinking_delta" not in names(streamed(says("4", thought="2 and 2")))


@pytest.mark.parametrize(
    "body", [{"model": "kindling-thinking"}, {"firesteel": {"mode": "thinking"}}, {"output_config": {"effort": "low"}}]
)
def test_a_mode_or_an_effort_shows_thoughts_too(body):
    assert answered(says("4", thought="2 and 2"), **body)["content"][0]["type"] == "thinking"


def test_calls_are_blocks_and_end_the_turn():
    two = calls(("add", {"a": "1", "b": "2"}), ("add", {"a": "3", "b": "4"}))
    body = answered(two, tools=[ADD])
    first, second = body["content"]
    assert body["stop_reason"] == "tool_use"
    assert first["type"] == "tool_use" and first["name"] == "add" and first["input"] == {"a": 1, "b": 2}
    assert second["input"] == {"a": 3, "b": 4} and first["id"] != second["id"]
    starts = [data["content_block"] for name, data in streamed(two, tools=[ADD]) if name == "content_block_start"]
    assert [block["input"] for block in starts] == [{}, {}]


def test_an_answer_cut_at_its_most_tokens_says_so():
    class Cut(Scripted):
        async def stream(self, request):
            yield Delta(text=" to=user<|message|>one two", token_ids=(1, 2))
            yield Delta(finish_reason="length", prompt_tokens=10)

    body = answered(backend=Cut())
    assert body["stop_reason"] == "max_tokens" and body["content"][0]["text"] == "one two"


def test_usage_counts_cached_tokens_apart_and_thoughts_within_the_output():
    class Cached(Scripted):
        async def stream(self, request):
            yield Delta(text=" to=self<|message|>2 and 2<|eom|>", token_ids=(1, 2, 3))
            yield Delta(text="<|start|>assistant to=user<|message|>4<|eot|>", token_ids=(4, 5))
            yield Delta(finish_reason="stop", prompt_tokens=10, cached_tokens=7)

    usage = answered(backend=Cached())["usage"]
    assert usage["input_tokens"] == 3 and usage["cache_read_input_tokens"] == 7
    assert usage["output_tokens"] == 5 and usage["output_tokens_details"] == {"thinking_tokens": 3}
    events = dict(streamed(backend=Cached()))
    assert events["message_delta"]["usage"] == usage
    assert events["message_start"]["message"]["usage"]["input_tokens"] > 0


def test_a_model_that_fails_before_its_first_word_gets_a_status():
    class Refuses(Scripted):
        async def stream(self, request):
            raise ValueError("There are no words.")
            yield

    answer = post(backend=Refuses(), stream=True)
    assert answer.status_code == 400 and answer.json()["error"]["message"].endswith("There are no words.")


def test_a_model_that_fails_later_ends_the_stream_with_an_error():
    class Breaks(Scripted):
        async def stream(self, request):
            yield Delta(text=" to=user<|message|>one two three", token_ids=(1,))
            yield Delta(finish_reason="error")

    answer = post(backend=Breaks(), stream=True)
    name, last = events_of(answer.text)[-1]
    assert name == last["type"] == "error" and last["error"]["type"] == "api_error"
    assert last["request_id"] == answer.headers["request-id"]


def test_tools_that_run_here_leave_no_blocks_but_are_told_on_the_way():
    zoom = calls(("zoom", {"region": "0,0,1,1"}))
    events = streamed(zoom, says("Nothing to see."), firesteel={"tools": ["zoom"]})
    progress = [data for name, data in events if name == "firesteel_progress"]
    assert {"tool_started", "tool_finished"} <= {data["kind"] for data in progress}
    told = folded([event for event in events if event[0] != "firesteel_progress"])
    assert [block["type"] for block in told["content"]] == ["text"] and told["stop_reason"] == "end_turn"


def test_a_contemplating_answer_tells_its_agents_and_its_ledger():
    lines = [says("4", thought="2 and 2")] * 3
    events = streamed(*lines, model="kindling-contemplating", firesteel={"agents": 3})
    progress = [data for name, data in events if name == "firesteel_progress"]
    assert {data["agent"] for data in progress if data["kind"] == "reasoning"} == {1, 2, 3}
    told = folded([event for event in events if event[0] != "firesteel_progress"])
    assert [block.get("thinking") or block.get("text") for block in told["content"]] == ["2 and 2", "4"]
    assert told["usage"]["firesteel"]["ledger"]["agents_started"] == 3
    assert told["usage"]["output_tokens"] == told["usage"]["firesteel"]["ledger"]["total_tokens"]


class Stopped(Scripted):
    async def stream(self, request):
        yield Delta(text=" to=user<|message|>one ", token_ids=(1, 2))
        yield Delta(text="two", finish_reason="stop", prompt_tokens=10, stop_string="END")


def test_the_stop_sequence_that_was_found_is_told():
    body = answered(backend=Stopped(), stop_sequences=["END"])
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "END")
    delta = dict(streamed(backend=Stopped(), stop_sequences=["END"]))["message_delta"]["delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == ("stop_sequence", "END")
