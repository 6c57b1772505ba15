"""The WebSocket: one connection, several responses, a memory of its own."""

import contextlib
import json
import time

import httpx
import pytest
from websockets.sync.client import connect

from tests.agent.scripted import Scripted, says
from tests.server.serving import live


def asking(socket):
    """A function that asks over a connection and returns the events."""

    def ask(**body):
        socket.send(json.dumps({"type": "response.create", "model": "kindling"} | body))
        events = [json.loads(socket.recv(60))]
        while events[-1]["type"] not in ("error", "response.completed", "response.failed"):
            events.append(json.loads(socket.recv(60)))
        return events

    return ask


@contextlib.contextmanager
def connected(*lines, backend=None):
    with live(*lines, backend=backend) as (url, service), connect(f"ws{url[4:]}/v1/responses") as socket:
        yield socket, asking(socket), service


def test_what_is_not_stored_can_be_followed_within_the_connection():
    with connected(says("Hi Ann."), says("Ann."), says("Ann!")) as (_, ask, service):
        first = ask(input="I am Ann.", store=False)
        assert [event["sequence_number"] for event in first] == list(range(len(first)))
        second = ask(input="Who am I?", store=False, previous_response_id=first[-1]["response"]["id"])
        ask(input="Sure?", previous_response_id=second[-1]["response"]["id"])
        said = [message.text for message in service.backend.requests[-1].messages]
    assert said == ["I am Ann.", "Hi Ann.", "Who am I?", "Ann.", "Sure?"]


def test_a_stored_response_after_ones_that_were_not_can_be_followed_later():
    with connected(says("Hi Ann."), says("Ann."), says("Yes.")) as (_, ask, service):
        first = ask(input="I am Ann.", store=False)[-1]["response"]["id"]
        second = ask(input="Who am I?", previous_response_id=first)[-1]["response"]["id"]
        ask(input="Sure?", previous_response_id=second)
        said = [message.text for message in service.backend.requests[-1].messages]
    assert said == ["I am Ann.", "Hi Ann.", "Who am I?", "Ann.", "Sure?"]


def test_an_unknown_previous_response_is_an_error_and_the_connection_goes_on():
    with connected(says("hi")) as (_, ask, _service):
        (error,) = ask(input="x", previous_response_id="resp_none")
        assert error["status"] == 400 and error["error"]["code"] == "previous_response_not_found"
        assert ask(input="x")[-1]["type"] == "response.completed"


def test_a_continuation_that_fails_throws_the_memory_away():
    with connected(says("hi"), says("ho"), says("no")) as (_, ask, _service):
        first = ask(input="x", store=False)[-1]["response"]["id"]
        assert ask(input="y", temperature=9)[-1]["error"]["param"] == "temperature"
        (failed,) = ask(input=[{"role": "nobody", "content": "z"}], store=False, previous_response_id=first)
        assert failed["error"]["param"] == "input.0.role"
        (gone,) = ask(input="y", store=False, previous_response_id=first)
        assert gone["error"]["code"] == "previous_response_not_found"


@pytest.mark.parametrize("frame", ["{", "[]", '{"type": "response.cancel"}', '{"type": "response.create"}', "\0"])
def test_bad_frames_are_told(frame):
    with connected(says("hi")) as (socket, ask, _):
        socket.send(frame)
        told = json.loads(socket.recv(60))
        assert told["type"] == "error" and told["status"] == 400 and told["error"]["code"]
        assert ask(input="x")[-1]["type"] == "response.completed"


def test_a_turn_of_a_thread_follows_nothing_that_is_not_stored():
    with live(says("hi"), says("ho")) as (url, _), connect(f"ws{url[4:]}/v1/responses") as socket:
        ask, thread = asking(socket), httpx.post(f"{url}/v1/threads", json={}).json()["id"]
        first = ask(input="x", store=False)[-1]["response"]["id"]
        (refused,) = ask(input="y", previous_response_id=first, firesteel={"thread": thread})
        assert refused["error"]["param"] == "previous_response_id" and "stored turn" in refused["error"]["message"]
        assert ask(input="y", firesteel={"thread": thread})[-1]["type"] == "response.completed"


def test_the_background_is_refused():
    with connected() as (_, ask, _service):
        assert ask(input="x", background=True)[-1]["error"]["param"] == "background"


def test_hanging_up_cancels():
    backend = Scripted(says("word " * 2000), pause=0.01)
    with connected(backend=backend) as (socket, _, service):
        socket.send(json.dumps({"type": "response.create", "model": "kindling", "input": "x"}))
        socket.recv(60)
        assert service.backend.running == 1
        socket.close()
        while service.backend.running:
            time.sleep(0.01)
    assert backend.tokens < 1000
