"""The command line as its user meets it: what stands on stdout, what on stderr, and the exit code."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import firesteel.train
from firesteel.backends import resolve
from firesteel.backends.base import Delta, Request
from firesteel.cli import main
from firesteel.evals.run import HELD_OUT
from firesteel.tasks import make

THOUGHT = [" to=self<|message|>", "Two and ", "two.", "<|eom|>", "<|start|>assistant"]
ANSWER = [" to=user<|message|>", "It is ", "4", "<|eot|>"]


class Scripted:
    """Says the pieces that `script` makes of a request, one token each."""

    tokenizer = None
    context = None
    slots = 8

    def __init__(self, script: Callable[[Request], Sequence[str]]) -> None:
        self.script, self.name = script, ""
        self.requests: list[Request] = []
        self.reason = "stop"
        self.between: Callable[[str], None] = lambda piece: None  # called after each piece was consumed
        self.opened = self.closed = self.ended = 0

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        try:
            for piece in self.script(request):
                yield Delta(text=piece, token_ids=(0,))
                await queues()
                self.between(piece)
                await queues()
            yield Delta(finish_reason=self.reason, prompt_tokens=7, cached_tokens=3)
        finally:
            self.ended += 1

    async def close(self) -> None:
        self.closed += 1


async def queues() -> None:
    """Long enough for an event, or a cancellation, to reach whoever waits for it."""
    for _ in range(5):
        await asyncio.sleep(0)


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


def refused(result: tuple[int, str, str]) -> str:
    """The one sentence of an error."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("firesteel: ") and err.count("\n") == 1 and err.endswith("\n")
    return err


def picture(path: Path, color: str = "red") -> Path:
    Image.new("RGB", (40, 30), color).save(path)
    return path


def bomb(path: Path) -> Path:
    """A PNG of a few bytes that says it is 60000 x 60000."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header)))
    return path


# ---------------------------------------------------------------- ask


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


def test_ask_shows_calls(backend: Scripted, run: Any) -> None:
    call = '<atem:invoke name="look">\n<atem:parameter name="at">up</atem:parameter>\n</atem:invoke>'
    whole = [" to=look<|message|><atem:function_calls>\n", call, "\n</atem:function_calls>", "<|eot|>"]
    backend.script = lambda request: ANSWER if request.messages[-1].role == "tool" else whole
    code, out, err = run("ask", "?")
    assert out == "look {'at': 'up'}\n\nError: There is no tool look; there are: none.\n\nIt is 4\n"
    assert code == 0 and "no tool look" in err
    found = json.loads(run("ask", "?", "--json")[1])["tool_calls"]
    assert found == [{"name": "look", "arguments": {"at": "up"}}]
    cut = [whole[0], call[:40]]  # settled only when the stream ends
    backend.script = lambda request: ANSWER if request.messages[-1].role == "developer" else cut
    code, out, err = run("ask", "?")
    assert (code, out) == (0, "It is 4\n") and err.startswith("firesteel: ")


def test_ask_tells_that_an_answer_was_cut_off(backend: Scripted, run: Any) -> None:
    backend.reason = "length"
    code, out, err = run("ask", "?")
    assert (code, out) == (0, "Two and two.\n\nIt is 4\n") and "--max-tokens" in err


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


# ---------------------------------------------------------------- modes, tools, traces


def test_instant_thinks_as_little_as_possible(backend: Scripted, run: Any) -> None:
    run("ask", "?", "--mode", "instant", "--strength", "xhigh")
    assert backend.requests[0].strength == 1


def test_contemplating_asks_for_all_agents_at_once_and_tells_what_it_took(backend: Scripted, run: Any) -> None:
    code, out, err = run("ask", "?", "--mode", "contemplating", "--agents", "1", "--json")
    found = json.loads(out)
    assert (code, err, found["content"]) == (0, "", "It is 4")
    assert found["usage"]["agents_started"] == 1 and found["usage"]["agreement"] == 1.0
    assert backend.requests[0].temperature == 1.0 and backend.requests[0].n == 1
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


# ---------------------------------------------------------------- what goes wrong


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


# ---------------------------------------------------------------- chat


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


# ---------------------------------------------------------------- eval


def test_eval_tasks(backend: Scripted, run: Any) -> None:
    problems = [make("compare", HELD_OUT * 2 + i) for i in range(3)]
    answers = {problem.question: problem.answer for problem in problems}
    backend.script = lambda request: [f" to=user<|message|>{answers[request.messages[-1].text]}<|eot|>"]
    command = ["eval", "tasks", "--families", "compare, compare", "--n", "3", "--seed", "1", "--strength", "low"]
    code, out, err = run(*command, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["mean"], found["families"]["compare"]["n"]) == (1.0, 3)
    assert (found["settings"]["strength"], found["settings"]["backend"]) == (16, "kindling")
    code, out, err = run(*command)
    assert (code, err) == (0, "") and "compare" in out and "100.0%" in out and "\x1b" not in out
    assert backend.closed == 2


def test_eval_blanks_pictures(backend: Scripted, run: Any) -> None:
    run("eval", "tasks", "--families", "clock", "--n", "1", "--blank-images", "--json")
    image = backend.requests[0].messages[0].images[0]
    assert image.getcolors() == [(image.width * image.height, (128, 128, 128))]


def test_eval_of_what_does_not_exist(backend: Scripted, run: Any) -> None:
    assert "nonsense" in refused(run("eval", "tasks", "--families", "clock,nonsense"))
    assert "levels" in refused(run("eval", "tasks", "--families", "clock", "--level", "99"))
    refused(run("eval", "tasks", "--families", ","))


# ---------------------------------------------------------------- train and export


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Path]]:
    """The runs that would have been trained."""
    runs: list[tuple[Any, Path]] = []

    def train(config: Any, directory: Path) -> Path:
        runs.append((config, directory))
        return directory / "model"

    monkeypatch.setattr(firesteel.train, "loop", SimpleNamespace(train=train), raising=False)
    return runs


def test_train(trained: list[tuple[Any, Path]], run: Any) -> None:
    assert run("train", "smoke", "--set", "seed=5", "--set", "stages.sft.steps=2")[0] == 0
    assert run("train", "smoke", "--out", "elsewhere")[0] == 0
    (first, directory), (_, other) = trained
    assert (first.seed, first.stages[1].steps) == (5, 2)
    assert (directory, other) == (Path("runs/smoke"), Path("elsewhere"))


def test_train_what_does_not_exist(trained: list[tuple[Any, Path]], run: Any) -> None:
    assert "kindling, kindling-next, smoke" in refused(run("train", "nonsense"))
    assert "sead" in refused(run("train", "smoke", "--set", "sead=5"))
    assert "seed" in refused(run("train", "smoke", "--set", "seed=much"))
    assert "seed" in refused(run("train", "smoke", "--set", "seed"))
    assert not trained


def test_without_the_extra(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for command in (["train", "smoke", "--out", tmp_path / "a"], ["export", tmp_path / "b"]):
        assert "pip install 'firesteel[train]'" in refused(run(*command))
    assert not list(tmp_path.iterdir())


def test_export_refuses_to_overwrite(run: Any, tmp_path: Path) -> None:
    file = picture(tmp_path / "a.png")
    assert str(tmp_path) in refused(run("export", tmp_path))
    assert file.name in refused(run("export", file))
    assert list(tmp_path.iterdir()) == [file]


# ---------------------------------------------------------------- the program itself


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
