"""`firesteel ask` and `firesteel trace`: what stands on stdout, what on stderr, and the exit code."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.agent.scripted import calls
from tests.cli.program import ANSWER, THOUGHT, Scripted, picture


def test_ask_prints_thought_blank_line_answer(backend: Scripted, run: Any) -> None:
    assert run("ask", "What is two and two?") == (0, "Two and two.\n\nIt is 4\n", "")
    assert (backend.name, backend.opened, backend.closed, backend.ended) == ("kindling", 1, 1, 1)
    request = backend.requests[0]
    assert (request.strength, request.temperature, request.seed, request.n) == (256, 0, None, 1)
    assert request.messages[0].text == "What is two and two?"


def test_ask_shows_every_piece_before_the_next_one_comes(
    backend: Scripted, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[tuple[str, str]] = []
    backend.between = lambda piece: steps.append((piece, capsys.readouterr().out))
    run("ask", "?")
    shown = [(piece, out) for piece, out in steps if out]
    assert shown == [("Two and ", "Two and "), ("two.", "two."), ("It is ", "\n\nIt is "), ("4", "4")]


def test_ask_passes_its_options_on(backend: Scripted, run: Any) -> None:
    options = ["--strength", "17", "--model", "a.gguf", "--temperature", "0.5", "--seed", "3", "--max-tokens", "9"]
    run("ask", "?", *options)
    request = backend.requests[0]
    assert (request.strength, request.temperature, request.seed, request.max_tokens) == (17, 0.5, 3, 9)
    assert backend.name == "a.gguf"


def test_ask_puts_pictures_before_the_question(backend: Scripted, run: Any, tmp_path: Path) -> None:
    first, second = picture(tmp_path / "a.png"), picture(tmp_path / "b.png", "blue")
    assert run("ask", "Which?", "--image", first, "--image", second)[0] == 0
    parts = backend.requests[0].messages[0].parts
    assert [part.image and part.image.getpixel((0, 0)) for part in parts] == [(255, 0, 0), (0, 0, 255), None]
    assert parts[2].text == "Which?"


def test_ask_json(backend: Scripted, run: Any) -> None:
    code, out, err = run("ask", "?", "--json", "--model", "x.gguf")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "reasoning": "Two and two.",
        "content": "It is 4",
        "tool_calls": [],
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 7, "completion_tokens": 9, "reasoning_tokens": 4, "cached_tokens": 3}
        | {"turns": 1, "calls": 0, "cost": 0.0, "seconds": pytest.approx(0, abs=60)},
        "model": "x.gguf",
    }


@pytest.mark.parametrize(
    ("pieces", "tokens"),
    [
        (ANSWER, 0),
        (THOUGHT[:3], 3),  # cut off while it thought
        ([*THOUGHT, " to=user<|message|>", "The mark `<|eom|>` ends.", "<|eot|>"], 4),
        ([" to=self<|message|>hm<|eo", "m|><|start|>assis", "tant to=user<|message|>4"], 2),
    ],
)
def test_ask_counts_the_tokens_of_the_thought(backend: Scripted, run: Any, pieces: list[str], tokens: int) -> None:
    backend.script = lambda request: pieces
    assert json.loads(run("ask", "?", "--json")[1])["usage"]["reasoning_tokens"] == tokens


def test_ask_shows_calls(backend: Scripted, run: Any, tmp_path: Path) -> None:
    call = '<atem:invoke name="look">\n<atem:parameter name="at">up</atem:parameter>\n</atem:invoke>'
    whole = [" to=look<|message|><atem:function_calls>\n", call, "\n</atem:function_calls>", "<|eot|>"]
    backend.script = lambda request: ANSWER if request.messages[-1].role == "tool" else whole
    code, out, err = run("ask", "?")
    assert out == "look {'at': 'up'}\n\nError: There is no tool look; there are: none.\n\nIt is 4\n"
    assert code == 0 and "no tool look" in err
    for _ in range(2):  # those of this question, not of earlier ones
        found = json.loads(run("ask", "?", "--json", "--trace", tmp_path / "t.jsonl")[1])["tool_calls"]
        assert found == [{"name": "look", "arguments": {"at": "up"}}]
    cut = [whole[0], call[:40]]  # settled only when the stream ends
    backend.script = lambda request: ANSWER if request.messages[-1].role == "developer" else cut
    code, out, err = run("ask", "?")
    assert (code, out) == (0, "It is 4\n") and err.startswith("firesteel: ")


def test_ask_tells_that_an_answer_was_cut_off(backend: Scripted, run: Any) -> None:
    backend.reason = "length"
    code, out, err = run("ask", "?")
    assert (code, out) == (0, "Two and two.\n\nIt is 4\n") and "--max-tokens" in err


def test_ask_tells_which_limit_ended_it_and_takes_no_question_for_an_answer(backend: Scripted, run: Any) -> None:
    assert run("ask", "?", "--seconds", "0") == (0, "", "firesteel: The time is up.\n")
    found = json.loads(run("ask", "?", "--seconds", "0", "--json")[1])
    assert (found["content"], found["finish_reason"]) == ("", "limit")


def test_ask_tells_that_a_backend_failed(backend: Scripted, run: Any) -> None:
    backend.reason = "error"
    code, out, err = run("ask", "?")
    assert (code, out) == (2, "Two and two.\n\nIt is 4\n")
    assert err == "firesteel: kindling failed in the middle of its answer.\n"
    assert backend.closed == 1


def test_ask_ends_with_130_on_control_c(backend: Scripted, run: Any) -> None:
    backend.between = lambda piece: signal.raise_signal(signal.SIGINT)
    assert run("ask", "?") == (130, "", "")
    assert (backend.ended, backend.closed) == (1, 1)


def test_only_a_terminal_gets_codes_and_a_model_cannot_send_its_own(
    backend: Scripted, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.script = lambda request: [*THOUGHT, " to=user<|message|>", "a\x1b[31mb", "<|eot|>"]
    assert run("ask", "?")[1] == "Two and two.\n\na\x1b[31mb\n"
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("TERM", "xterm")
    assert run("ask", "?")[1] == "\x1b[2mTwo and \x1b[0m\x1b[2mtwo.\x1b[0m\n\na[31mb\n"
    backend.script = lambda request: ANSWER if request.messages[-1].role == "tool" else [calls(("a\x1b[31mb", {}))]
    assert run("ask", "?")[2].startswith("firesteel: There is no tool a[31mb")


def test_instant_thinks_as_little_as_possible(backend: Scripted, run: Any) -> None:
    run("ask", "?", "--mode", "instant", "--strength", "xhigh")
    assert backend.requests[0].strength == 1


def test_contemplating_asks_for_all_agents_at_once_and_tells_what_it_took(backend: Scripted, run: Any) -> None:
    code, out, err = run("ask", "?", "--mode", "contemplating", "--agents", "1", "--json")
    found = json.loads(out)
    assert (code, err, found["content"]) == (0, "", "It is 4")
    assert found["usage"]["agents_started"] == 1 and found["usage"]["agreement"] == 1.0
    assert backend.requests[0].temperature == 0.6 and backend.requests[0].n == 1
    assert run("ask", "?", "--mode", "contemplating", "--agents", "1") == (0, "It is 4\n", "")


def test_tools_are_offered_by_name(backend: Scripted, run: Any) -> None:
    run("ask", "?", "--tools", "zoom,agents")
    names = [tool["function"]["name"] for tool in backend.requests[0].tools]
    assert {"zoom", "mark", "subagents.spawn_agents"} <= set(names)
    code, _, err = run("ask", "?", "--tools", "hammer")
    assert code == 2 and "no tools hammer; there are: " in err


def test_a_trace_is_kept_gone_on_with_and_read(backend: Scripted, run: Any, tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    run("ask", "One?", "--trace", str(file), "--image", picture(tmp_path / "a.png"))
    run("ask", "Two?", "--trace", str(file))
    assert [m.text for m in backend.requests[1].messages] == ["One?", "It is 4", "Two?"]
    code, out, _ = run("trace", str(file))
    assert code == 0 and [line for line in out.splitlines() if line.startswith(("1.", "4."))] == [
        "1. user",
        "4. assistant",
    ]
    assert "[picture 40x30]" in out and "Two and two." in out and "prompt_tokens 7" in out
    messages = json.loads(run("trace", str(file), "--sft")[1])["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2 and messages[1]["reasoning"] == "Two and two."
    assert messages[0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    code, _, err = run("trace", str(tmp_path / "none"))
    assert code == 2 and "no trace at" in err
