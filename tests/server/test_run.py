"""A server process from its start to its end; the model is scripted and slow."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from websockets.sync.client import connect

from firesteel.server.run import open_for
from firesteel.server.settings import Settings

PROGRAM = """
import sys
from pathlib import Path
from firesteel.server import logs, run
from firesteel.server.settings import Settings
from tests.agent.scripted import Scripted, says
folder, port, drain, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
logs.set_up("json")
settings = Settings(port=port, data=Path(folder), drain_seconds=drain, queue_seconds=30, slots=2)
lines = [says("one two three four five six")] * 9
opened = lambda settings: Scripted(*lines, pause=pause)
sys.exit(run.run(settings, lambda url: print(url, flush=True), opened))
"""
ASK = {"model": "kindling", "messages": [{"role": "user", "content": "count"}], "stream": True}


@contextlib.contextmanager
def server(folder, drain=30.0, pause=0.3, port=0):
    """The process and a client, once it answers."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(port), str(drain), str(pause)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), process.stderr.read()
        with httpx.Client(base_url=url, timeout=60) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()


def events(lines):
    return [line[6:] for line in lines if line.startswith("data: ")]


def end_of_stream_after(process, client, *signals):
    """The events of a stream in whose middle the signals come."""
    with client.stream("POST", "/v1/chat/completions", json=ASK) as answer:
        lines = answer.iter_lines()
        said = [next(lines) for _ in range(6)]
        for each in signals:
            process.send_signal(each)
            while client.get("/ready").status_code != 503:
                pass
        return events([*said, *lines])


def test_what_runs_may_end_while_new_questions_are_refused(tmp_path):
    with server(tmp_path) as (process, client):
        with client.stream("POST", "/v1/chat/completions", json=ASK) as answer:
            lines = answer.iter_lines()
            said = [next(lines) for _ in range(4)]
            process.send_signal(signal.SIGTERM)
            while (ready := client.get("/ready")).status_code == 200:
                pass
            assert ready.status_code == 503
            assert client.get("/health").status_code == 200
            refused = client.post("/v1/chat/completions", json=ASK)
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
            assert refused.json()["error"]["code"] == "shutting_down"
            said = events([*said, *lines])
        assert said[-1] == "[DONE]"
        text = "".join(c["delta"].get("content") or "" for e in said[:-1] for c in json.loads(e)["choices"])
        assert text == "one two three four five six"
        assert process.wait(60) == 0


def test_after_the_drain_streams_end_with_an_error(tmp_path):
    with server(tmp_path, drain=0.2, pause=1.0) as (process, client):
        said = end_of_stream_after(process, client, signal.SIGTERM)
        assert json.loads(said[-2])["error"]["code"] == "shutting_down" and said[-1] == "[DONE]"
        assert process.wait(60) == 0


def test_a_second_signal_ends_at_once(tmp_path):
    with server(tmp_path, drain=600.0, pause=1.5) as (process, client):
        with client.stream("POST", "/v1/chat/completions", json=ASK) as answer:
            lines = answer.iter_lines()
            said = [next(lines) for _ in range(4)]
            process.send_signal(signal.SIGINT)  # which a background job of a shell ignores by default
            while client.get("/ready").status_code == 200:
                pass
            process.send_signal(signal.SIGINT)
            said = events([*said, *lines])
        assert json.loads(said[-2])["error"]["code"] == "shutting_down"
        assert process.wait(60) == 1


def test_whoever_waits_for_a_whole_answer_is_told_too(tmp_path):
    with server(tmp_path, drain=0.2, pause=5.0) as (process, client):
        answers = []
        asking = threading.Thread(
            target=lambda: answers.append(client.post("/v1/chat/completions", json=ASK | {"stream": False}))
        )
        asking.start()
        with httpx.Client(base_url=client.base_url) as other:
            while 'num_requests_running{model_name="kindling"} 1.0' not in other.get("/metrics").text:
                pass
        process.send_signal(signal.SIGTERM)
        asking.join(60)
        assert answers[0].status_code == 503 and answers[0].json()["error"]["code"] == "shutting_down"
        assert process.wait(60) == 0


def test_an_idle_server_ends_and_says_so_in_its_log(tmp_path):
    with server(tmp_path) as (process, client):
        assert client.get("/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert [line["message"] for line in lines][-2:] == ["draining", "closed"]
    assert lines[0]["path"] == "/ready"
    assert not (tmp_path / "server.sqlite-wal").exists()  # closed, not dropped


def test_a_frame_may_be_as_long_as_a_body(tmp_path):
    with server(tmp_path) as (_, client), connect(f"ws{str(client.base_url)[4:]}/v1/responses") as websocket:
        websocket.send("x" * (17 << 20))
        assert json.loads(websocket.recv(60))["error"]["code"] == "invalid_json"


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(port), "1", "0"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert f"127.0.0.1:{port}" in result.stderr and "OSError" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", ["openai:http://127.0.0.1:1/v1#m", "hf:nowhere", "some/folder"])
def test_a_backend_that_takes_no_threads_says_so(backend):
    with pytest.raises(ValueError, match="threads"):
        open_for(Settings(backend=backend, threads=2))


def test_a_background_response_that_the_end_cuts_off_is_marked_as_failed(tmp_path):
    with server(tmp_path, drain=0.2, pause=5.0) as (process, client):
        asked = {"model": "kindling", "input": "count", "background": True}
        id = client.post("/v1/responses", json=asked).json()["id"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    with server(tmp_path) as (_, client):
        response = client.get(f"/v1/responses/{id}").json()
    assert response["status"] == "failed" and response["error"]["code"] == "server_restarted"
