"""Sets known by name, record by record in the shape of OpenAI's fine-tuning files.

    firesteel sft gsm8k:train.jsonl dolly:databricks-dolly-15k.jsonl

- Dolly 15k (Databricks 2023, CC BY-SA 3.0): written by people; a passage it refers to goes before the request.
- GSM8K (Cobbe et al. 2021, MIT): the worked solution is the thought, without its `<<48/2=24>>` marks.
- SGD (Rastogi et al. 2020, CC BY-SA 4.0), as dialogues of tools, calls and results.

Share-alike text stays in the user's files. Only training splits belong here, because GSM8K's test split is measured;
nothing is checked against what is measured here: that is curation's part (`firesteel data build`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_CITATION = re.compile(r"\s?\[\d+\]")  # Wikipedia's, left over in the passages
_CALCULATOR = re.compile(r"<<[^>]*>>")


def dolly(record: Mapping[str, Any]) -> dict[str, Any]:
    """From `instruction`, `context` and `response`."""
    passage = _CITATION.sub("", record["context"]).strip()
    asked = f"{passage}\n\n{record['instruction']}" if passage else record["instruction"]
    return {"messages": [_said("user", asked.strip()), _said("assistant", record["response"].strip())]}


def gsm8k(record: Mapping[str, Any]) -> dict[str, Any]:
    """From `question` and `answer`, whose last line is `#### 72`."""
    solution, mark, answer = record["answer"].partition("####")
    if not mark:
        raise ValueError("the answer has no line #### with its result.")
    thought = _CALCULATOR.sub("", solution).strip()
    told = _said("assistant", answer.strip().replace(",", "")) | {"reasoning_content": thought}
    return {"messages": [_said("user", record["question"].strip()), told]}


def sgd(record: Mapping[str, Any]) -> dict[str, Any]:
    """From `tools` (required names, optional names with defaults) and `messages` with single calls."""
    messages = []
    for number, message in enumerate(record["messages"]):
        if call := message.get("tool_call"):
            called = {"id": f"call_{number}", "type": "function", "function": call}
            messages.append({"role": "assistant", "tool_calls": [called]})
        elif message["role"] == "tool":
            result = json.dumps(message["content"], ensure_ascii=False)
            messages.append({"role": "tool", "content": result, "tool_call_id": f"call_{number - 1}"})
        else:
            messages.append(_said(message["role"], message["content"]))
    return {"messages": messages, "tools": [_schema(tool) for tool in record["tools"]]}


SETS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"dolly": dolly, "gsm8k": gsm8k, "sgd": sgd}


def _said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _schema(tool: Mapping[str, Any]) -> dict[str, Any]:
    """All values of SGD are strings; a default is told in the description."""
    parameters = tool["parameters"]
    properties: dict[str, Any] = {name: {"type": "string"} for name in parameters["required"]}
    for name, default in parameters["optional"].items():
        properties[name] = {"type": "string", "description": f"Default: {default}"}
    schema = {"type": "object", "properties": properties, "required": parameters["required"]}
    return {"type": "function", "function": {k: tool[k] for k in ("name", "description")} | {"parameters": schema}}
