"""A conversation made short, and gone on from."""

from tests.agent.scripted import says
from tests.server.responses.asking import URL, talk

ITEMS = [
    {"role": "user", "content": "We launch on Tuesday."},
    {"role": "assistant", "content": "Noted."},
    {"role": "user", "content": "Tell support."},
    {"role": "assistant", "content": "Done."},
]


def test_the_summary_takes_the_place_of_the_answers():
    @talk(says("Launch Tuesday; support was told.", thought="sum up"), says("Tuesday."))
    async def told(client, ask):
        compact = await client.post(f"{URL}/compact", json={"model": "kindling", "input": ITEMS})
        output = compact.json()["output"]
        await ask(input=[*output, {"role": "user", "content": "When?"}], store=False)
        return compact.json(), [request.messages for request in client.service.backend.requests]

    compact, (first, second) = told
    assert compact["object"] == "response.compaction" and compact["usage"]["output_tokens"] > 0
    assert [item["type"] for item in compact["output"]] == ["message", "message", "compaction"]
    assert [message.text for message in first[:4]] == [item["content"] for item in ITEMS]
    assert [message.role for message in second] == ["user"] * 4
    assert "Launch Tuesday; support was told." in second[2].text and second[3].text == "When?"


def test_only_the_newest_of_many_words_are_kept():
    items = [{"role": "user", "content": f"{number} " + "x" * 9000} for number in range(5)]

    @talk(says("much"))
    async def told(client, ask):
        return (await client.post(f"{URL}/compact", json={"model": "kindling", "input": items})).json()["output"]

    assert [item["content"][0]["text"][0] for item in told[:-1]] == ["3", "4"]


def test_a_stored_response_can_be_compacted():
    @talk(says("Hi."), says("Greetings."))
    async def told(client, ask):
        id = (await ask(input="Hello")).json()["id"]
        body = {"model": "kindling", "previous_response_id": id}
        return (await client.post(f"{URL}/compact", json=body)).json()["output"]

    assert [item["type"] for item in told] == ["message", "compaction"]


def test_there_must_be_a_model_and_something_to_compact():
    @talk()
    async def told(client, ask):
        bodies = {"input": ITEMS}, {"model": "kindling"}, {"model": "other", "input": ITEMS}
        return [(await client.post(f"{URL}/compact", json=body)).status_code for body in bodies]

    assert told == [400, 400, 404]
