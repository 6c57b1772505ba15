"""A call of a turn runs again as it ran, on a copy, and only where the caller may."""

import base64
from dataclasses import replace

import pytest

from tests.agent.scripted import calls, says
from tests.server.responses.asking import picture
from tests.server.serving import sending
from tests.server.threads.talking import talk

LOOK = calls(("zoom", {"img": "0", "bbox_2d": "[0, 0, 500, 500]", "label": "left"}))


async def replayed(client, talk, turn, call):
    return await client.post(f"{talk.url}/turns/{turn}/calls/{call}/replay")


async def calls_of(talk, turn):
    told = next(each for each in (await talk.read())["turns"] if each["id"] == turn)
    return [item for item in told["output"] if item["type"] == "firesteel:tool_call"]


def test_a_look_gives_the_same_crop_again():
    @talk(LOOK, says("34"))
    async def _(client, talk):
        shown = [{"type": "input_image", "image_url": picture(size=(400, 300))}]
        turn = await talk.say(shown, firesteel={"tools": ["zoom"]})
        (item,) = await calls_of(talk, turn)
        first = await client.get(item["output"][1]["image_url"])
        told = (await replayed(client, talk, turn, item["id"])).json()
        assert (told["call"], told["name"]) == (item["id"], "zoom")
        assert told["output"][0] == item["output"][0]
        assert base64.b64decode(told["output"][1]["image_url"].partition(",")[2]) == first.content
        assert client.service.admission.slots.free == client.service.admission.slots.total


def test_what_it_writes_is_thrown_away_and_a_complaint_is_a_result():
    insert = calls(("container.insert", {"path": "a.txt", "insert_line": "0", "new_str": "one"}))
    gone = calls(("container.str_replace", {"path": "a.txt", "old_str": "one", "new_str": "two"}))

    @talk(insert, says("ok"), gone, says("ok"))
    async def _(client, talk):
        first = await talk.say("write", firesteel={"tools": ["files"]})
        second = await talk.say("change", first, firesteel={"tools": ["files"]})
        (item,) = await calls_of(talk, second)
        told = (await replayed(client, talk, second, item["id"])).json()
        assert "does not occur" in told["output"][0]["text"]  # it is replaced already
        answer = await client.get(f"{talk.url}/turns/{second}/files/a.txt")
        assert answer.text == "two\n"


def test_what_it_takes_is_billed_under_a_name_of_this_server():
    @talk(LOOK, says("34"))
    async def _(client, talk):
        shown = [{"type": "input_image", "image_url": picture(size=(400, 300))}]
        turn, store = await talk.say(shown, firesteel={"tools": ["zoom"]}), client.service.store
        row = await store.get_response("local", turn)
        await store.put_response(replace(row, model="another's"))  # as an import may say
        (item,) = await calls_of(talk, turn)
        assert (await replayed(client, talk, turn, item["id"])).status_code == 200
        assert {used.model for used in await store.usage()} == {"kindling"}


def test_only_calls_of_ours_that_may_run_here_run_again():
    @talk(LOOK, says("34"), says("nothing"))
    async def _(client, talk):
        shown = [{"type": "input_image", "image_url": picture(size=(400, 300))}]
        turn = await talk.say(shown, firesteel={"tools": ["zoom"]})
        (item,) = await calls_of(talk, turn)
        assert (await replayed(client, talk, turn, "ft_x")).status_code == 404
        other = await talk.say("well", turn)
        assert (await replayed(client, talk, other, item["id"])).status_code == 404
        object.__setattr__(client.service.settings, "tools", ("python",))
        assert (await replayed(client, talk, turn, item["id"])).json()["error"]["code"] == "tool_not_served"


def test_a_call_whose_message_never_was_whole_is_not_another_one():
    left, right = "[0, 0, 500, 500]", "[500, 0, 1000, 500]"
    lines = [calls(("zoom", {"img": "0", "bbox_2d": box, "label": "x"})) for box in (left, right, left)]

    @talk(lines[0], says("34"), lines[1], lines[2], says("56"))
    async def _(client, talk):
        shown = [{"type": "input_image", "image_url": picture(size=(400, 300))}]
        first = await talk.say(shown, firesteel={"tools": ["zoom"]})
        second = await talk.say("and there?", first, firesteel={"tools": ["zoom"]})
        store = client.service.store
        row = await store.get_response("local", second)
        await store.put_response(replace(row, messages=row.messages[:3]))  # stopped in the middle of its second call
        one, two = await calls_of(talk, second)
        assert (await replayed(client, talk, second, two["id"])).status_code == 404
        assert (await replayed(client, talk, second, one["id"])).json()["output"][0] == one["output"][0]


def test_a_page_is_made_again_on_the_copy():
    page = calls(("container.create_web_artifact", {"kind": "html", "title": "P", "content": "<p>"}))

    @talk(page, says("made"))
    async def _(client, talk):
        turn = await talk.say("make", firesteel={"tools": ["artifacts"]})
        (item,) = await calls_of(talk, turn)
        (told,) = (await replayed(client, talk, turn, item["id"])).json()["output"]
        assert told["text"] == item["output"]


def test_a_search_asks_again_where_its_turn_could(tmp_path):
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(f"flint and steel of {name}")
    ours, theirs = (f"folder:{tmp_path / name}" for name in ("ours", "theirs"))
    search = calls(("browser.search", {"primary_query": '{"query": "flint"}'}))

    @talk(search, says("found"), tools=(ours, theirs))
    async def _(client, talk):
        turn, store = await talk.say("look", firesteel={"tools": [ours]}), client.service.store
        (item,) = await calls_of(talk, turn)
        (told,) = (await replayed(client, talk, turn, item["id"])).json()["output"]
        assert "ours.txt" in told["text"] and told["text"] == item["output"]
        row = await store.get_response("local", turn)
        request = {name: value for name, value in row.request.items() if name != "tools"}
        await store.put_response(replace(row, request=request))  # as of an import
        assert "theirs.txt" in str((await replayed(client, talk, turn, item["id"])).json())
        await store.put_response(replace(row, request=request | {"tools": ["zoom"]}))
        assert (await replayed(client, talk, turn, item["id"])).json()["error"]["code"] == "tool_not_served"


@pytest.mark.parametrize("name", ["send", "browser.open", "subagents.spawn_agents"])
def test_what_changes_something_or_needs_its_turn_is_refused_in_words(monkeypatch, name):
    sent = sending(monkeypatch)

    @talk(calls((name, {"what": "news"})), says("ok"))
    async def _(client, talk):
        turn = await talk.say("send", firesteel={"tools": ["zoom"]})
        (item,) = await calls_of(talk, turn)
        error = (await replayed(client, talk, turn, item["id"])).json()["error"]
        assert error["code"] == "tool_not_replayed" and error["message"].startswith(f"The tool '{name}' does not run")
        assert sent == []


def test_a_key_without_the_tool_runs_no_call_of_it_again():
    @talk(LOOK, says("34"))
    async def _(client, talk):
        shown = [{"type": "input_image", "image_url": picture(size=(400, 300))}]
        turn = await talk.say(shown, firesteel={"tools": ["zoom"]})
        (item,) = await calls_of(talk, turn)
        _, secret = await client.service.store.create_key(name="k", owner="local", tools=("files",))
        client.headers["x-api-key"] = secret
        client.service.access._closed = True
        answer = await replayed(client, talk, turn, item["id"])
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "tool_not_served")
        assert "zoom" not in (await client.get("/v1/app")).json()["replays"]


def test_it_counts_as_an_answer_that_ended_well():
    @talk(LOOK, says("34"))
    async def _(client, talk):
        shown = [{"type": "input_image", "image_url": picture(size=(400, 300))}]
        turn = await talk.say(shown, firesteel={"tools": ["zoom"]})
        (item,) = await calls_of(talk, turn)
        await replayed(client, talk, turn, item["id"])
        told = (await client.get("/metrics")).text.splitlines()
        (ended,) = [line for line in told if line.startswith("vllm:request_success_total{")]
        assert 'finished_reason="stop"' in ended and ended.endswith(" 2.0")
