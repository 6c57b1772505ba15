"""The program as its user calls it."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from firesteel.backends import resolve
from firesteel.cli import main
from tests.cli.program import ANSWER, THOUGHT, Scripted


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    scripted = Scripted(lambda request: THOUGHT + ANSWER)

    def open_backend(address: str, **options: Any) -> Scripted:
        scripted.name, scripted.opened = address, scripted.opened + 1
        return scripted

    monkeypatch.setattr(resolve, "open_backend", open_backend)
    return scripted


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Calls the program; returns exit code, stdout and stderr."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it

    def call(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["firesteel", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return code or 0, *capsys.readouterr()

    yield call
    signal.signal(signal.SIGINT, before)
