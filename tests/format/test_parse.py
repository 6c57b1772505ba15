"""The parser against hard cases, each whole and in chunks of 1, 3 and 17 characters."""

import pytest

from firesteel.format import Message, ParseEvent, StreamParser, ToolCall, parse
from tests.format.hard_cases import CASES, COMMENTARY, NEXT, SELF, TOOLS, USER, call


def in_chunks(text, size, tools=TOOLS):
    parser = StreamParser(tools)
    events = []
    for start in range(0, len(text), size):
        events += parser.feed(text[start : start + size])
    result = parser.close()
    return result, events + parser.events_at_close


@pytest.mark.parametrize("name", CASES)
def test_hard_case(name):
    text, reasoning, content, calls, errors = CASES[name]
    whole = parse(text, TOOLS)
    assert whole.reasoning == reasoning
    assert whole.content == content
    assert [(call.name, call.arguments) for call in whole.tool_calls] == calls
    assert len(whole.errors) == errors
    for size in (1, 3, 17):
        result, events = in_chunks(text, size)
        assert result == whole
        assert "".join(event.text for event in events if event.kind == "reasoning") == reasoning
        assert "".join(event.text for event in events if event.kind in ("content", "commentary")) == content
        assert [event.call for event in events if event.kind == "tool_call"] == whole.tool_calls
        assert [event.text for event in events if event.kind == "error"] == whole.errors


@pytest.mark.parametrize("name", CASES)
def test_a_shorter_text_never_says_what_the_longer_one_takes_back(name):
    text = CASES[name][0]
    parser = StreamParser(TOOLS)
    said = ""
    for end in range(1, len(text) + 1):
        said += "".join(event.text for event in parser.feed(text[end - 1]) if event.kind in ("content", "commentary"))
        cut = parse(text[:end], TOOLS)
        assert cut.content.startswith(said)
    assert parse(text, TOOLS).content.startswith(said)


def test_text_streams_as_it_comes():
    parser = StreamParser()
    assert parser.feed(" to=self<|message|>Let me") == [event("reasoning", "Let me")]
    assert parser.feed(" see <") == [event("reasoning", " see ")]
    assert parser.feed("b>") == [event("reasoning", "<b>")]
    assert parser.feed("<|eom|>") == []
    assert parser.feed("<|start|>assistant to=user<|message|>4") == [event("content", "4")]
    assert parser.close().complete is False


def event(kind, text):
    return ParseEvent(kind, text)


def test_complete_tells_whether_the_turn_ended():
    assert parse(f"{USER}Hi<|eot|>").complete
    assert not parse(f"{USER}Hi").complete
    assert not parse(f"{SELF}Hm<|eom|>").complete


def test_commentary_and_answer_are_kept_apart_too():
    result = parse(f"{COMMENTARY}On it. <|eom|>{NEXT}{USER}Done.<|eot|>")
    assert (result.commentary, result.answer, result.content) == ("On it. ", "Done.", "On it. Done.")
    assert result.message() == Message("assistant", "Done.", commentary="On it. ")


def test_a_call_reads_like_json():
    [made] = parse(f"{call('now', a='1')}<|eot|>").tool_calls
    assert made == ToolCall("now", {"a": 1})
    assert made["name"] == "now"
    assert dict(made) == {"name": "now", "arguments": {"a": 1}}


def test_deep_json_is_text():
    deep = "[" * 100_000
    assert parse(f"{call('now', a=deep)}<|eot|>").tool_calls[0].arguments == {"a": deep}


def test_a_call_whose_name_could_not_be_told_again_is_an_error_and_no_call():
    body = '<atem:function_calls>\n<atem:invoke name="a b">\n</atem:invoke>\n</atem:function_calls>'
    said = parse(f" to=a<|message|>{body}<|eot|>")
    assert not said.tool_calls and "'a b' is no name of a tool" in said.errors[0]
