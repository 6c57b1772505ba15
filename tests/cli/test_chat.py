"""`firesteel chat` as its user meets it."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agent.mcp.peers import FOREIGN
from tests.agent.scripted import calls
from tests.cli.program import THOUGHT, Scripted, picture


def test_chat_keeps_one_trace(backend: Scripted, run: Any, tmp_path: Path) -> None:
    backend.script = lambda request: [*THOUGHT, " to=user<|message|>", f"{len(request.messages)}", "<|eot|>"]
    first, second = picture(tmp_path / "a.png"), picture(tmp_path / "b.png")
    lines = ["one", f"/image {second}", "/strength low", "", "two", "/reset", "three", "/quit", "never"]
    code, out, err = run("chat", "--image", first, stdin="\n".join(lines))
    assert (code, err) == (0, "")
    assert out == "".join(f"Two and two.\n\n{count}\n" for count in (1, 3, 1))
    one, two, three = backend.requests
    assert [len(message.images) for message in two.messages] == [1, 0, 1]
    assert [message.reasoning for message in two.messages] == ["", "Two and two.", ""]
    assert [request.strength for request in (one, two, three)] == [256, 16, 16]
    assert [message.text for message in three.messages] == ["three"] and not three.messages[0].images
    assert (backend.opened, backend.closed) == (1, 1)


def test_chat_goes_on_after_mistakes(backend: Scripted, run: Any) -> None:
    lines = ["/nonsense", "/image missing.png", "/image ~nosuchuser/a.png", "/strength much", "now?"]
    code, out, err = run("chat", stdin="\n".join(lines))  # the end of the input leaves
    assert (code, out) == (0, "Two and two.\n\nIt is 4\n")
    told = err.splitlines()
    assert len(told) == 4 and all(line.startswith("firesteel: ") for line in told)
    assert "/nonsense" in told[0] and "missing.png" in told[1] and "~nosuchuser" in told[2] and "much" in told[3]


def files(backend: Scripted) -> None:
    """The model writes a file when it is asked to write, else it looks at it."""

    def script(request: Any) -> list[str]:
        last = request.messages[-1]
        if last.role == "tool":
            return [f" to=user<|message|>{last.text}<|eot|>"]
        new = {"path": "a.txt", "insert_line": "0", "new_str": "kept"}
        wanted = ("insert", new) if last.text == "write" else ("view", {"path": "a.txt"})
        return [calls((f"container.{wanted[0]}", wanted[1]))]

    backend.script = script


def test_files_last_for_the_chat_and_end_with_it(
    backend: Scripted, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(backend)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run("chat", "--tools", "files", stdin="write\nread\n/reset\nread\n")
    *_, before, _, after = [request.messages[-1].text for request in backend.requests]
    assert before == "     1\tkept" and after.startswith("Error")  # another conversation has other files
    assert not list(tmp_path.iterdir())


def test_files_lie_beside_the_trace_and_a_reset_begins_another(backend: Scripted, run: Any, tmp_path: Path) -> None:
    files(backend)
    trace = tmp_path / "t.jsonl"
    _, _, err = run("chat", "--tools", "files", "--trace", trace, stdin="/reset\nwrite\n/reset\nwrite\n/reset\n")
    assert (tmp_path / "t.files" / "data" / "a.txt").read_text() == "kept\n"
    assert (tmp_path / "t-2.files" / "data" / "a.txt").read_text() == "kept\n"
    first, second = err.splitlines()
    assert "t.jsonl" in first and "t-2.jsonl" in first and "t-2.jsonl" in second and "t-3.jsonl" in second
    kept, other = (re.sub(r'"seconds": [\d.]+', "", path.read_text()) for path in (trace, tmp_path / "t-2.jsonl"))
    assert kept.count("\n") == 4 and other == kept


def test_an_mcp_server_remembers_earlier_questions_and_starts_again_after_its_end(
    backend: Scripted, run: Any, tmp_path: Path
) -> None:
    def script(request: Any) -> list[str]:
        last = request.messages[-1]
        return [f" to=user<|message|>{last.text}<|eot|>"] if last.role == "tool" else [calls((f"far.{last.text}", {}))]

    backend.script = script
    program = tmp_path / "far.py"
    program.write_text(FOREIGN)
    server = f"mcp:env INJECTION=x {sys.executable} -S -E {program}"
    allowed = ("--tools", server, "--allow", "far.called,far.die")
    code, _, _ = run("chat", *allowed, stdin="called\ncalled\n/reset\ndie\ncalled\n")
    first, second, died, again = (request.messages[-1].text for request in backend.requests[1::2])
    assert (code, first, second, again) == (0, "called", "called called", "called")
    assert "has ended" in died


def test_two_tools_of_one_name_are_refused(backend: Scripted, run: Any, tmp_path: Path) -> None:
    program = tmp_path / "far.py"
    program.write_text(FOREIGN)
    server = f"mcp:env INJECTION=x {sys.executable} -S -E {program}"
    _, _, err = run("chat", "--tools", f"{server},{server}", stdin="now?\n")
    assert "Two tools are called far.read_page" in err and not backend.requests


def test_chat_control_c_stops_the_answer_only(backend: Scripted, run: Any) -> None:
    stop_at = {"first": "two.", "second": "It is "}

    def between(piece: str) -> None:
        if piece == stop_at.get(backend.requests[-1].messages[-1].text):
            signal.raise_signal(signal.SIGINT)

    backend.between = between
    code, out, _ = run("chat", stdin="first\nsecond\nthird\n")
    assert code == 0
    assert out.split() == ["Two", "and", "two.", *["Two", "and", "two.", "It", "is"] * 2, "4"]
    assert backend.ended == 3 and backend.closed == 1
    # The first question got no answer and is forgotten; the second is kept as far as it was answered.
    assert [message.text for message in backend.requests[2].messages] == ["second", "It is ", "third"]
