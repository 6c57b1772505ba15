"""What stands in the log, and what never does."""

import asyncio
import io
import json
import logging

import pytest

from firesteel.server import logs
from tests.agent.scripted import says
from tests.server.serving import serving

SECRET = "the moon is made of cheese"


@pytest.fixture
def log(request):
    """What is logged meanwhile, in the format that the test asks for."""
    root, ours = logging.getLogger(), logging.getLogger("firesteel")
    before = root.handlers[:], root.level, ours.level
    stream = io.StringIO()
    logs.set_up(getattr(request, "param", "json"), stream)
    yield stream
    root.handlers[:], root.level, ours.level = before


def ask(headers=None, path="/v1/chat/completions", **body):
    async def main():
        async with serving(says(f"yes, {SECRET}"), log_requests=True) as client:
            asked = {"model": "kindling", "messages": [{"role": "user", "content": SECRET}]} | body
            return await client.post(path, json=asked, headers=headers)

    return asyncio.run(main())


def lines(log):
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_one_line_with_what_it_took(log, stream):
    ask({"x-request-id": "abc"}, stream=stream)
    (line,) = lines(log)
    assert (line["message"], line["level"], line["request_id"]) == ("request", "info", "abc")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/chat/completions", 200)
    assert (line["model"], line["mode"], line["outcome"]) == ("kindling", "thinking", "stop")
    assert line["prompt_tokens"] == 10 and line["completion_tokens"] > 0
    assert line["seconds"] >= line["ttft"] >= line["queued"] >= 0
    assert line["time"].endswith("Z")


def test_neither_questions_nor_answers_nor_keys_are_logged(log):
    ask({"authorization": "Bearer fs-secret-key", "x-api-key": "fs-secret-key"})
    ask(model="nobody")
    assert len(lines(log)) == 2
    assert SECRET not in log.getvalue() and "secret-key" not in log.getvalue()


def test_what_is_logged_on_the_way_carries_the_requests_id(log):
    async def main():
        async with serving() as client:  # a model without words fails
            body = {"model": "kindling", "messages": [{"role": "user", "content": "hi"}]}
            return await client.post("/v1/chat/completions", json=body, headers={"x-request-id": "abc"})

    assert asyncio.run(main()).status_code == 500
    line = next(line for line in lines(log) if line["level"] == "error")
    assert line["request_id"] == "abc" and "AssertionError" in line["exception"]


@pytest.mark.parametrize("log", ["text"], indirect=True)
def test_text_is_for_people_and_cannot_be_forged(log):
    logging.getLogger("firesteel").info("hello", extra={"path": "/a\n12:00:00 info forged \x1b[31m"})
    logging.getLogger("somebody").info("not ours")
    (line,) = log.getvalue().splitlines()
    assert line.endswith(r"hello path=/a\n12:00:00 info forged \x1b[31m")


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="json, text"):
        logs.set_up("xml")


def test_a_note_outside_a_request_is_nothing():
    logs.note(model="m")
    assert logs.CURRENT.get() is None
