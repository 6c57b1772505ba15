"""A caller's own deadline: the header x-request-timeout, or `seconds` in the body; the shorter one holds."""

import asyncio

import pytest

from tests.agent.scripted import Scripted, says
from tests.server.serving import serving

ASK = {"model": "kindling", "messages": [{"role": "user", "content": "hi"}]}
LONG = says("a very long answer " * 20)


def ask(header=None, pause=0.05, line=LONG, settings=None, **body):
    async def main():
        async with serving(backend=Scripted(line, pause=pause), **(settings or {})) as client:
            headers = {"x-request-timeout": header} if header is not None else None
            return await client.post("/v1/chat/completions", json=ASK | body, headers=headers)

    return asyncio.run(main())


@pytest.mark.parametrize("given", [{"header": "0.3"}, {"firesteel": {"seconds": 0.3}}, {"settings": {"seconds": 0.3}}])
def test_an_answer_is_cut_where_the_time_is_up(given):
    (choice,) = ask(**given).json()["choices"]
    assert choice["finish_reason"] == "length"
    assert LONG.find(choice["message"]["content"]) > 0 and len(choice["message"]["content"]) < 300


def test_time_enough_changes_nothing():
    assert ask("60", pause=0, line=says("hi")).json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("header", ["", "soon", "0", "-1", "nan"])
def test_what_is_no_time_is_refused(header):
    answer = ask(header)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "x-request-timeout"


def test_the_wait_for_a_place_counts():
    async def main():
        async with serving(backend=Scripted(LONG, LONG, pause=0.05), slots=1) as client:
            client.service.admission.slots.free = 0  # all are taken, for as long as this takes
            client.service.admission._ahead = client.service.admission.slots.total
            return await client.post("/v1/chat/completions", json=ASK, headers={"x-request-timeout": "0.1"})

    answer = asyncio.run(main())
    assert answer.status_code == 429 and "within 0.1 seconds" in answer.json()["error"]["message"]
