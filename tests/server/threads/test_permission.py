"""Tools that change something ask the thread's user, and no word is a no."""

import asyncio
import json

import pytest

from tests.agent.scripted import calls, says
from tests.server.responses.asking import URL as RESPONSES
from tests.server.responses.asking import ended
from tests.server.serving import sending
from tests.server.threads.talking import begun, talk

SEND = calls(("send", {"what": "news"}))


@pytest.fixture
def sent(monkeypatch):
    return sending(monkeypatch)


async def asked(client, talk, said="go", previous=None):
    """Begins a turn; its id."""
    body = {"model": "kindling", "background": True, "previous_response_id": previous, "input": said}
    answer = await client.post(RESPONSES, json=body | {"firesteel": {"thread": talk.id, "tools": ["python"]}})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


async def events(client, turn, kind):
    """The events of a turn that are of this kind, once there is one."""
    service = client.service
    while True:
        texts = [text for _, text in await service.store.events("local", turn)]
        found = [text for text in texts if f'"kind":"{kind}"' in text]
        if found:
            return [json.loads(text) for text in found]
        await asyncio.sleep(0.01)


async def answered(client, talk, id, word):
    return (await client.post(f"{talk.url}/permissions/{id}", json={"answer": word})).status_code


def test_a_tool_waits_for_the_word_and_does_it(sent):
    @talk(SEND, says("done"))
    async def _(client, talk):
        turn = await asked(client, talk)
        (question,) = await events(client, turn, "permission")
        assert sent == [] and question["call"]["arguments"] == {"what": "news"}
        assert await answered(client, talk, question["data"]["id"], "once") == 200
        assert (await ended(client, turn))["status"] == "completed"
        assert sent == ["news"]
        (word,) = await events(client, turn, "permitted")
        assert word["data"] == {"id": question["data"]["id"], "answer": "once"}
        assert await answered(client, talk, question["data"]["id"], "once") == 404


def test_a_no_is_told_to_the_model(sent):
    @talk(SEND, says("a pity"))
    async def _(client, talk):
        turn = await asked(client, talk)
        (question,) = await events(client, turn, "permission")
        assert await answered(client, talk, question["data"]["id"], "deny") == 200
        assert "does not permit" in str((await ended(client, turn))["output"]) and sent == []
        (word,) = await events(client, turn, "permitted")
        assert word["data"] == {"id": question["data"]["id"], "answer": "deny"}


def test_no_word_at_all_is_a_no(sent):
    @talk(SEND, says("too late"), permission_seconds=0.3)
    async def _(client, talk):
        late = await ended(client, await asked(client, talk))
        assert "does not permit" in str(late["output"]) and sent == []


def test_always_holds_for_the_tool_in_its_thread_only(sent):
    @talk(SEND, says("one"), SEND, says("two"), SEND, says("three"))
    async def _(client, talk):
        turn = await asked(client, talk)
        (question,) = await events(client, turn, "permission")
        await answered(client, talk, question["data"]["id"], "always")
        await ended(client, turn)
        await ended(client, await asked(client, talk, previous=turn))
        assert sent == ["news", "news"]
        other = await begun(client)
        turn = await asked(client, other)
        (question,) = await events(client, turn, "permission")
        await answered(client, other, question["data"]["id"], "deny")
        await ended(client, turn)
        assert sent == ["news", "news"]


def test_where_nobody_is_asked_nothing_is_permitted(sent):
    @talk(SEND, says("no"), permission_seconds=0.0)
    async def _(client, talk):
        await ended(client, await asked(client, talk))
        assert sent == []


def test_the_word_of_another_thread_opens_nothing(sent):
    @talk(SEND, says("done"))
    async def _(client, talk):
        turn = await asked(client, talk)
        (question,) = await events(client, turn, "permission")
        assert await answered(client, await begun(client), question["data"]["id"], "once") == 404
        answer = await client.post(f"{talk.url}/permissions/{question['data']['id']}", json={"answer": "perhaps"})
        assert answer.status_code == 400
        await answered(client, talk, question["data"]["id"], "deny")
        await ended(client, turn)
