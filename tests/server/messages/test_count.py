"""Counting tokens before they are asked."""

import asyncio

from firesteel.format import image_tokens
from tests.server.messages.posting import ADD, ASK, PATH, picture, post, read, refused
from tests.server.serving import kindling, serving

COUNT = f"{PATH}/count_tokens"
CALL = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1, "b": 2}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"}
HISTORY = [
    {"role": "user", "content": "add"},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "I add", "signature": ""}, CALL]},
    {"role": "user", "content": [RESULT]},
]
SEE = [{"role": "user", "content": [{"type": "text", "text": "see"}, picture()]}]
QUESTIONS = [
    {},
    {"system": "Be brief."},
    {"tools": [ADD]},
    {"tools": [ADD], "tool_choice": {"type": "none"}},
    {"tools": [ADD], "messages": HISTORY},
    {"messages": SEE},
    {"messages": SEE, "tools": [ADD, {"type": "code_execution_20250825", "name": "code_execution"}]},
    {"thinking": {"type": "disabled"}},
    {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
    {"model": "kindling-instant"},
]


def test_the_count_is_what_the_model_then_reports():
    async def main():
        async with serving(backend=kindling()) as client:
            for question in QUESTIONS:
                body = ASK | {"max_tokens": 4} | question
                counted = (await client.post(COUNT, json=body)).json()
                usage = (await client.post(PATH, json=body)).json()["usage"]
                reported = usage["input_tokens"] + usage["cache_read_input_tokens"]
                assert counted == {"input_tokens": reported}, question

    asyncio.run(main())


def test_a_conversation_that_the_format_cannot_express_is_refused():
    system = {"role": "system", "content": [picture()]}
    assert "picture" in refused(path=COUNT, backend=kindling(), messages=[system, *SEE])


def test_without_a_tokenizer_four_characters_are_a_token():
    messages = [{"role": "user", "content": "x" * 400}]
    assert post(path=COUNT, messages=messages).json() == {"input_tokens": 100}
    see = [{"role": "user", "content": [picture()]}]
    (message,) = read(*see)
    assert post(path=COUNT, messages=see).json()["input_tokens"] == image_tokens(message.images[0])


def test_max_tokens_are_not_needed():
    assert post(path=COUNT, max_tokens=None).status_code == 200
