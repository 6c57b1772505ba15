"""The files of a thread lie in its turns, each branch has its own, and none leads out of the folder."""

import asyncio
from dataclasses import replace

import pytest

from firesteel.server.threads import files
from tests.agent.scripted import Scripted, calls, says
from tests.server.threads.talking import begun, code, talk, written

TOOLS = {"firesteel": {"tools": ["files"]}}


async def listed(talk, turn):
    return {each["name"]: each for each in (await talk.read(f"/turns/{turn}/files"))["data"]}


async def uploaded(client, name, data):
    answer = await client.post("/v1/files", files={"file": (name, data)}, data={"purpose": "user_data"})
    return answer.json()["id"]


def test_what_a_turn_wrote_is_there_for_the_next_and_not_beside():
    see = calls(("container.view", {"path": "a.txt"}))

    @talk(written("a.txt", "one"), says("ok"), see, says("seen"), written("b.txt", "two"), says("ok"), see, says("no"))
    async def _(client, talk):
        first = await talk.say("write", **TOOLS)
        then = await talk.say("look", first, **TOOLS)
        assert "one" in str((await talk.read())["turns"][1]["output"])
        beside = await talk.say("otherwise", **TOOLS)
        await talk.say("look", beside, **TOOLS)
        assert "no file a.txt" in str((await talk.read())["turns"][3]["output"])
        assert (await listed(talk, then))["a.txt"] == {
            "object": "thread.file",
            "name": "a.txt",
            "bytes": 4,
            "turn": first,
        }
        assert list(await listed(talk, beside)) == ["b.txt"]


def test_files_outlive_a_turn_without_tools_and_are_saved_not_shown():
    @talk(written("sub/page.html", "<script>"), says("ok"), says("just words"))
    async def _(client, talk):
        first = await talk.say("write", **TOOLS)
        second = await talk.say("and now", first)
        answer = await client.get(f"{talk.url}/turns/{second}/files/sub/page.html")
        assert answer.text == "<script>\n" and answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment") and "sandbox" in str(answer.headers)
        other = await begun(client)
        assert (await client.get(f"{other.url}/turns/{second}/files")).status_code == 404
        assert (await client.get(f"{talk.url}/turns/{second}/files/none")).status_code == 404


def test_what_the_user_gave_lies_in_the_folder_until_it_is_taken_back():
    see = calls(("container.view", {"path": "data.csv"}))

    @talk(see, says("seen"), see, says("gone"))
    async def _(client, talk):
        id = await uploaded(client, "data.csv", b"a,b\n1,2\n")
        await client.post(talk.url, json={"settings": {"files": [{"id": id}, {"id": "file-foreign"}, "x"]}})
        first = await talk.say("look", **TOOLS)
        assert "a,b" in str((await talk.read())["turns"][0]["output"])
        assert (await listed(talk, first))["data.csv"]["turn"] is None
        assert (await client.get(f"{talk.url}/turns/{first}/files/data.csv")).content == b"a,b\n1,2\n"
        await client.post(talk.url, json={"settings": {}})
        second = await talk.say("look", first, **TOOLS)
        assert await listed(talk, second) == {}


def test_a_name_that_has_no_place_locks_nothing():
    see = calls(("container.view", {"path": "."}))

    @talk(written("data/x.csv", "1"), says("ok"), see, says("seen"))
    async def _(client, talk):
        first = await talk.say("write", **TOOLS)
        given = [{"id": await uploaded(client, name, b"2")} for name in ("data", ".scratch", "b.txt")]
        await client.post(talk.url, json={"settings": {"files": given}})
        second = await talk.say("look", first, **TOOLS)
        assert set(await listed(talk, second)) == {"data/x.csv", "b.txt"}
        assert (await talk.read())["turns"][1]["status"] == "completed"


def test_files_stay_where_the_folder_cannot_be_looked_through(monkeypatch):
    @talk(written("a.txt", "one"), says("ok"), written("b.txt", "two"), says("ok"))
    async def _(client, talk):
        first = await talk.say("write", **TOOLS)

        def survey(folder, most):
            raise ValueError("The working folder is nested more than 32 deep.")

        monkeypatch.setattr(files, "survey", survey)
        second = await talk.say("write", first, **TOOLS)
        assert list(await listed(talk, second)) == ["a.txt"]


def test_a_turn_that_is_refused_reads_no_file(monkeypatch):
    class Narrow(Scripted):
        slots = 1

    @talk(backend=Narrow(says("word " * 40), pause=0.02), queue=0)
    async def _(client, talk):
        id = await uploaded(client, "a", b"1")
        await client.post(talk.url, json={"settings": {"files": [{"id": id}]}})
        other = asyncio.create_task(talk.say("x"))
        while not client.service.backend.running:
            await asyncio.sleep(0.01)
        read = []
        monkeypatch.setattr(client.service.store, "file_data", lambda *given: read.append(given))
        body = {"model": "kindling", "input": "hi", "firesteel": {"thread": talk.id, "tools": ["files"]}}
        assert (await client.post("/v1/responses", json=body)).status_code == 429
        await other
        assert read == []


def test_files_of_older_turns_are_read():
    """Their rows name the blob as a packed data URL does."""

    @talk(written("a.txt", "one"), says("ok"), calls(("container.view", {"path": "a.txt"})), says("seen"))
    async def _(client, talk):
        first, store = await talk.say("write", **TOOLS), client.service.store
        row = await store.get_response("local", first)
        (entry,) = row.request["files"]
        old = {"firesteel:blob": entry.pop("blob"), "head": "data:application/octet-stream;base64"}
        await store.put_response(replace(row, request=row.request | {"files": [entry | {"content": old}]}))
        await talk.say("look", first, **TOOLS)
        assert "one" in str((await talk.read())["turns"][1]["output"])


def test_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 5)

    @talk(says("no"))
    async def _(client, talk):
        id = await uploaded(client, "a", b"123456")
        await client.post(talk.url, json={"settings": {"files": [{"id": id}]}})
        body = {"model": "kindling", "input": "hi", "firesteel": {"thread": talk.id, "tools": ["files"]}}
        assert code(await client.post("/v1/responses", json=body)) == (400, "firesteel.thread")


def test_links_and_what_is_too_large_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 3)
    secret = tmp_path / "secret"
    secret.write_text("no")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a").write_text("yes")
    (folder / "large").write_text("large")
    try:
        (folder / "link").symlink_to(secret)
    except OSError:
        pytest.skip("this system makes no links")
    assert files._read(folder, {}) == {"a": b"yes"}
    assert files._read(tmp_path / "none", {}) == {}
