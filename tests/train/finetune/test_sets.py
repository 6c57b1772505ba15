import json

import pytest

from firesteel.train.finetune.examples import read

RECORDS = {
    "dolly": {"instruction": "How high?", "context": "It is 8 m [12] high.", "response": "8 m ", "category": "closed"},
    "gsm8k": {"question": "Half of 2048?", "answer": "2048/2 = <<2048/2=1024>>1024.\n#### 1,024"},
    "sgd": {
        "tools": [
            {
                "name": "Find",
                "description": "Finds a place",
                "parameters": {"required": ["city"], "optional": {"price": "dontcare"}},
            }
        ],
        "messages": [
            {"role": "user", "content": "Eat in Rome"},
            {"role": "assistant", "tool_call": {"name": "Find", "arguments": {"city": "Rome"}}},
            {"role": "tool", "content": [{"city": "Rome", "name": "Da Enzo"}]},
            {"role": "assistant", "content": "Da Enzo."},
        ],
    },
}


def one(kind, tmp_path):
    (tmp_path / "file.jsonl").write_text(json.dumps(RECORDS[kind]))
    (example,) = read(f"{kind}:{tmp_path / 'file.jsonl'}")
    return example


def test_a_passage_stands_before_the_request(tmp_path):
    asked, said = one("dolly", tmp_path).messages
    assert (asked.text, said.text) == ("It is 8 m high.\n\nHow high?", "8 m")


def test_a_worked_solution_is_the_thought(tmp_path):
    example = one("gsm8k", tmp_path)
    assert (example.messages[1].reasoning, example.messages[1].text) == ("2048/2 = 1024.", "1024")
    assert example.strength >= 16


def test_dialogues_call_tools_by_a_json_schema(tmp_path):
    example = one("sgd", tmp_path)
    assert example.tools[0]["function"]["parameters"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}, "price": {"type": "string", "description": "Default: dontcare"}},
        "required": ["city"],
    }
    _, called, result, said = example.messages
    assert dict(called.tool_calls[0]) == {"name": "Find", "arguments": {"city": "Rome"}}
    assert (result.name, json.loads(result.text)) == ("Find", [{"city": "Rome", "name": "Da Enzo"}])
    assert said.text == "Da Enzo."


def test_a_record_of_another_set_is_refused_with_its_place(tmp_path):
    (tmp_path / "file.jsonl").write_text(json.dumps(RECORDS["dolly"]))
    with pytest.raises(ValueError, match="line 1: it is of no known shape"):
        list(read(f"gsm8k:{tmp_path / 'file.jsonl'}"))
