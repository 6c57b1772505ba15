import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from firesteel.agent import Tool, tool
from firesteel.cli.permission import _at_the_terminal, permission
from firesteel.format import ToolCall


@tool(name="mail.send", changes=True)
async def send(text: str) -> str:
    """Sends a mail.

    text: What it says.
    """
    return text


def ask_with(*answers: str) -> tuple[list[str], Callable]:
    asked: list[str] = []

    async def ask(question: str) -> str:
        asked.append(question)
        return answers[len(asked) - 1]

    return asked, ask


def permitted(tool: Tool, answers: list[str], allowed: list[str], calls: int = 1) -> tuple[list[bool], list[str]]:
    asked, ask = ask_with(*answers)

    async def all_calls() -> list[bool]:
        permit, call = permission(allowed, ask), ToolCall("mail.send", {"text": "\x1b[2Jhi"})
        return list(await asyncio.gather(*(permit(tool, call) for _ in range(calls))))

    return asyncio.run(all_calls()), asked


def test_what_the_list_names_is_not_asked_about():
    assert permitted(send, [], ["mail.send"]) == ([True], [])


def test_only_a_clear_yes_permits_and_only_this_call():
    for answer, right in (("y\n", True), ("YES", True), ("", False), ("n", False), ("\n", False), ("yea", False)):
        assert permitted(send, [answer], ["mail.sen", ""])[0] == [right]
    assert permitted(send, ["y", "n"], [], 2)[0] == [True, False]


def test_always_holds_for_the_calls_that_wait_too():
    said, asked = permitted(send, ["always"], [], 3)
    assert said == [True] * 3 and len(asked) == 1


def test_the_question_shows_the_call_and_no_control_character():
    _, (question,) = permitted(send, ["n"], [])
    assert "mail.send" in question and "hi" in question and "\x1b" not in question


def test_without_a_terminal_everything_else_is_denied(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    permit = permission(["other"])
    assert not asyncio.run(permit(send, ToolCall("mail.send", {})))


def test_a_loop_that_cannot_watch_the_terminal_reads_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Windows(asyncio.SelectorEventLoop):
        def add_reader(self, *_: object) -> None:
            raise NotImplementedError

    typed = tmp_path / "typed"
    typed.write_text("y\n")
    with typed.open() as terminal, asyncio.Runner(loop_factory=Windows) as runner:
        monkeypatch.setattr("sys.stdin", terminal)
        assert runner.run(_at_the_terminal("?")) == "y\n"
