"""Conversations that call tools are whole, honest and different from each other."""

import json
import random

import pytest

from firesteel.agent.tools import check_arguments
from firesteel.format import Tokenizer, parse, render
from firesteel.train import calls


@pytest.mark.parametrize("strength", [1, 16, 64, 256, 512])
def test_calls_keep_to_the_schemas_and_can_be_read_back(strength):
    rng = random.Random(strength)
    for _ in range(60):
        messages, schemas = calls.conversation(rng, strength)
        functions = {schema["function"]["name"]: schema["function"] for schema in schemas}
        assert len(functions) == len(schemas)
        assert messages[-1].role == "assistant" and bool(messages[-1].reasoning) == (strength > 1)
        for message in messages:
            for call in message.tool_calls:
                assert check_arguments(functions[call.name]["parameters"], call.arguments) == call.arguments
                asked = messages[0].text
                for value in call.arguments.values():
                    shown = value if isinstance(value, str) else json.dumps(value)
                    assert shown in asked or shown.startswith("print("), (shown, asked)
        text = render(messages[:2], schemas, strength, generation_prompt=False).text
        said = parse(text.rpartition("<|start|>user")[2].partition("<|start|>assistant")[2], schemas)
        assert [dict(call) for call in said.tool_calls] == [dict(call) for call in messages[1].tool_calls]


def test_many_fit_a_row_and_few_are_equal():
    rng, tokenizer = random.Random(0), Tokenizer.default()
    drawn = [calls.conversation(rng, 256) for _ in range(200)]
    lengths = [len(render(m, t, 256, tokenizer, generation_prompt=False).ids) for m, t in drawn]
    assert sum(length <= 512 for length in lengths) > 120
    assert len({messages[0].text for messages, _ in drawn}) > 150
    assert 60 < sum(not message[1].tool_calls for message, _ in drawn) < 120  # four in ten are texts to say again
