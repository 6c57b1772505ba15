"""What all commands share: one sentence and exit code 2 for what goes wrong, help, few imports."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from firesteel.backends import resolve
from firesteel.backends.base import Request
from tests.cli.program import Scripted, picture, refused


def bomb(path: Path) -> Path:
    """A PNG of a few bytes that says it is 60000 x 60000."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header)))
    return path


def test_pictures_that_cannot_be_shown(backend: Scripted, run: Any, tmp_path: Path) -> None:
    corrupt, cut = tmp_path / "corrupt.png", tmp_path / "cut.png"
    corrupt.write_bytes(b"no picture")
    data = picture(tmp_path / "whole.png").read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    for path in (tmp_path / "missing.png", tmp_path, corrupt, cut, bomb(tmp_path / "bomb.png")):
        assert path.name in refused(run("ask", "?", "--image", path))
        assert path.name in refused(run("chat", "--image", path))
    assert backend.opened == 0  # told before a model is loaded


@pytest.mark.parametrize("strength", ["much", "-1", "513", "1.5", ""])
def test_wrong_strength(backend: Scripted, run: Any, strength: str) -> None:
    for command in (["ask", "?"], ["chat"], ["eval", "tasks"]):
        assert "strength" in refused(run(*command, "--strength", strength))


def test_wrong_checkpoint(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"not this")
    for address in (path, tmp_path / "missing.gguf"):
        for command in (["ask", "?"], ["chat"], ["eval", "tasks", "--n", "1"]):
            assert address.name in refused(run(*command, "--model", address))


def test_a_question_that_is_no_text(backend: Scripted, run: Any) -> None:
    assert "UTF-8" in refused(run("ask", "caf\udce9"))


def test_a_refused_request(backend: Scripted, run: Any) -> None:
    def refuse(request: Request) -> Sequence[str]:
        raise ValueError("The prompt\nis too long.")

    backend.script = refuse
    assert refused(run("ask", "?")) == "firesteel: The prompt is too long.\n"
    assert "too long" in refused(run("eval", "tasks", "--families", "compare", "--n", "1"))
    assert backend.closed == 2


def test_files_that_the_system_refuses(backend: Scripted, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str, **options: Any) -> Scripted:
        raise PermissionError(13, "Permission denied", "secret.gguf")

    monkeypatch.setattr(resolve, "open_backend", refuse)
    assert refused(run("ask", "?")) == "firesteel: secret.gguf: Permission denied.\n"


def test_a_bug_keeps_its_traceback(backend: Scripted, run: Any) -> None:
    def fail(request: Request) -> Sequence[str]:
        raise KeyError("a bug")

    backend.script = fail
    with pytest.raises(KeyError):
        run("ask", "?")


@pytest.mark.parametrize(
    "arguments",
    [["ask"], ["ask", "?", "--nonsense"], ["nonsense"], ["eval", "nonsense"], ["eval", "tasks", "--n", "0"], ["train"]],
)
def test_wrong_usage(backend: Scripted, run: Any, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and err and "Traceback" not in err


def test_the_program_is_light() -> None:
    heavy = ("torch", "transformers", "xllamacpp", "matplotlib", "PIL", "tokenizers", "numpy", "rich")
    code = f"import sys, firesteel.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_asking_needs_no_torch() -> None:
    code = """
import sys
import firesteel.cli.ask, firesteel.cli.chat, firesteel.cli.evaluate, firesteel.cli.train, firesteel.cli.export
print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command(run: Any) -> None:
    code, out, _ = run("--help")
    assert code == 0 and all(name in out for name in ("ask", "chat", "train", "eval", "export"))
