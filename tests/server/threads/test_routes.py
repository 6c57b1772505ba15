import asyncio
import time

from sqlalchemy import event

from firesteel.server.responses import background
from tests.agent.scripted import Scripted, says
from tests.server.responses.asking import URL as RESPONSES
from tests.server.responses.asking import ended
from tests.server.serving import serving
from tests.server.store.samples import thread, turn
from tests.server.threads.talking import URL, begun, code, talk


def test_a_thread_begins_empty_and_takes_changes():
    @talk()
    async def _(client, talk):
        made = await talk.read()
        assert made | {"created_at": 0, "updated_at": 0} == {
            "id": talk.id,
            "object": "thread",
            "title": "",
            "pinned": False,
            "created_at": 0,
            "updated_at": 0,
            "leaf": None,
            "settings": {},
            "turns": [],
        }
        changes = {"title": "Fire", "pinned": True, "settings": {"mode": "instant"}}
        changed = (await client.post(talk.url, json=changes)).json()
        assert changed == {name: value for name, value in made.items() if name != "turns"} | changes


def test_turns_make_a_tree_whose_leaf_is_the_last():
    @talk(says("one"), says("two"), says("three"))
    async def _(client, talk):
        root = await talk.say("first", firesteel={"mode": "instant"})
        left, right = await talk.say("again", root), await talk.say("otherwise", root)
        told = await talk.read()
        assert [(each["id"], each["previous"]) for each in told["turns"]] == [(root, None), (left, root), (right, root)]
        assert (told["leaf"], told["title"]) == (right, "first")
        assert [each["mode"] for each in told["turns"]] == ["instant", "thinking", "thinking"]
        assert told["turns"][1]["input"][0]["content"] == [{"type": "input_text", "text": "again"}]
        assert told["turns"][1]["output"][0]["content"][0]["text"] == "two"
        assert told["turns"][1]["status"] == "completed" and told["turns"][1]["usage"]["output_tokens"]
        assert (await client.post(talk.url, json={"leaf": left})).json()["leaf"] == left


def test_the_model_hears_the_path_and_not_the_branches():
    backend = Scripted(says("one"), says("two"), says("three"))

    @talk(backend=backend)
    async def _(client, talk):
        root = await talk.say("first")
        await talk.say("left", root)
        await talk.say("right", root)

    assert [message.text for message in backend.requests[-1].messages] == ["first", "one", "right"]


def test_a_turn_that_runs_is_listed_and_can_be_followed():
    @talk(says("slow " * 200), backend=Scripted(says("slow " * 200), pause=0.01))
    async def _(client, talk):
        body = {"model": "kindling", "input": "go", "background": True, "firesteel": {"thread": talk.id}}
        id = (await client.post(RESPONSES, json=body)).json()["id"]
        (listed,) = (await talk.read())["turns"]
        assert (listed["id"], listed["background"], listed["output"]) == (id, True, [])
        assert listed["status"] in ("queued", "in_progress")
        events = (await client.get(f"{RESPONSES}/{id}?stream=true&starting_after=1")).text
        assert "response.completed" in events and "response.created" not in events


def test_a_turn_in_the_foreground_belongs_to_its_thread_too():
    @talk(says("yes"))
    async def _(client, talk):
        body = {"model": "kindling", "input": "fore", "firesteel": {"thread": talk.id}}
        id = (await client.post(RESPONSES, json=body)).json()["id"]
        told = await talk.read()
        assert (told["leaf"], told["title"], len(told["turns"])) == (id, "fore", 1)


def test_what_cannot_be_a_turn_is_refused():
    @talk(says("one"), says("two"))
    async def _(client, talk):
        root, other = await talk.say("first"), await begun(client)
        conversation = (await client.post("/v1/conversations", json={})).json()["id"]
        for status, param, body in (
            (404, None, {"firesteel": {"thread": "thread_x"}}),
            (400, "firesteel.thread", {"store": False}),
            (400, "firesteel.thread", {"conversation": conversation}),
            (400, "previous_response_id", {"previous_response_id": root, "firesteel": {"thread": other.id}}),
            (400, "previous_response_id", {"previous_response_id": "resp_x"}),
            (400, "firesteel.thread", {"firesteel": {"thread": "x" * 129}}),
        ):
            asked = {"model": "kindling", "input": "x", "firesteel": {"thread": talk.id}} | body
            assert code(await client.post(RESPONSES, json=asked)) == (status, param), body
        assert len((await talk.read())["turns"]) == 1 and (await other.read())["turns"] == []
        assert len(client.service.backend.lines) == 1


def test_wrong_values_are_told_by_name():
    @talk(says("one"))
    async def _(client, talk):
        other = await begun(client)
        turn = await talk.say("first", thread=other.id)
        for status, param, path, body in (
            (400, "settings", URL, {"settings": {"x": "y" * 20_000}}),
            (400, "settings", talk.url, {"settings": [1]}),
            (400, "title", URL, {"title": "x" * 513}),
            (404, None, talk.url, {"leaf": turn}),
            (404, None, talk.url, {"leaf": "resp_x"}),
            (404, None, f"{URL}/thread_x", {"title": "x"}),
        ):
            assert code(await client.post(path, json=body)) == (status, param), (path, body)
        for param, query in (("limit", "limit=0"), ("limit", "limit=x"), ("query", "query=" + "x" * 513)):
            assert code(await client.get(f"{URL}?{query}")) == (400, param)


def test_the_list_is_paged_searched_and_says_where():
    @talk(says("The answer is Éclair."), says("no"))
    async def _(client, talk):
        await talk.say("What is sweet?")
        other = await begun(client, title="pinned")
        await client.post(other.url, json={"pinned": True})
        first = (await client.get(URL, params={"limit": 1})).json()
        assert [each["id"] for each in first["data"]] == [other.id] and first["has_more"]
        second = (await client.get(URL, params={"limit": 1, "after": other.id})).json()
        assert [each["id"] for each in second["data"]] == [talk.id] and not second["has_more"]
        assert "snippet" not in second["data"][0]
        (hit,) = (await client.get(URL, params={"query": "ECLAIR"})).json()["data"]
        assert hit["id"] == talk.id and hit["snippet"] == "What is sweet? The answer is \2Éclair\3."
        assert len((await client.get(URL, params={"query": ""})).json()["data"]) == 2


def test_a_deleted_thread_can_be_restored_and_takes_no_turns_meanwhile():
    @talk(says("one"))
    async def _(client, talk):
        root = await talk.say("first")
        assert (await client.delete(talk.url)).json()["deleted"] is True
        assert (await client.get(URL)).json()["data"] == []
        for method, path in (("get", ""), ("delete", ""), ("get", "/export"), ("delete", f"/turns/{root}")):
            assert (await client.request(method, talk.url + path)).status_code == 404, path
        body = {"model": "kindling", "input": "x", "firesteel": {"thread": talk.id}}
        assert (await client.post(RESPONSES, json=body)).status_code == 404
        assert (await client.post(f"{talk.url}/restore")).json()["id"] == talk.id
        assert [each["id"] for each in (await talk.read())["turns"]] == [root]
        assert (await client.post(f"{talk.url}/restore")).status_code == 200, "it is there"
        assert (await client.post(f"{URL}/thread_x/restore")).status_code == 404


def test_what_a_deleted_thread_was_answering_is_cancelled():
    backend = Scripted(says("slow " * 2000), pause=0.01)

    @talk(backend=backend)
    async def _(client, talk):
        body = {"model": "kindling", "input": "go", "background": True, "firesteel": {"thread": talk.id}}
        id = (await client.post(RESPONSES, json=body)).json()["id"]
        await client.delete(talk.url)
        assert (await ended(client, id))["status"] == "cancelled" and backend.running == 0


def test_a_thread_is_purged_with_its_responses_after_a_day(monkeypatch):
    @talk(says("one"), says("two"))
    async def _(client, talk):
        root, other = await talk.say("first"), await begun(client)
        kept = await talk.say("second", thread=other.id)
        await client.delete(talk.url)
        await background.recover(client.service)
        assert (await client.get(f"{RESPONSES}/{root}")).status_code == 200, "the day is not over"
        tomorrow = time.time() + background.UNDO + 1
        monkeypatch.setattr(time, "time", lambda: tomorrow)
        assert (await client.post(f"{talk.url}/restore")).status_code == 404, "it is too late"
        await background.recover(client.service)
        assert (await client.get(f"{RESPONSES}/{root}")).status_code == 404
        assert (await client.get(f"{RESPONSES}/{kept}")).status_code == 200


def test_a_deleted_turn_takes_what_follows_even_while_it_runs():
    backend = Scripted(says("one"), says("two"), says("slow " * 2000))

    @talk(backend=backend)
    async def _(client, talk):
        root = await talk.say("first")
        left = await talk.say("left", root)
        backend.pause = 0.01
        body = {"model": "kindling", "input": "go", "background": True, "firesteel": {"thread": talk.id}}
        id = (await client.post(RESPONSES, json=body | {"previous_response_id": left})).json()["id"]
        told = (await client.delete(f"{talk.url}/turns/{left}")).json()
        assert (told["deleted"], told["leaf"]) == (True, root)
        assert [each["id"] for each in (await talk.read())["turns"]] == [root]
        assert (await client.get(f"{RESPONSES}/{id}")).status_code == 404 and backend.running == 0
        assert (await client.delete(f"{talk.url}/turns/{left}")).status_code == 404


def test_a_thread_of_500_turns_opens_with_two_queries():
    statements = []

    async def main():
        async with serving() as client:
            asked = {"input": [{"type": "message", "role": "user", "content": "q " * 200}]}
            chain = [turn(f"resp_{number}", "a " * 300, owner="local", request=asked) for number in range(500)]
            await client.service.store.put_thread(thread(owner="local"))
            await client.service.store.put_turns("local", "thread_1", chain)
            engine = client.service.store._engine
            event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
            return (await client.get(f"{URL}/thread_1")).json()

    told = asyncio.run(main())
    assert len(told["turns"]) == 500
    assert len([each for each in statements if "FROM threads" in each or "FROM responses" in each]) == 2
