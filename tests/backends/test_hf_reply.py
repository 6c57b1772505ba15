"""What transformers models say, read in the forms of their makers."""

import pytest

from firesteel.backends.hf_reply import Reading
from firesteel.format import StreamParser, ToolCall
from tests.backends.tiny import make_tokenizer

TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "parameters": {"type": "object", "properties": {"s": {"type": "string"}, "n": {"type": "array"}}},
    },
}
TEMPLATE = {
    "start_anchor": "<turn>assistant:",
    "fields": {
        "thinking": {"open": "(", "close": ")"},
        "content": {"close": "</s>"},
        "tool_calls": {
            "open_pattern": r"call (?P<name>\w+) ",
            "close": ";",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
        },
    },
}


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def read(tokenizer, text, prompt="<turn>assistant:", reason="stop", stop=()):
    """The whole, and how many events it took."""
    reading, parser = Reading(0, tokenizer, prompt, [TOOL], stop), StreamParser()
    count = 0
    for id in tokenizer.encode(text, add_special_tokens=False):
        count += len(parser.take(reading.feed([id]).events))
        if reading.finished:
            return parser.close(), count
    parser.take(reading.end(reason).events)
    return parser.close(), count


@pytest.mark.parametrize(
    "call",
    [
        '<tool_call>{"name": "f", "arguments": {"s": "5", "n": [1]}}</tool_call>\n',
        "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>5</arg_value>\n<arg_key>n</arg_key><arg_value>[1]</arg_value>"
        "</tool_call>",
        '[TOOL_CALLS][{"name": "f", "arguments": {"s": "5", "n": [1]}}]',
        '[TOOL_CALLS]f[ARGS]{"s": "5", "n": [1]}',
    ],
    ids=["hermes", "glm", "mistral", "mistral 11"],
)
def test_thought_answer_and_calls_are_told_apart(tokenizer, call):
    said, events = read(tokenizer, f"<think>\nfox ☕</think>\n\nthe answer{call}{call}</s>")
    assert (said.reasoning, said.answer.strip(), said.errors) == ("fox ☕", "the answer", [])
    assert said.tool_calls == [ToolCall("f", {"s": "5", "n": [1]})] * 2
    assert events > 8  # it came word by word


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>nothing of a call</tool_call>",
        '[TOOL_CALLS]f[ARGS]{"a": </s>',
        f"<tool_call>{'[' * 5_000}</tool_call>",
        '<tool_call>{"function": "f", "arguments": {}}</tool_call>',
    ],
    ids=["text", "cut", "deep", "function"],
)
def test_a_call_of_no_known_form_is_an_error(tokenizer, text):
    said, _ = read(tokenizer, text)
    assert (said.tool_calls, len(said.errors)) == ([], 1)


LLAMA = '<turn>Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.'
CALL = '{"name": "f", "parameters": {"s": "5", "n": [1]}}'


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (f"{CALL}</s>", 1),
        (f"\n{CALL}; {CALL}</s>", 2),
        (f"{CALL}\n{CALL}\n</s>", 2),
        ('{"type": "function", "name": "f", "parameters": {"s": "5", "n": [1]}}</s>', 1),
        ('{"parameters": {"s": "5", "n": [1]}, "name": "f"}</s>', 1),
    ],
)
def test_bare_json_is_a_call_where_the_template_asked_for_it(tokenizer, text, calls):
    said, _ = read(tokenizer, text, LLAMA)
    assert (said.tool_calls, said.answer, said.errors) == ([ToolCall("f", {"s": "5", "n": [1]})] * calls, "", [])
    plain, _ = read(tokenizer, text)
    assert (plain.tool_calls, plain.answer.strip()) == ([], text.removesuffix("</s>").strip())


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "g", "parameters": {}}',
        '{"name": "f"}',
        '{"name": "f", "parameters": 5}',
        '{"names": ["f"]}',
        '{"name": {"first": "Ada"}, "parameters": {}}',
        '{"answer": 5, "name": "f", "parameters": {}}',
        f"{CALL} is how it is called",
        f"the call {CALL}",
        '{"name": "f", "parameters": {',
        "{}",
        "{",
        '{"na',
    ],
)
def test_other_json_is_an_answer(tokenizer, text):
    said, _ = read(tokenizer, f"{text}</s>", LLAMA)
    assert (said.tool_calls, said.answer, said.errors) == ([], text, [])


def test_bare_json_holds_nothing_else_back(tokenizer):
    said, events = read(tokenizer, '{"answer": "the quick brown fox"} and the fox</s>', LLAMA)
    assert events > 8 and said.answer.endswith("fox")
    stopped, _ = read(tokenizer, f"{CALL} the fox</s>", LLAMA, stop=["the"])
    assert stopped.answer == f"{CALL} "
    cut, _ = read(tokenizer, CALL[:-3], LLAMA, reason="length")
    assert (cut.tool_calls, cut.answer, cut.errors) == ([], "", ["A call is cut off."])


def test_a_call_that_the_tokens_cut_off_is_an_error(tokenizer):
    said, _ = read(tokenizer, '<tool_call>{"name": "f", "arguments": {}}', reason="length")
    assert (said.tool_calls, len(said.errors)) == ([], 1)


def test_stop_strings_end_the_answer_but_not_the_thought(tokenizer):
    said, _ = read(tokenizer, "<think>the fox</think>a quick fox counts</s>", stop=["fox"])
    assert (said.reasoning, said.answer) == ("the fox", "a quick ")


def test_a_thought_that_the_template_opened_is_one(tokenizer):
    said, _ = read(tokenizer, "fox</think>the answer</s>", prompt="<turn>assistant:<think>\n")
    assert (said.reasoning, said.answer) == ("fox", "the answer")


def test_a_response_template_of_the_tokenizer_is_used():
    tokenizer = make_tokenizer()
    tokenizer.response_template = TEMPLATE
    said, _ = read(tokenizer, '(fox)the answer call f {"s": "5"};call f [;</s>')
    assert said.reasoning == "fox"
    assert said.tool_calls == [ToolCall("f", {"s": "5"})]
    assert len(said.errors) == 1  # [ is no JSON
