"""Responses that nobody listens to: resumed, cancelled, and found again after the server died."""

import asyncio
import contextlib
import json

import httpx
import pytest

from firesteel.server.app import create_app
from firesteel.server.responses import background as module
from firesteel.server.responses.background import Background
from firesteel.server.service import Service
from firesteel.server.settings import Settings
from firesteel.server.store import Store
from tests.agent.scripted import Scripted, calls, says
from tests.server.responses.asking import URL, WEATHER, ended, picture, streamed, talk
from tests.server.serving import live

LONG = says("word " * 40, thought="let me think about it")


@contextlib.asynccontextmanager
async def replica(folder, backend, **settings):
    """A client of one server process on the store in `folder`."""
    store = await Store.open(f"sqlite:///{folder}/store.sqlite")
    service = Service.of(Settings(data=folder, log_requests=False, **settings), backend, store, "kindling")
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        client.service, client.background = service, service.part(Background)
        yield client
    await store.close()


async def begun(client, **body):
    """The id of a response that is being made and has said something."""
    told = (await client.post(URL, json={"model": "kindling", "input": "x", "background": True} | body)).json()
    assert told["status"] == "queued" and told["background"] and told["output"] == []
    while len(await client.service.store.events("local", told["id"])) < 8:
        await asyncio.sleep(0.01)
    return told["id"]


def test_it_is_made_without_a_listener_and_streams_again_from_anywhere():
    @talk(LONG, says("ok"))
    async def told(client, ask):
        queued = (await ask(input="x", background=True)).json()
        whole = await ended(client, queued["id"])
        stream = f"{URL}/{queued['id']}?stream=true"
        again = streamed(await client.get(stream))
        rest = streamed(await client.get(f"{stream}&starting_after=5"))
        beyond = await client.get(f"{stream}&starting_after=99999")
        following = await ask(input="y", previous_response_id=queued["id"])
        return whole, again, rest, beyond.text, following.json()["status"]

    whole, again, rest, beyond, following = told
    assert whole["status"] == "completed" and whole["usage"]["output_tokens"] > 0
    assert [event["sequence_number"] for event in again] == list(range(len(again)))
    assert [event["type"] for event in again[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert rest == again[6:] and again[-1] == {**again[-1], "type": "response.completed", "response": whole}
    assert beyond.strip() == "data: [DONE]" and following == "completed"


def test_a_stream_that_broke_off_goes_on_while_the_model_speaks():
    def numbers(url, most):
        found = []
        with httpx.stream("GET", url, timeout=60) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: {"):
                    found.append(json.loads(line[6:])["sequence_number"])
                    if len(found) == most:
                        break
        return found

    with live(backend=Scripted(LONG, pause=0.02)) as (url, service):
        body = {"model": "kindling", "input": "x", "background": True, "stream": True}
        first = []
        with httpx.stream("POST", f"{url}{URL}", json=body, timeout=60) as stream:
            for line in stream.iter_lines():  # the client goes away in the middle
                if line.startswith("data: {"):
                    first.append(json.loads(line[6:]))
                    if len(first) == 8:
                        break
        id = first[0]["response"]["id"]
        assert httpx.get(f"{url}{URL}/{id}").json()["status"] == "in_progress"
        second = numbers(f"{url}{URL}/{id}?stream=true&starting_after=7", 5)
        third = numbers(f"{url}{URL}/{id}?stream=true&starting_after=12", None)
        assert service.backend.running == 0
    total = [event["sequence_number"] for event in first] + second + third
    assert total == list(range(len(total))) and len(third) > 10


def test_cancelling_stops_the_model_and_keeps_what_was_said():
    @talk(backend=Scripted(LONG, says("ok"), pause=0.02))
    async def told(client, ask):
        id = await begun(client)
        cancelled = (await client.post(f"{URL}/{id}/cancel")).json()
        running = client.service.backend.running
        again = (await client.post(f"{URL}/{id}/cancel")).json()
        last = streamed(await client.get(f"{URL}/{id}?stream=true"))[-1]
        return cancelled, running, again, last, (await ask(input="y", previous_response_id=id)).status_code

    cancelled, running, again, last, following = told
    assert cancelled["status"] == "cancelled" and cancelled == again and running == 0
    assert cancelled["output"][0]["summary"][0]["text"]
    assert last["type"] == "response.incomplete" and last["response"] == cancelled and following == 200


def test_another_replica_cancels_and_streams(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TICK", 0.05)

    async def main():
        async with replica(tmp_path, Scripted(LONG, pause=0.05)) as maker, replica(tmp_path, Scripted()) as other:
            id = await begun(maker)
            watching = asyncio.create_task(other.get(f"{URL}/{id}?stream=true"))
            cancelled = (await other.post(f"{URL}/{id}/cancel")).json()
            return cancelled, streamed(await watching), maker.service.backend.running

    cancelled, events, running = asyncio.run(main())
    assert cancelled["status"] == "cancelled" and events[-1]["response"] == cancelled and running == 0


def test_what_a_dead_server_left_is_marked_as_failed_with_what_was_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEASE", 0.0)

    async def dies():  # the loop ends without a word, as the process would
        async with replica(tmp_path, Scripted(LONG, pause=0.01)) as client:
            id = await begun(client)
            while not any('"response.output_item.done"' in text for _, text in await events(client, id)):
                await asyncio.sleep(0.01)
            for task in [*client.background._tasks.values(), client.background._tending]:
                task.cancel()
            return id

    async def events(client, id):
        return await client.service.store.events("local", id)

    async def restarts(id):
        async with replica(tmp_path, Scripted(says("anew"))) as client:
            before = (await client.get(f"{URL}/{id}")).json()["status"]
            await module.recover(client.service)
            told = (await client.get(f"{URL}/{id}")).json()
            stream = streamed(await client.get(f"{URL}/{id}?stream=true&starting_after=3"))
            body = {"model": "kindling", "input": "y", "previous_response_id": id}
            await client.post(URL, json=body)
            return before, told, stream, client.service.backend.requests[0].messages

    before, told, stream, messages = asyncio.run(restarts(asyncio.run(dies())))
    assert before == "in_progress" and told["status"] == "failed" and told["error"]["code"] == "server_restarted"
    assert [item["type"] for item in told["output"]] == ["reasoning"]
    assert stream[-1]["type"] == "response.failed" and stream[-1]["response"] == told
    numbers = [event["sequence_number"] for event in stream]
    assert numbers == list(range(4, 4 + len(numbers)))
    assert [(m.role, m.reasoning, m.text) for m in messages] == [
        ("user", "", "x"),
        ("assistant", "let me think about it", ""),
        ("user", "", "y"),
    ]


@pytest.mark.parametrize("settings, pictures", [({"images": 1}, 2), ({"image_bytes": 10}, 0)])
def test_what_is_left_ends_whatever_pictures_it_holds(tmp_path, monkeypatch, settings, pictures):
    monkeypatch.setattr(module, "LEASE", 0.0)
    zoom = calls(("zoom", {"img": "0", "bbox_2d": "[0, 0, 500, 500]"}))
    shown = [{"role": "user", "content": [{"type": "input_image", "image_url": picture()}]}]

    async def dies():
        async with replica(tmp_path, Scripted(zoom, zoom, LONG, pause=0.01), images=1) as client:
            id = await begun(client, input=shown, tools=[{"type": "firesteel:zoom"}])
            while len(client.service.backend.requests) < 3:
                await asyncio.sleep(0.01)
            for task in [*client.background._tasks.values(), client.background._tending]:
                task.cancel()
            return id

    async def restarts(id):
        async with replica(tmp_path, Scripted(), **settings) as client:
            await module.recover(client.service)
            row = await client.service.store.get_response("local", id)
            return row.status, [m["role"] for m in row.messages].count("tool")

    assert asyncio.run(restarts(asyncio.run(dies()))) == ("failed", pictures)


def test_a_response_whose_end_was_stored_before_the_server_died_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEASE", 0.0)

    async def main():
        async with replica(tmp_path, Scripted(says("hi", thought="well"))) as client:
            conversation = (await client.post("/v1/conversations", json={})).json()["id"]

            async def save(self):  # the process dies between the two writes
                raise asyncio.CancelledError

            with monkeypatch.context() as patched:
                patched.setattr("firesteel.server.responses.run.Run.save", save)
                body = {"model": "kindling", "input": "x", "background": True, "conversation": conversation}
                id = (await client.post(URL, json=body)).json()["id"]
                await asyncio.wait(client.background._tasks.values())
            before = (await client.get(f"{URL}/{id}")).json()["status"]
            await module.recover(client.service)
            items = (await client.get(f"/v1/conversations/{conversation}/items")).json()["data"]
            return before, (await client.get(f"{URL}/{id}")).json(), items

    before, told, items = asyncio.run(main())
    assert before == "in_progress" and told["status"] == "completed"
    assert told["output"][1]["content"][0]["text"] == "hi" and len(items) == 3


def test_a_server_deletes_what_nothing_names_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CLEAN", 0.02)
    shown = [{"role": "user", "content": [{"type": "input_image", "image_url": picture()}]}]

    async def main():
        async with replica(tmp_path, Scripted(says("red"), says("ok"))) as client:
            store = client.service.store
            id = (await client.post(URL, json={"model": "kindling", "input": shown})).json()["id"]
            (message,) = [each for each in (await store.get_response("local", id)).messages if each["role"] == "user"]
            named, loose = message["content"][0]["blob"], await store.put_blob(b"loose")
            monkeypatch.setattr("firesteel.server.store.files.GRACE", 0.0)
            client.background.start()
            while await store.get_blob(loose):
                await asyncio.sleep(0.02)
            again = await client.post(URL, json={"model": "kindling", "input": "y", "previous_response_id": id})
            assert again.status_code == 200 and client.service.backend.requests[-1].messages[0].images
            for each in (again.json()["id"], id):
                await client.delete(f"{URL}/{each}")
            while await store.get_blob(named):
                await asyncio.sleep(0.02)
            await client.background.stop(0)

    asyncio.run(main())


def test_a_cancel_is_heard_while_the_server_cleans(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TICK", 0.02)

    async def main():
        async with replica(tmp_path, Scripted(LONG, pause=0.05)) as maker, replica(tmp_path, Scripted()) as other:
            cleaning = asyncio.Event()

            async def sweep(now):
                cleaning.set()
                await asyncio.Event().wait()

            maker.service.store.sweep = sweep
            maker.background.start()
            await cleaning.wait()
            id = await begun(maker)
            cancelled = (await other.post(f"{URL}/{id}/cancel")).json()
            await maker.background.stop(0)
            return cancelled

    assert asyncio.run(main())["status"] == "cancelled"


def test_draining_waits_and_then_marks_the_rest(tmp_path):
    async def main():
        async with replica(tmp_path, Scripted(says("hi"), LONG, pause=0.01)) as client:
            quick = (await client.post(URL, json={"model": "kindling", "input": "x", "background": True})).json()["id"]
            slow = await begun(client)
            module.start(client.service)
            await module.stop(client.service, 0.0)
            return [(await client.get(f"{URL}/{id}")).json() for id in (quick, slow)]

    quick, slow = asyncio.run(main())
    assert quick["status"] == "completed"
    assert slow["status"] == "failed" and slow["error"]["code"] == "server_restarted"


def test_a_response_waits_where_the_queue_is_full():
    class Narrow(Scripted):
        slots = 1

    @talk(backend=Narrow(says("word " * 10), says("hi"), pause=0.01), queue=0)
    async def told(client, ask):
        first = asyncio.create_task(ask(input="x"))
        await asyncio.sleep(0.02)
        second = (await ask(input="y", background=True)).json()
        assert (await ask(input="z", background=False)).status_code == 429
        assert (await first).status_code == 200
        return await ended(client, second["id"])

    assert told["status"] == "completed"


def test_a_failure_in_the_background_is_told_by_the_response():
    class Refusing(Scripted):
        async def stream(self, request):
            raise ValueError("This cannot be said.")
            yield

    @talk(backend=Refusing())
    async def told(client, ask):
        return await ended(client, (await ask(input="x", background=True)).json()["id"])

    assert told["status"] == "failed" and told["error"]["message"] == "This cannot be said."


def test_deleting_stops_the_work():
    @talk(backend=Scripted(LONG, pause=0.02))
    async def told(client, ask):
        id = await begun(client)
        gone = (await client.delete(f"{URL}/{id}")).json()
        return gone, client.service.backend.running, (await client.get(f"{URL}/{id}")).status_code

    assert told[0]["deleted"] and told[1:] == (0, 404)


def test_what_is_only_being_stored_can_be_stopped(tmp_path):
    async def main():
        async with replica(tmp_path, Scripted(LONG)) as client:
            lease = client.service.store.lease

            async def slow(id, *given):
                client.service.store.lease = lease
                await client.background.forget(id)
                await client.service.store.delete_response("local", id)
                return await lease(id, *given)

            client.service.store.lease = slow
            told = await client.post(URL, json={"model": "kindling", "input": "x", "background": True})
            await asyncio.wait(client.background._tasks.values())
            gone = await client.get(f"{URL}/{told.json()['id']}")
            return told.status_code, gone.status_code, client.service.backend.requests

    assert asyncio.run(main()) == (200, 404, [])


def test_calls_of_the_callers_tools_end_a_background_response():
    @talk(calls(("get_weather", {"city": "Oslo"})))
    async def told(client, ask):
        return await ended(client, (await ask(input="x", background=True, tools=[WEATHER])).json()["id"])

    assert told["status"] == "completed" and told["output"][0]["type"] == "function_call"


def test_the_background_needs_the_store():
    @talk(says("hi"))
    async def status(client, ask):
        return (await ask(input="x", background=True, store=False)).status_code

    assert status == 400
