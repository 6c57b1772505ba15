"""Items of every kind as messages."""

import base64

import pytest

from firesteel.server.store import File
from tests.agent.scripted import says
from tests.server.responses.asking import URL, WEATHER, picture, talk

CALL = {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": '{"city": "Oslo"}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "3"}


def read(*items, **body):
    """The messages that the model reads, and the items as they are listed."""

    @talk(says("ok"))
    async def told(client, ask):
        answer = await ask(input=list(items), tools=[WEATHER], **body)
        assert answer.status_code == 200, answer.text
        listed = (await client.get(f"{URL}/{answer.json()['id']}/input_items?order=asc&limit=100")).json()["data"]
        return client.service.backend.requests[0].messages, listed

    return told


def refused(*items):
    @talk(says("ok"))
    async def told(client, ask):
        return await ask(input=list(items), tools=[WEATHER])

    assert told.status_code in (400, 404), told.text
    return told.json()["error"]


def user(text):
    return {"role": "user", "content": text}


def test_words_of_the_assistant_become_one_message_by_their_phase():
    def said(text, **more):
        return {"type": "message", "role": "assistant", "content": text} | more

    messages, _ = read(
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        said("Looking.", phase="commentary"),
        said("Four.", phase="final_answer"),
        said("Or five."),
        user("Which?"),
    )
    first, second, last = messages
    assert (first.reasoning, first.commentary, first.text) == ("hm", "Looking.", "Four.")
    assert (second.text, last.text) == ("Or five.", "Which?")


def test_thoughts_are_read_from_the_text_as_well_as_from_the_summary():
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "raw"}]}
    assert read(thought, CALL, OUTPUT)[0][0].reasoning == "raw"


def test_our_seal_brings_a_thought_back_and_a_foreign_one_is_left_alone():
    @talk(says("hi", thought="secret plan"), says("a"), says("b"))
    async def told(client, ask):
        first = (await ask(input="x", store=False, include=["reasoning.encrypted_content"])).json()["output"]
        sealed = {"type": "reasoning", "summary": [], "encrypted_content": first[0]["encrypted_content"]}
        for thought in (sealed, sealed | {"encrypted_content": "AAAA" + sealed["encrypted_content"][4:]}):
            assert (await ask(input=[thought, first[1], user("y")])).status_code == 200
        return [request.messages[0].reasoning for request in client.service.backend.requests[1:]]

    assert told == ["secret plan", ""]


def test_results_of_tools_may_hold_pictures():
    output = [{"type": "input_text", "text": "map"}, {"type": "input_image", "image_url": picture()}]
    messages, listed = read(user("x"), CALL, OUTPUT | {"output": output})
    assert messages[-1].name == "get_weather" and messages[-1].images[0].size == (40, 30)
    assert listed[-1]["output"] == output


def test_calls_made_at_once_are_one_message():
    messages, _ = read(user("x"), CALL, CALL | {"call_id": "c2"}, OUTPUT | {"call_id": "c2"}, OUTPUT)
    assert [message.role for message in messages] == ["user", "assistant", "tool", "tool"]
    assert [call.id for call in messages[1].tool_calls] == ["c1", "c2"]


def test_a_function_in_a_namespace_keeps_its_place():
    messages, _ = read(user("x"), CALL | {"namespace": "sky"}, OUTPUT)
    assert messages[1].tool_calls[0].name == messages[2].name == "sky.get_weather"


def test_a_file_may_be_a_picture():
    @talk(says("ok"), says("ok"))
    async def told(client, ask):
        data = base64.b64decode(picture().partition(",")[2])
        file = File(
            id="file-1", owner="local", created=0, name="p", purpose="vision", media_type="image/png", bytes=len(data)
        )
        await client.service.store.put_file(file, data)
        for kind in ("input_file", "input_image"):
            content = [{"type": kind, "file_id": "file-1"}]
            assert (await ask(input=[{"role": "user", "content": content}])).status_code == 200
        return [len(request.messages[0].images) for request in client.service.backend.requests]

    assert told == [1, 1]


def test_a_reference_stands_for_an_item_of_a_stored_response():
    @talk(says("Four.", thought="two and two"), says("ok"))
    async def told(client, ask):
        first = (await ask(input="2+2?")).json()
        references = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
        second = (await ask(input=[*references, user("sure?")])).json()
        listed = (await client.get(f"{URL}/{second['id']}/input_items?order=asc")).json()["data"]
        return client.service.backend.requests[1].messages, first["output"], listed

    messages, output, listed = told
    assert (messages[0].reasoning, messages[0].text, messages[1].text) == ("two and two", "Four.", "sure?")
    assert listed[:2] == output


def test_items_that_are_not_known_are_left_alone():
    messages, listed = read({"type": "tool_search_call", "arguments": {}}, user("x"), {"type": "acme:thing"})
    assert len(messages) == len(listed) == 1


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([{"role": "critic", "content": "x"}], "input.0.role"),
        ([{"type": "function_call_output", "call_id": "c9", "output": "x"}], "input.0.call_id"),
        ([CALL | {"arguments": "{"}, OUTPUT], "input.0.arguments"),
        ([user("x"), CALL], "input"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]}], None),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "input.0.content.0"),
        ([{"type": "item_reference", "id": "msg_none"}], None),
        ([{"type": "compaction", "encrypted_content": "AAAA"}], "input.0"),
        ([user("x"), {"role": "assistant", "content": "y"}], "input"),
        ([{}], "input.0.id"),
    ],
)
def test_what_cannot_be_read_is_named(items, param):
    error = refused(*items)
    assert error["message"] and (param is None or error["param"] == param)
