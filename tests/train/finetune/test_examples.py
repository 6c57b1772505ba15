import base64
import io
import json
import lzma

import pytest
from PIL import Image

from firesteel.format import Message, ToolCall, Trace
from firesteel.train.finetune.examples import read

ASK, SAY = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
RED = Image.new("RGB", (30, 20), "red")


def written(tmp_path, *records, name="data.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records) + "\n")
    return path


def one(tmp_path, record, **options):
    (found,) = read(written(tmp_path, record), **options)
    return found


def data_url(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_an_example_is_known_by_what_is_said_and_shown_whatever_the_strength(tmp_path):
    """The strength is drawn in the order of the file where none is named."""
    other = {"messages": [ASK, {**SAY, "content": "5"}]}
    picture = {"type": "image_url", "image_url": {"url": data_url(RED)}}
    seen = {"messages": [{**ASK, "content": [{"type": "text", "text": ASK["content"]}, picture]}, SAY]}
    path = written(tmp_path, *[{"messages": [ASK, SAY]}] * 9, other, seen)
    *same, fifth, shown = read(path)
    assert len({example.strength for example in same}) > 1 and len({example.key for example in same}) == 1
    assert len({same[0].key, fifth.key, shown.key}) == 3


def test_openai_conversations_with_tools_calls_and_thoughts(tmp_path):
    call = {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 1, "y": [2]}'}}
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    messages = [
        {"role": "system", "content": "Be brief."},
        ASK,
        {"role": "assistant", "content": None, "reasoning_content": "A sum.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "4"}]},
        SAY,
    ]
    example = one(tmp_path, {"messages": messages, "tools": [tool], "source": "elsewhere"})
    assert example.messages == (
        Message("system", "Be brief."),
        Message("user", "2+2?"),
        Message("assistant", reasoning="A sum.", tool_calls=[ToolCall("add", {"x": 1, "y": [2]}, "a")]),
        Message("tool", "4", name="add", tool_call_id="a"),
        Message("assistant", "4"),
    )
    assert example.tools == (tool,)


def test_sharegpt_conversations_with_tools(tmp_path):
    schema = {"name": "add", "parameters": {}}
    turns = [
        {"from": "human", "value": "2+2?"},
        {"from": "function_call", "value": '{"name": "add", "arguments": {"x": 2}}'},
        {"from": "observation", "value": "4"},
        {"from": "gpt", "value": "<think>\nIt says 4.\n</think>\n\nFour."},
    ]
    example = one(tmp_path, {"conversations": turns, "system": "Hi.", "tools": json.dumps([schema])})
    assert [m.role for m in example.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert example.messages[2].tool_calls == (ToolCall("add", {"x": 2}),)
    assert example.messages[3].name == "add"
    assert (example.messages[4].reasoning, example.messages[4].text) == ("It says 4.", "Four.")
    assert example.tools == ({"type": "function", "function": schema},)


@pytest.mark.parametrize("kind", ["data URL", "path", "sharegpt"])
def test_pictures_come_inside_the_line_or_lie_beside_the_file(kind, tmp_path):
    (tmp_path / "pictures").mkdir()
    RED.save(tmp_path / "pictures" / "red.png")
    address = data_url(RED) if kind == "data URL" else "pictures/red.png"
    part = {"type": "image_url", "image_url": {"url": address}}
    record = {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "Colour?"}]}, SAY]}
    if kind == "sharegpt":
        turns = [{"from": "human", "value": "<image>\nColour?"}, {"from": "gpt", "value": "4"}]
        record = {"conversations": turns, "images": [address]}
    picture, text = one(tmp_path, record).messages[0].parts
    assert (picture.image.size, picture.image.getpixel((0, 0)), text.text) == ((30, 20), (255, 0, 0), "Colour?")


def test_a_recorded_conversation_is_an_example(tmp_path, capsys):
    from firesteel.cli.trace import trace

    recorded = Trace.open(tmp_path / "trace.jsonl")
    said = [
        Message("user", [*Message("user", "look").parts]),
        Message("assistant", "", "I look.", "One moment.", [ToolCall("zoom", {"x": 1}, "c")]),
        Message("tool", "crop", name="zoom", tool_call_id="c"),
        Message("assistant", "Red."),
    ]
    for message in said:
        recorded.append(message)
    trace(tmp_path / "trace.jsonl", sft=True)
    assert list(one(tmp_path, capsys.readouterr().out.strip()).messages) == said


@pytest.mark.parametrize(
    ("fields", "answer", "run", "strength"),
    [
        ({"reasoning_effort": "low"}, SAY, None, 16),
        ({"strength": 100}, SAY, 7, 100),
        ({}, SAY, 7, 7),
        ({}, SAY | {"reasoning": "2 and 2."}, 7, 7),
    ],
)
def test_strength_is_the_examples_or_the_runs(fields, answer, run, strength, tmp_path):
    assert one(tmp_path, {"messages": [ASK, answer]} | fields, strength=run).strength == strength


@pytest.mark.parametrize(("thought", "strengths"), [("", {1, 16, 64, 256, 512}), ("2 and 2.", {16, 64, 256, 512})])
def test_an_example_that_names_no_strength_holds_at_all_that_fit_it(thought, strengths, tmp_path):
    path = written(tmp_path, *[{"messages": [ASK, SAY | {"reasoning": thought}]}] * 60)
    drawn = [example.strength for example in read(path)]
    assert set(drawn) == strengths
    assert drawn == [example.strength for example in read(path)]  # as they were


def test_lists_and_compressed_files_are_read(tmp_path):
    records = [{"messages": [ASK, SAY]}] * 3
    assert len(list(read(written(tmp_path, json.dumps(records), name="data.json")))) == 3
    with lzma.open(tmp_path / "data.jsonl.xz", "wt") as file:
        file.write("\n".join(map(json.dumps, records)))
    places = [example.place for example in read(tmp_path / "data.jsonl.xz")]
    assert places == [f"{tmp_path / 'data.jsonl.xz'}, line {n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ('{"messages": [', "not JSON"),
        ("3", "must be a JSON object"),
        ({"text": "hello"}, "neither a list `messages`"),
        ({"messages": ["hello"]}, "neither a list `messages`"),
        ({"messages": [ASK]}, "not the assistant's"),
        ({"messages": [ASK, {"role": "robot", "content": "4"}]}, "'robot' is none of"),
        ({"messages": [ASK, {"role": "assistant", "content": " " * 0}]}, "says nothing"),
        ({"messages": [ASK, SAY | {"weight": 0}]}, "weight 0"),
        ({"messages": [ASK, SAY], "reasoning_effort": "huge"}, "'huge'"),
        ({"messages": [ASK, SAY], "images": ["a.png"]}, "no <image> in a text"),
        ({"messages": [ASK, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}]}, "not JSON"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, SAY]}, "neither as a data URL"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "image": "no.png"}]}, SAY]}, "no.png"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "image": "https://x/y"}]}, SAY]}, "download it"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}, SAY]}, "'video'"),
        ({"messages": [ASK, SAY], "tools": [3]}, "no known shape"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_with_its_place(record, words, tmp_path):
    path = written(tmp_path, {"messages": [ASK, SAY]}, record)
    with pytest.raises(ValueError, match="line 2") as caught:
        list(read(path))
    assert words in str(caught.value)


def test_missing_and_empty_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        list(read(tmp_path / "none.jsonl"))
    with pytest.raises(ValueError, match="empty"):
        list(read(written(tmp_path, "")))
