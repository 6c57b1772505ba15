"""Calls and text of models that speak another grammar."""

import pytest

from firesteel.backends.said import call_event, whole
from firesteel.format import ToolCall


def test_arguments_may_be_an_object_or_its_text():
    for arguments in ({"a": [1, "☕"]}, '{"a": [1, "☕"]}'):
        assert call_event("f", arguments, "x").call == ToolCall("f", {"a": [1, "☕"]}, "x")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("f", '{"a": '),
        ("f", '{"a": 1} and'),
        ("f", "[1]"),
        ("f", '{"a": NaN}'),
        ("f", '{"a": "\\ud800"}'),
        ("f", '{"\\udfff": 1}'),
        ("f", '{"a": ' + "[" * 100_000),
        ("f<|eot|>", "{}"),
        ("self", "{}"),
        ("", "{}"),
    ],
)
def test_a_call_that_no_trace_can_carry_is_an_error(name, arguments):
    event = call_event(name, arguments)
    assert (event.kind, event.call) == ("error", None)
    event.text.encode()


def test_half_a_character_is_replaced():
    assert whole("a\ud83d\ude00\ud83d☕") == "a😀\ufffd☕"
