"""Conversations and their items."""

from tests.agent.scripted import says
from tests.server.responses.asking import picture, talk

URL = "/v1/conversations"


def user(text):
    return {"type": "message", "role": "user", "content": text}


def test_a_conversation_is_made_changed_and_deleted():
    @talk()
    async def told(client, _):
        made = (await client.post(URL, json={"metadata": {"a": "b"}, "items": [user("hi")]})).json()
        changed = (await client.post(f"{URL}/{made['id']}", json={"metadata": {"c": "d"}, "title": "T"})).json()
        again = (await client.get(f"{URL}/{made['id']}")).json()
        gone = (await client.delete(f"{URL}/{made['id']}")).json()
        return made, changed, again, gone, (await client.get(f"{URL}/{made['id']}")).status_code

    made, changed, again, gone, status = told
    assert made["object"] == "conversation" and made["metadata"] == {"a": "b"}
    assert changed == again and again["metadata"] == {"c": "d"} and again["title"] == "T"
    assert gone == {"id": made["id"], "object": "conversation.deleted", "deleted": True} and status == 404


def test_items_are_added_listed_and_removed():
    seen = [{"type": "input_image", "image_url": picture()}]

    @talk()
    async def told(client, _):
        id = (await client.post(URL, json={})).json()["id"]
        items = f"{URL}/{id}/items"
        call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
        await client.post(items, json={"items": [user("a"), {"role": "user", "content": seen}, call]})
        output = {"type": "function_call_output", "call_id": "c1", "output": "x"}
        added = (await client.post(items, json={"items": [output]})).json()
        page = (await client.get(f"{items}?order=asc&limit=2")).json()
        rest = (await client.get(f"{items}?order=asc&after={page['last_id']}")).json()
        one = (await client.get(f"{items}/{page['last_id']}")).json()
        removed = (await client.delete(f"{items}/{page['last_id']}")).json()
        missing = await client.get(f"{items}/{page['last_id']}")
        return added, page, rest, one, removed, missing.status_code

    added, page, rest, one, removed, missing = told
    assert added["object"] == "list" and added["data"][0]["output"] == "x"
    assert page["has_more"] and [item["type"] for item in rest["data"]] == ["function_call", "function_call_output"]
    assert one["content"] == seen and removed["object"] == "conversation" and missing == 404


def test_pictures_that_are_there_do_not_count_again():
    seen = {"role": "user", "content": [{"type": "input_image", "image_url": picture()}]}

    @talk(says("red"), images=1)
    async def told(client, ask):
        id = (await client.post(URL, json={"items": [seen]})).json()["id"]
        added = await client.post(f"{URL}/{id}/items", json={"items": [seen]})
        answer = await ask(input=[seen], conversation=id)
        more = await ask(input=[seen, seen], conversation=id)
        return added.status_code, answer.status_code, more.json()["error"]["param"]

    assert told == (200, 200, "input.1.content.0")


def test_conversations_are_listed_the_last_updated_first():
    @talk()
    async def told(client, _):
        first, second = [(await client.post(URL, json={})).json()["id"] for _ in range(2)]
        await client.post(f"{URL}/{first}/items", json={"items": [user("a")]})
        page = (await client.get(f"{URL}?limit=1")).json()
        rest = (await client.get(f"{URL}?after={page['last_id']}")).json()
        return first, second, page, rest

    first, second, page, rest = told
    assert [each["id"] for each in page["data"]] == [first] and page["has_more"]
    assert [each["id"] for each in rest["data"]] == [second]


def test_what_is_wrong_is_told():
    @talk()
    async def told(client, _):
        id = (await client.post(URL, json={})).json()["id"]
        answers = [
            await client.post(URL, json={"metadata": {"a": 1}}),
            await client.post(URL, json={"items": [user("a")] * 21}),
            await client.post(f"{URL}/{id}/items", json={}),
            await client.post(f"{URL}/{id}/items", json={"items": [{"role": "x", "content": "y"}]}),
            await client.get(f"{URL}?limit=0"),
            await client.get(f"{URL}/conv_none/items"),
            await client.delete(f"{URL}/{id}/items/none"),
        ]
        return [answer.status_code for answer in answers]

    assert told == [400, 400, 400, 400, 400, 404, 404]


def test_nothing_of_another_owner_is_visible():
    @talk()
    async def told(client, _):
        keys = {}
        for owner in ("ann", "bob"):
            _, secret = await client.service.store.create_key(owner=owner, name=owner)
            keys[owner] = {"authorization": f"Bearer {secret}"}
        made = await client.post(URL, json={"items": [user("secret")]}, headers=keys["ann"])
        place, bob = f"{URL}/{made.json()['id']}", keys["bob"]
        item = (await client.get(f"{place}/items", headers=keys["ann"])).json()["first_id"]
        answers = [
            await client.get(place, headers=bob),
            await client.post(place, json={"metadata": {}}, headers=bob),
            await client.delete(place, headers=bob),
            await client.get(f"{place}/items", headers=bob),
            await client.post(f"{place}/items", json={"items": [user("x")]}, headers=bob),
            await client.get(f"{place}/items/{item}", headers=bob),
            await client.delete(f"{place}/items/{item}", headers=bob),
            await client.post("/v1/responses", json={"model": "kindling", "conversation": place[18:]}, headers=bob),
        ]
        listed = (await client.get(URL, headers=bob)).json()["data"]
        return [answer.status_code for answer in answers], listed

    assert told == ([404] * 8, [])
