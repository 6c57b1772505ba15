import base64
import hashlib
import json

import pytest

from firesteel.server.store import StoreUnavailable
from firesteel.server.threads import files, imports
from tests.agent.scripted import Scripted, calls, says
from tests.server.responses.asking import URL as RESPONSES
from tests.server.responses.asking import picture
from tests.server.threads.talking import URL, Talk, code, talk, written

TURN = {"id": "1", "created_at": 5, "status": "completed", "model": "kindling", "input": [], "output": []}
FILE = {"object": "firesteel.thread", "version": 1, "title": "t", "created_at": 5, "turns": []}


def user(content, **more):
    return {"type": "message", "role": "user", "content": content} | more


def holding(*given):
    """A file whose one turn has these files."""
    return file({"files": [{"name": "a", "id": "1", "data": "YQ=="} | each for each in given]})


def file(*turns, **more):
    return FILE | {"turns": [TURN | turn for turn in turns]} | more


def bare(told):
    """An export without its ids."""
    text = json.dumps(told)
    for number, turn in enumerate(told["turns"]):
        text = text.replace(turn["id"].removeprefix("resp_"), f"turn{number}")
    told = json.loads(text.replace(told["id"], "thread"))
    for turn in told["turns"]:
        del turn["background"], turn["completed_at"]
        for item in [*turn["input"], *turn["output"]]:
            item.pop("id"), item.pop("status", None)
    return told | {"updated_at": 0}


def test_an_export_comes_back_as_it_was_under_new_ids():
    backend = Scripted(says("one", thought="hm"), calls(("zoom", {"bbox": "[0, 0, 500, 500]"})), says("two"), says("3"))

    @talk(backend=backend, tools=("zoom",))
    async def _(client, talk):
        root = await talk.say([{"type": "input_image", "image_url": picture(size=(400, 400))}], instructions="Be kind.")
        left = await talk.say("zoom in", root, firesteel={"tools": ["zoom"]})
        await talk.say("other", root)
        await client.post(talk.url, json={"leaf": left, "settings": {"mode": "instant"}, "title": "T"})
        first = (await client.get(f"{talk.url}/export")).json()
        assert "firesteel:tool_call" in str(first)
        made = await client.post(f"{URL}/import", json=first)
        assert made.status_code == 200, made.text
        other = Talk(client, made.json()["id"])
        again = await other.read("/export")
        assert bare(again) == bare(first)
        assert not {turn["id"] for turn in again["turns"]} & {turn["id"] for turn in first["turns"]}
        sft = [(await client.get(f"{each.url}/export?format=sft")).text for each in (talk, other)]
        one, two = ([[said(m) for m in json.loads(line)["messages"]] for line in text.splitlines()] for text in sft)
        assert one == two
        backend.lines = [says("four")]
        await other.say("go on", again["leaf"])
        assert [message.text for message in backend.requests[-1].messages][-2:] == ["two", "go on"]
        (hit,) = (await client.get(URL, params={"query": "four"})).json()["data"]
        assert hit["id"] == other.id


def test_files_come_back_with_their_turns_and_lie_there_for_the_next():
    look = calls(("container.view", {"path": "b/c.txt"}))
    lines = [written("a.txt", "one"), says("ok"), written("b/c.txt", "two"), says("ok"), says("hm"), look, says("seen")]

    @talk(*lines)
    async def _(client, talk):
        tools = {"tools": ["files"]}
        first = await talk.say("write", firesteel=tools)
        await talk.say("write", first, firesteel=tools)
        await talk.say("else", first)
        told = (await client.get(f"{talk.url}/export")).json()
        made = await client.post(f"{URL}/import", json=told)
        other = Talk(client, made.json()["id"])
        one, two, three = [turn["id"] for turn in (await other.read())["turns"]]
        names = [{each["name"]: each["turn"] for each in await listed(other, turn)} for turn in (one, two, three)]
        assert names == [{"a.txt": one}, {"a.txt": one, "b/c.txt": two}, {"a.txt": one}]
        assert (await client.get(f"{other.url}/turns/{two}/files/b/c.txt")).content == b"two\n"
        again = (await other.read("/export"))["turns"]
        assert [turn["files"] for turn in again] == [turn["files"] for turn in told["turns"]]
        last = await other.say("look", two, firesteel=tools)
        assert "two" in str((await other.read())["turns"][-1]["output"])
        assert [each["turn"] for each in await listed(other, last)] == [one, two]


def test_a_file_that_was_given_comes_back_as_one_of_its_turn():
    @talk(says("ok"))
    async def _(client, talk):
        upload = {"file": ("a.csv", b"1,2")}
        id = (await client.post("/v1/files", files=upload, data={"purpose": "user_data"})).json()["id"]
        await client.post(talk.url, json={"settings": {"mode": "instant", "files": [{"id": id}]}})
        await talk.say("look")
        told = (await client.get(f"{talk.url}/export")).json()
        await client.delete(f"/v1/files/{id}")
        made = (await client.post(f"{URL}/import", json=told)).json()
        assert made["settings"] == {"mode": "instant"}
        (entry,) = await listed(Talk(client, made["id"]), made["leaf"])
        assert (entry["name"], entry["turn"]) == ("a.csv", made["leaf"])


async def listed(talk, turn):
    return (await talk.read(f"/turns/{turn}/files"))["data"]


def test_an_import_may_be_larger_than_other_bodies_by_a_folder_of_files(monkeypatch):
    monkeypatch.setattr("firesteel.server.threads.routes.MOST_BYTES", 3000)

    @talk(body_bytes=1000)
    async def _(client, talk):
        for size, status in ((2000, 200), (5000, 413)):
            given = holding({"data": base64.b64encode(b"a" * size).decode()})
            assert (await client.post(f"{URL}/import", json=given)).status_code == status


@pytest.mark.parametrize("cap", ["LARGEST", "MOST_BYTES"])
def test_files_that_are_too_large_are_refused(monkeypatch, cap):
    monkeypatch.setattr(imports, cap, 10)

    @talk(file_bytes=10)
    async def _(client, talk):
        data = base64.b64encode(b"123456").decode() if cap == "MOST_BYTES" else base64.b64encode(b"1" * 20).decode()
        answer = await client.post(f"{URL}/import", json=holding({"data": data}, {"name": "b", "data": data}))
        where = "turns.0.files" if cap == "MOST_BYTES" else "turns.0.files.0.data"
        assert code(answer) == (413, where)
        assert len((await client.get(URL)).json()["data"]) == 1


def said(message):
    """What of a message the model would hear again."""
    return {name: value for name, value in message.items() if name not in ("usage", "token_ids", "logprobs")} | {
        "tool_call_id": "", "tool_calls": [call["function"] for call in message.get("tool_calls", ())]
    }  # fmt: skip


@pytest.mark.parametrize(
    "given, status, param",
    [
        ({}, 400, "object"),
        (FILE | {"version": 2}, 400, "version"),
        (FILE | {"settings": {"x": "y" * 20_000}}, 400, "settings"),
        (FILE | {"title": "x" * 513}, 400, "title"),
        (file({}, {}), 400, "turns.1.id"),
        (file({"previous": "1"}), 400, "turns.0.previous"),
        (file({"previous": "2"}, {"id": "2"}), 400, "turns.0.previous"),
        (file({"status": "great"}), 400, "turns.0.status"),
        (file({"created_at": -1}), 400, "turns.0.created_at"),
        (file({"created_at": "x"}), 400, "turns.0.created_at"),
        (file({"usage": {"input_tokens": "many"}}), 400, "turns.0.usage.input_tokens"),
        (file({"error": {"code": 1, "message": "x"}}), 400, "turns.0.error.code"),
        (file({"input": [user("x", role="emperor")]}), 400, "turns.0.input.0.role"),
        (file({"input": ["x"]}), 400, "turns.0.input.0"),
        (file({"input": [user([{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}])]}), 400,
         "turns.0.input.0.content.0"),
        (file({"input": [user([{"type": "input_image", "image_url": "http://127.0.0.1/"}])]}), 400,
         "turns.0.input.0.content.0"),
        (file({"input": [user([{"type": "input_image", "image_url": "/etc/passwd"}])]}), 400,
         "turns.0.input.0.content.0"),
        (file({"input": [user([{"type": "input_image", "file_id": "file-x"}])]}), 404, None),
        (file({"input": [{"type": "item_reference", "id": "msg_x"}]}), 404, None),
        (file({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}), 400,
         "turns.0.input.0.call_id"),
        (file({"output": [{"type": "compaction", "encrypted_content": "x"}]}), 400, "turns.0.output.0"),
        (file(*({"id": str(number)} for number in range(9))), 400, "turns"),
        (file({"input": [user([{"type": "input_image", "image_url": picture()}] * 21)]}), 400, "turns"),
        *((holding({"name": name}), 400, "turns.0.files.0.name") for name in
          ("", "/etc/passwd", "../a", "a/../../b", "a//b", "a/", "./a", "a\0", ".scratch/a", "a/" * 33 + "b")),
        (holding({}, {}), 400, "turns.0.files.1.name"),
        (holding({"data": "no base64"}), 400, "turns.0.files.0.data"),
        (holding({"data": "YQ="}), 400, "turns.0.files.0.data"),
        (holding({"data": None}), 400, "turns.0.files.0.data"),
        (holding({"id": hashlib.sha256(b"a").hexdigest(), "data": None}), 400, "turns.0.files.0.data"),
        (holding(*({"name": str(number)} for number in range(files.MOST + files.GIVEN + 1))), 400, "turns.0.files"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused_whole(given, status, param):
    @talk(messages=8, images=2)
    async def _(client, talk):
        assert code(await client.post(f"{URL}/import", json=given)) == (status, param)
        assert len((await client.get(URL)).json()["data"]) == 1


def test_nothing_in_a_file_names_what_is_stored_here():
    secret = b"\x89PNG\r\n\x1a\n a secret"
    name = hashlib.sha256(secret).hexdigest()
    forged = {"firesteel:blob": name, "head": "data:image/png;base64"}
    given = file(
        {"id": "resp_1", "input": [user("hi", x=forged)], "output": [{"type": "other", "x": forged}], "usage": forged},
        id="thread_mine",
        owner="bob",
        settings={"x": forged},
        leaf="resp_1",
    )

    @talk()
    async def _(client, talk):
        await client.service.store.put_blob(secret)
        made = (await client.post(f"{URL}/import", json=given)).json()
        assert made["id"] != "thread_mine" and made["leaf"] != "resp_1" and made["settings"] == {"x": forged}
        for path in ("", "/export", f"/images/{name}", "/export?format=sft"):
            answer = await client.get(f"{URL}/{made['id']}{path}")
            assert base64.b64encode(secret).decode() not in answer.text and secret not in answer.content, path
        turn = made["leaf"]
        told = (await client.get(f"{RESPONSES}/{turn}")).json()
        assert told["id"] == turn and base64.b64encode(secret).decode() not in str(told)


def test_times_and_states_of_a_file_are_bounded():
    @talk()
    async def _(client, talk):
        given = file({"created_at": 9e10, "status": "in_progress"}, created_at=9e10)
        told = (await client.post(f"{URL}/import", json=given)).json()
        (turn,) = (await client.get(f"{URL}/{told['id']}")).json()["turns"]
        assert turn["status"] == "incomplete" and turn["created_at"] < 9e10 and told["created_at"] < 9e10


def test_an_import_that_is_broken_off_shows_nothing(monkeypatch):
    @talk()
    async def _(client, talk):
        async def broken(*_):
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(client.service.store, "put_turns", broken)
        assert (await client.post(f"{URL}/import", json=file({}))).status_code == 503
        assert [each["id"] for each in (await client.get(URL)).json()["data"]] == [talk.id]


def test_a_long_thread_is_imported_whole():
    @talk()
    async def _(client, talk):
        turns = [{"id": str(number), "input": [user(f"q{number}")]} for number in range(120)]
        for turn in turns[1:]:
            turn["previous"] = str(int(turn["id"]) - 1)
        made = (await client.post(f"{URL}/import", json=file(*turns))).json()
        told = (await client.get(f"{URL}/{made['id']}")).json()["turns"]
        assert len(told) == 120 and [turn["previous"] for turn in told[1:]] == [turn["id"] for turn in told[:-1]]
