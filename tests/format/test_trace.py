import base64
import io

import pytest
from PIL import Image

from firesteel.format import Message, Part, ToolCall, Trace

RED = Image.new("RGB", (5, 3), "red")


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def test_content_is_kept_as_parts():
    message = Message("user", "Hi")
    assert message.parts == (Part(text="Hi"),)
    assert message == Message(role="user", content=[Part.text_of("Hi")])
    assert Message("user").parts == ()
    assert Message("user", [Part(text="a"), Part(image=RED), Part(text="b")]).text == "ab"


def test_openai_style_dicts():
    data_url = "data:image/png;base64," + base64.b64encode(png(RED)).decode()
    message = Message.of(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": data_url}},
                {"type": "image", "image": png(RED)},
                {"type": "image", "image": RED},
            ],
        }
    )
    assert message.text == "What?" and message.images == [RED, RED, RED]
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    message = Message.of({"role": "assistant", "content": None, "reasoning_content": "Hm", "tool_calls": calls})
    assert message == Message("assistant", reasoning="Hm", tool_calls=[ToolCall("f", {"a": 1}, "1")])
    assert Message.of({"role": "tool", "content": "x", "tool_call_id": "1"}).tool_call_id == "1"
    assert Message.of(message) is message


def test_picture_paths(tmp_path):
    (tmp_path / "a.png").write_bytes(png(RED))
    assert Message.of({"role": "user", "content": [{"type": "image", "image": tmp_path / "a.png"}]}).images == [RED]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"role": "robot"}, "role"),
        ({"content": "x"}, "role"),
        ({"role": "user", "content": [{"type": "text"}]}, "content part"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}, "data: URL"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": "file:///etc/passwd"}]}, "data: URL"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,x"}]}, "base64"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,eA=="}]}, "readable"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}, "not JSON"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]}, "object"),
        ({"role": "assistant", "tool_calls": [{"function": {}}]}, "name"),
        ({"role": "assistant", "tool_calls": [{"function": "f"}]}, "name"),
        ({"role": "assistant", "tool_calls": ["f"]}, "name"),
        ({"role": "assistant", "tool_calls": 5}, "'tool_calls'"),
        ({"role": "assistant", "reasoning": 5}, "'reasoning'"),
        ({"role": "assistant", "token_ids": 5}, "'token_ids'"),
        ({"role": "assistant", "usage": 5}, "'usage'"),
        ({"role": "user", "content": 5}, "'content'"),
        ({"role": "user", "content": ["x"]}, "content part"),
        ("hello", "object"),
    ],
)
def test_bad_messages_are_refused(item, reason):
    with pytest.raises(ValueError, match=reason):
        Message.of(item)


CONVERSATION = [
    Message("user", [Part(image=RED), Part(text="Zoom?\nπ")]),
    Message(
        "assistant", "", "Hm", "On it", [ToolCall("zoom", {"box": [1, 2]}, "7")], token_ids=[3, 4], logprobs=[-0.5, 0.0]
    ),
    Message("tool", [Part(image=RED)], tool_call_id="7"),
    Message("assistant", "Done", usage={"prompt_tokens": 3, "seconds": 0.5}),
]


@pytest.mark.parametrize("pictures", [None, "pictures"])
def test_a_trace_survives_on_disk(tmp_path, pictures):
    path = tmp_path / "runs" / "trace.jsonl"
    trace = Trace(path=path, pictures=pictures)
    for message in CONVERSATION:
        trace.append(message)
    assert Trace.open(path).messages == CONVERSATION
    assert len(path.read_text(encoding="utf-8").splitlines()) == 4
    assert len(list(tmp_path.rglob("*.png"))) == (1 if pictures else 0)  # the same picture is written once


def test_a_trace_only_grows(tmp_path):
    path = tmp_path / "trace.jsonl"
    Trace.open(path).append(CONVERSATION[0])
    before = path.read_bytes()
    trace = Trace.open(path)
    trace.append(CONVERSATION[3])
    assert path.read_bytes().startswith(before)
    assert list(trace) == [CONVERSATION[0], CONVERSATION[3]] and len(trace) == 2


def test_a_torn_last_line_is_cut_off(tmp_path):
    path = tmp_path / "trace.jsonl"
    Trace.open(path).append(CONVERSATION[3])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    assert Trace.open(path, mend=False).messages == [CONVERSATION[3]]
    assert path.read_bytes() == whole + whole[:20]
    trace = Trace.open(path)
    trace.append(CONVERSATION[3])
    assert Trace.open(path).messages == [CONVERSATION[3]] * 2
    path.write_bytes(whole[:5])  # the first line may be torn as well
    assert Trace.open(path).messages == [] and path.read_bytes() == b""


@pytest.mark.parametrize(
    "data", [png(RED), b"no newline", b'{"name": 1}', b'{"role": "user"}\nnotes', b"a\n" * 2 + b"b"]
)
def test_a_file_that_is_no_trace_is_left_as_it_is(tmp_path, data):
    path = tmp_path / "notes"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="notes, line"):
        Trace.open(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("content", ['"hello"', "null", "[]"])
def test_contents_may_be_text_or_nothing(tmp_path, content):
    path = tmp_path / "trace.jsonl"
    path.write_text(f'{{"role": "user", "content": {content}}}\n')
    assert Trace.open(path).messages == [Message("user", "hello" if "hello" in content else "")]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "[" * 100_000,
        '{"role": "user", "content": ["x"]}',
        '{"role": "user", "content": [{"type": "image", "file": 5}]}',
        '{"role": "user", "content": [{"type": "image", "file": "../secret.png"}]}',
    ],
)
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "trace.jsonl"
    path.write_text(f'{{"role": "user"}}\n{line}\n')
    with pytest.raises(ValueError, match="line 2"):
        Trace.open(path)


def test_what_is_no_text_does_not_stop_a_conversation(tmp_path):
    trace = Trace.open(tmp_path / "talk.jsonl")
    trace.append(Message("tool", "file \udcff.txt", name="files.list"))
    assert Trace.open(tmp_path / "talk.jsonl").messages[0].text == "file ?.txt"
