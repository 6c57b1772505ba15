"""The same request twice is done once."""

import asyncio
import contextlib
import time

import httpx
import pytest

from firesteel.server import idempotency
from firesteel.server.store import StoreUnavailable
from tests.agent.scripted import Scripted, says
from tests.server.serving import live, serving

ASK = {"model": "kindling", "messages": [{"role": "user", "content": "hello"}]}
PATH = "/v1/chat/completions"


def asking(work, *lines, **settings):
    """Runs `work(client, model, post)`; `post(key, **body)` asks with an Idempotency-Key."""

    async def main():
        model = Scripted(*lines)
        async with serving(backend=model, **settings) as client:

            async def post(key="k", path=PATH, headers=None, **body):
                return await client.post(path, json=ASK | body, headers={"idempotency-key": key} | (headers or {}))

            return await work(client, model, post)

    return asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_answer_is_the_first(stream):
    async def work(client, model, post):
        first, second = await post(stream=stream), await post(stream=stream)
        assert first.status_code == second.status_code == 200
        assert first.content == second.content and len(first.content) > 10
        assert first.headers["content-type"] == second.headers["content-type"]
        assert "idempotent-replayed" not in first.headers and second.headers["idempotent-replayed"] == "true"
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        assert len(model.requests) == 1

    asking(work, says("hi"))


def test_without_a_key_nothing_is_kept():
    async def work(client, model, post):
        for _ in range(2):
            assert (await client.post(PATH, json=ASK)).status_code == 200
        assert len(model.requests) == 2

    asking(work, says("a"), says("b"))


def test_another_body_path_or_query_is_a_conflict_in_the_protocols_words():
    async def work(client, model, post):
        await post()
        for answer in (
            await post(temperature=0.5),
            await post(path=PATH + "?beta=true"),
            await post(path="/v1/nowhere"),
        ):
            assert answer.status_code == 409
            error = answer.json()["error"]
            assert (error["code"], error["type"]) == ("idempotency_key_reused", "conflict_error")
        answer = await post(path="/v1/messages")
        assert answer.status_code == 409 and answer.json()["type"] == "error"
        assert len(model.requests) == 1

    asking(work, says("hi"))


def test_a_key_belongs_to_its_owner():
    async def work(client, model, post):
        shown = []
        for name in "ab":
            _, secret = await client.service.store.create_key(name=name)
            shown.append({"authorization": f"Bearer {secret}"})
        first, second = [await post(headers=each) for each in shown]
        assert first.json()["choices"][0]["message"]["content"] == "mine"
        assert second.json()["choices"][0]["message"]["content"] == "yours"

    asking(work, says("mine"), says("yours"))


def test_a_wrong_request_stays_wrong_but_a_failed_one_may_be_tried_again():
    async def work(client, model, post):
        first, second = await post("w", temperature=-1), await post("w", temperature=-1)
        assert first.status_code == second.status_code == 400 and second.headers["idempotent-replayed"] == "true"
        admission = client.service.admission
        admission.draining = True
        assert (await post()).status_code == 503
        admission.draining = False
        answer = await post()
        assert answer.status_code == 200 and "idempotent-replayed" not in answer.headers

    asking(work, says("hi"))


def test_too_fast_may_be_tried_again():
    async def work(client, model, post):
        key, secret = await client.service.store.create_key(name="a", tokens_per_minute=1)
        access, shown = client.service.access, {"authorization": f"Bearer {secret}"}
        assert (await post(headers=shown)).status_code == 200
        assert (await post("other", headers=shown)).status_code == 429
        access._paces.clear()  # what was learned, and an hour of it
        access._wall = lambda: time.time() + 3600
        assert (await post("other", headers=shown)).status_code == 200
        assert key

    asking(work, says("hi"), says("hi"))


def test_a_stream_that_failed_on_the_way_may_be_tried_again():
    class Failing(Scripted):
        async def stream(self, request):
            count = 0
            async for delta in super().stream(request):
                count += 1
                if count == 8 and len(self.requests) == 1:
                    raise ValueError("The model broke.")
                yield delta

    async def main():
        async with serving(backend=Failing(says("hello there " * 9), says("hello again"))) as client:
            headers = {"idempotency-key": "k"}
            first, second = [await client.post(PATH, json=ASK | {"stream": True}, headers=headers) for _ in range(2)]
            assert first.status_code == 200 and '"error"' in first.text
            assert '"error"' not in second.text and "idempotent-replayed" not in second.headers

    asyncio.run(main())


def test_what_is_too_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(idempotency, "_LARGEST", 100)

    async def work(client, model, post):
        for _ in range(2):
            answer = await post()
            assert answer.status_code == 200 and "idempotent-replayed" not in answer.headers
        assert len(model.requests) == 2

    asking(work, says("a" * 200), says("b" * 200))


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", b"caf\xe9"])
def test_keys_are_short_and_printable(key):
    async def work(client, model, post):
        answer = await post(key)
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "Idempotency-Key"

    asking(work)


def test_the_longest_key_is_good():
    async def work(client, model, post):
        assert (await post("k" * 255)).status_code == 200

    asking(work, says("hi"))


def test_a_body_that_is_too_large_is_refused_as_ever_and_the_key_stays_free():
    async def work(client, model, post):
        assert (await post(user="x" * 2000)).status_code == 413
        assert (await post()).status_code == 200

    asking(work, says("hi"), body_bytes=1000)


def test_a_store_that_is_gone_is_told_and_one_that_fills_up_still_answers(monkeypatch):
    async def work(client, model, post):
        async def gone(*_):
            raise StoreUnavailable("The store is unavailable: disk full.")

        store = client.service.store
        monkeypatch.setattr(store, "finish", gone)
        assert (await post()).status_code == 200
        monkeypatch.setattr(store, "claim", gone)
        answer = await post()
        assert answer.status_code == 503 and "retry-after" in answer.headers

    asking(work, says("hi"))


def test_while_the_first_runs_the_second_waits_outside_and_an_aborted_one_frees_the_key():
    long = says("word " * 200)
    body, headers = ASK | {"stream": True}, {"idempotency-key": "k"}

    async def main(url, model):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            async with client.stream("POST", PATH, json=body, headers=headers) as first:
                async for _ in first.aiter_bytes():
                    break
                second = await client.post(PATH, json=body, headers=headers)
                assert second.status_code == 409 and second.json()["error"]["code"] == "idempotency_running"
                assert second.headers["retry-after"] == "1"
            for _ in range(600):  # the connection is closed; the server notices
                answer = await client.post(PATH, json=body, headers=headers)
                if answer.status_code != 409:
                    break
                await asyncio.sleep(0.05)
            assert answer.status_code == 200 and "[DONE]" in answer.text
            assert len(model.requests) == 2 and model.running == 0

    model = Scripted(long, says("again"), pause=0.05)
    with live(backend=model) as (url, _):
        asyncio.run(main(url, model))


def test_an_aborted_request_that_does_not_stream_frees_the_key_and_the_model():
    headers = {"idempotency-key": "k"}

    async def main(url, model):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            with contextlib.suppress(httpx.ReadTimeout):
                await client.post(PATH, json=ASK, headers=headers, timeout=1)
            for _ in range(600):
                answer = await client.post(PATH, json=ASK, headers=headers)
                if answer.status_code != 409:
                    break
                await asyncio.sleep(0.05)
            assert answer.status_code == 200 and "again" in answer.text

    model = Scripted(says("word " * 2000), says("again"), pause=0.05)
    with live(backend=model) as (url, _):
        asyncio.run(main(url, model))
