"""`firesteel chat` as its user meets it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

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
    lines = ["/nonsense", "/image missing.png", "/strength much", "now?"]
    code, out, err = run("chat", stdin="\n".join(lines))  # the end of the input leaves
    assert (code, out) == (0, "Two and two.\n\nIt is 4\n")
    told = err.splitlines()
    assert len(told) == 3 and all(line.startswith("firesteel: ") for line in told)
    assert "/nonsense" in told[0] and "missing.png" in told[1] and "much" in told[2]


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
