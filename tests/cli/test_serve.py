"""`firesteel serve` as its user meets it."""

import contextlib
import json
import shlex
import signal
import subprocess
import sys

import httpx
import pytest

from firesteel.cli import serve as command
from firesteel.server.settings import Settings
from tests.cli.program import refused

MAIN = "from firesteel.cli import main; main()"


@contextlib.contextmanager
def serve(folder, *options):
    arguments = [sys.executable, "-c", MAIN, "serve", "--port", "0", "--data", str(folder), *options]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_printed_command_gets_an_answer_of_kindling(tmp_path):
    with serve(tmp_path, "--slots", "2", "--log", "text") as process:
        printed, _, question = process.stdout.readline().partition("; try: ")
        assert printed.startswith("kindling is at http://127.0.0.1:"), process.stderr.read()
        curl = shlex.split(question)
        url, body = curl[2], curl[curl.index("-d") + 1]
        answer = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=120).json()
        assert "152" in answer["choices"][0]["message"]["content"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "path=/v1/chat/completions status=200" in process.stderr.read()


def test_strangers_are_not_served_without_keys(tmp_path):
    with serve(tmp_path, "--host", "0.0.0.0") as process:
        assert process.wait(60) == 2
        complaint = process.stderr.read()
    assert complaint.startswith("firesteel: ") and "firesteel keys create" in complaint


def test_what_cannot_be_opened_is_one_sentence(tmp_path):
    with serve(tmp_path, "--backend", "nowhere.gguf") as process:
        assert process.wait(60) == 2
        assert process.stderr.read().count("\n") == 1


def test_options_become_settings(run, monkeypatch):
    given = []
    monkeypatch.setattr(command, "serve", lambda *arguments: given.append(arguments))
    options = {
        "--host": "::1",
        "--port": "9",
        "--backend": "a.gguf",
        "--name": "n",
        "--alias": "x, y",
        "--slots": "3",
        "--context": "100",
        "--threads": "2",
        "--queue": "5",
        "--queue-seconds": "6",
        "--seconds": "7",
        "--drain-seconds": "8",
        "--tools": "zoom",
        "--strength": "low",
        "--temperature": "0.5",
        "--max-tokens": "11",
        "--database": "sqlite:///f",
        "--raw-reasoning": "openai",
        "--allow-host": "h",
        "--allow-origin": "o",
        "--log": "text",
    }
    flat = [word for pair in options.items() for word in pair]
    assert run("serve", *flat, "--remote-images")[0] == 0
    ((settings, log),) = given
    assert log == "text"
    assert settings == Settings(
        host="::1",
        port=9,
        backend="a.gguf",
        name="n",
        aliases=("x", "y"),
        slots=3,
        context=100,
        threads=2,
        queue=5,
        queue_seconds=6,
        seconds=7,
        drain_seconds=8,
        tools=("zoom",),
        strength="low",
        temperature=0.5,
        max_tokens=11,
        database="sqlite:///f",
        raw_reasoning="openai",
        allowed_hosts=("h",),
        allowed_origins=("o",),
        remote_images=True,
    )


def test_what_the_options_leave_alone_is_as_the_settings_have_it(run, monkeypatch):
    given = []
    monkeypatch.setattr(command, "serve", lambda *arguments: given.append(arguments))
    run("serve")
    assert given == [(Settings(), "json")]


@pytest.mark.parametrize(
    ("option", "value", "right"),
    [("--strength", "hihg", "xhigh"), ("--raw-reasoning", "x", "open-responses"), ("--tools", "zoom,pyton", "python")],
)
def test_what_nobody_understands_is_told_before_it_listens(run, monkeypatch, option, value, right):
    monkeypatch.setattr(command, "run", lambda *_: pytest.fail("it listens"))
    told = refused(run("serve", option, value))
    assert value.split(",")[-1] in told and right in told


def test_the_question_can_be_pasted():
    line = command._curl("http://h:1", json.dumps({"model": "m"}))
    assert shlex.split(line) == [
        *("curl", "-s", "http://h:1/v1/chat/completions", "-H", "content-type: application/json"),
        *("-d", '{"model": "m"}'),
    ]
