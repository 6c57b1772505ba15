"""The routes: lists, errors, owners, and callers who go away."""

import asyncio
import json

import httpx
import pytest

from tests.agent.scripted import Scripted, calls, says
from tests.server.responses.asking import URL, WEATHER, picture, talk
from tests.server.serving import live

ARGS = "input.0.arguments"


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 3}, "input"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_output_tokens": 1}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"truncation": "some"}, "truncation"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"reasoning": {"effort": "much"}}, "reasoning_effort"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"tools": [{"name": "x"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools.0.name"),
        ({"tools": [{"type": "function", "name": "f", "parameters": 3}]}, "tools.0.parameters"),
        ({"tools": [{"type": "code_interpreter", "container": {"file_ids": 5}}]}, "tools.0.container.file_ids"),
        ({"tool_choice": "never"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"tool_choice": 3}, "tool_choice"),
        ({"previous_response_id": "resp_x", "conversation": "conv_x"}, "previous_response_id"),
        ({"previous_response_id": "resp_x"}, "previous_response_id"),
        ({"input": []}, None),
        ({"model": None}, "model"),
        ({"other": deep(200)}, None),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": json.dumps(deep(200))}]}, ARGS),
    ],
)
def test_what_is_wrong_is_named(body, param):
    @talk()
    async def told(client, ask):
        return await ask(**{"input": "x"} | body)

    error = told.json()["error"]
    assert told.status_code == 400 and error["type"] == "invalid_request_error" and error["param"] == param


def test_tools_of_others_and_unknown_fields_are_left_alone():
    tools = [{"type": "web_search"}, {"type": "custom", "name": "sh"}, {"type": "mcp", "server_url": "http://x"}]

    @talk(says("hi"))
    async def told(client, ask):
        return await ask(input="x", tools=tools, include=["file_search_call.results"], prompt={"id": 3}, other=[1])

    assert told.status_code == 200 and told.json()["tools"] == tools


def test_choices_reach_the_model():
    other = WEATHER | {"name": "other"}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "other"}]}

    @talk(says("a"), calls(("get_weather", {"city": "x"})), says("b"), says("c"))
    async def told(client, ask):
        for choice in ("none", {"type": "function", "name": "get_weather"}, allowed, {"type": "web_search"}):
            answer = await ask(input="x", tools=[WEATHER, other], tool_choice=choice)
            assert answer.status_code == 200 and answer.json()["tool_choice"] == choice
        return client.service.backend.requests

    assert [request.tool_choice for request in told] == ["none", "get_weather", "required", "auto"]
    assert [len(request.tools) for request in told] == [2, 2, 1, 2]


def test_efforts_schemas_and_limits_reach_the_model():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    text = {"format": {"type": "json_schema", "name": "x", "schema": schema}, "verbosity": "low"}

    @talk(says("{}"), says("{}"))
    async def told(client, ask):
        first = (await ask(input="x", reasoning={"effort": "none"}, text=text, max_output_tokens=99)).json()
        await ask(input="x", text={"format": {"type": "json_object"}}, parallel_tool_calls=False)
        return first, client.service.backend.requests

    first, (one, two) = told
    assert first["text"]["format"]["schema"] == schema and first["reasoning"] == {"effort": "none", "summary": None}
    assert (one.strength, one.json_schema, one.max_tokens, one.parallel_calls) == (0, schema, 99, True)
    assert (two.json_schema, two.parallel_calls) == ({"type": "object"}, False)


def test_input_items_come_in_pages():
    items = [{"role": "user", "content": str(number)} for number in range(5)]

    @talk(says("hi"))
    async def told(client, ask):
        id = (await ask(input=items)).json()["id"]

        async def page(query):
            answer = (await client.get(f"{URL}/{id}/input_items?{query}")).json()
            return [item["content"][0]["text"] for item in answer["data"]], answer

        first, answer = await page("limit=2")
        second, _ = await page(f"limit=2&after={answer['last_id']}")
        rest, last = await page(f"order=asc&after={answer['first_id']}")
        wrong = [await client.get(f"{URL}/{id}/input_items?{q}") for q in ("limit=0", "order=x", "after=x", "limit=x")]
        return first, answer["has_more"], second, rest, last["has_more"], [answer.status_code for answer in wrong]

    assert told == (["4", "3"], True, ["2", "1"], [], False, [400] * 4)


def test_a_page_ends_early_where_it_is_long(monkeypatch):
    monkeypatch.setattr("firesteel.server.responses.routes._PAGE_BYTES", 2000)
    shown = [{"role": "user", "content": [{"type": "input_image", "image_url": picture(size=(side, side))}]}
             for side in (400, 401, 402)]  # fmt: skip

    @talk(says("hi"))
    async def told(client, ask):
        items, after = f"{URL}/{(await ask(input=shown)).json()['id']}/input_items?order=asc", ""
        pages = []
        while not pages or pages[-1]["has_more"]:
            pages.append((await client.get(items + after)).json())
            after = f"&after={pages[-1]['last_id']}"
        return len(pages), [item["content"] for page in pages for item in page["data"]]

    pages, items = told
    assert pages > 1 and items == [item["content"] for item in shown]


def test_stored_responses_are_listed_with_the_newest_first():
    shown = [{"role": "user", "content": [{"type": "input_image", "image_url": picture()}]}]

    @talk(*[says(f"{number}") for number in range(4)])
    async def told(client, ask):
        made = [(await ask(input=shown)).json()["id"] for _ in range(3)]
        await ask(input="x", store=False)
        first = (await client.get(f"{URL}?limit=2")).json()
        rest = (await client.get(f"{URL}?after={first['last_id']}")).json()
        whole = (await client.get(f"{URL}/{made[2]}")).json()
        return made, first, rest, whole, (await client.get(f"{URL}?limit=0")).status_code

    made, first, rest, whole, wrong = told
    assert [each["id"] for each in first["data"]] == made[:0:-1] and first["has_more"]
    assert [each["id"] for each in rest["data"]] == made[:1] and not rest["has_more"]
    assert first["data"][0] == whole and wrong == 400


def test_only_the_background_can_be_streamed_again_or_cancelled():
    @talk(says("hi"))
    async def told(client, ask):
        id = (await ask(input="x")).json()["id"]
        return [
            (await client.get(f"{URL}/{id}?stream=true")).status_code,
            (await client.post(f"{URL}/{id}/cancel")).status_code,
            (await client.get(f"{URL}/{id}?stream=false")).status_code,
        ]

    assert told == [400, 400, 200]


def test_nothing_of_another_owner_is_visible():
    @talk(says("secret"), says("secret"), says("ok"))
    async def told(client, ask):
        store = client.service.store
        keys = {}
        for owner in ("ann", "bob"):
            _, secret = await store.create_key(owner=owner, name=owner)
            keys[owner] = {"authorization": f"Bearer {secret}"}
        body = {"model": "kindling", "input": "x"}
        made = (await client.post(URL, json=body, headers=keys["ann"])).json()
        id, item = made["id"], made["output"][0]["id"]
        bob = keys["bob"]
        answers = [
            await client.get(f"{URL}/{id}", headers=bob),
            await client.get(f"{URL}/{id}?stream=true", headers=bob),
            await client.get(f"{URL}/{id}/input_items", headers=bob),
            await client.post(f"{URL}/{id}/cancel", headers=bob),
            await client.delete(f"{URL}/{id}", headers=bob),
            await client.post(URL, json=body | {"input": [{"type": "item_reference", "id": item}]}, headers=bob),
            await client.post(URL, json=body | {"previous_response_id": id}, headers=bob),
        ]
        assert (await client.get(f"{URL}/{id}", headers=keys["ann"])).status_code == 200
        return [(answer.status_code, "secret" in answer.text) for answer in answers]

    assert told == [(404, False)] * 6 + [(400, False)]


def test_a_caller_who_goes_away_stops_the_model_and_leaves_nothing():
    async def main(url, service):
        async with httpx.AsyncClient(timeout=60) as client:
            body = {"model": "kindling", "input": "x", "stream": True}
            async with client.stream("POST", f"{url}{URL}", json=body) as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data: "):
                        id = json.loads(line[6:])["response"]["id"]
                        break
            while service.backend.running:
                await asyncio.sleep(0.01)
            return (await client.get(f"{url}{URL}/{id}")).status_code

    with live(backend=Scripted(says("word " * 2000), pause=0.01)) as (url, service):
        assert asyncio.run(main(url, service)) == 404
        assert service.backend.tokens < 1000


def test_a_file_is_there_for_the_code_interpreter():
    @talk()
    async def told(client, ask):
        return await ask(input="x", tools=[{"type": "code_interpreter", "container": {"file_ids": ["file-none"]}}])

    assert told.status_code == 404
