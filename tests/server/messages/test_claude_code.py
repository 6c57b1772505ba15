"""Claude Code, pointed at this server, does a task with two of its tools. Needs its program `claude` (on npm:
@anthropic-ai/claude-code), on the PATH or named by FIRESTEEL_CLAUDE."""

import json
import os
import shutil
import subprocess

import pytest

from tests.agent.scripted import Scripted, calls, says
from tests.server.serving import live

CLAUDE = os.environ.get("FIRESTEEL_CLAUDE") or shutil.which("claude")
pytestmark = pytest.mark.skipif(not CLAUDE, reason="there is no claude on the PATH, nor in FIRESTEEL_CLAUDE")


class Working(Scripted):
    """Reads a file, writes another, then answers."""

    def __init__(self, folder):
        super().__init__()
        self.steps = [
            calls(("Read", {"file_path": f"{folder}/in.txt"})),
            calls(("Write", {"file_path": f"{folder}/out.txt", "content": "seven"})),
            says("It was seven.", thought="Seven it is."),
        ]

    async def stream(self, request):
        names = {tool["function"]["name"] for tool in request.tools}
        done = sum(message.role == "tool" for message in request.messages)
        # Beside its task it asks for titles and the like, without tools.
        self.lines = [self.steps[done] if {"Read", "Write"} <= names else says("A task")] * request.n
        async for delta in super().stream(request):
            yield delta


def claude(url, folder, *arguments, model="kindling"):
    home = folder / "home"
    home.mkdir()
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": "x",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        **{f"ANTHROPIC_DEFAULT_{name}_MODEL": model for name in ("OPUS", "SONNET", "HAIKU")},
    }
    command = [CLAUDE, "-p", *arguments, "--model", "sonnet", "--output-format", "json"]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_task_with_two_tools_is_done(tmp_path):
    (tmp_path / "in.txt").write_text("seven\n")
    model = Working(tmp_path)
    with live(backend=lambda: model) as (url, _):
        told = claude(url, tmp_path, "Read in.txt and write it to out.txt.", "--permission-mode", "acceptEdits")
    assert told["result"] == "It was seven." and not told["is_error"], told
    assert (tmp_path / "out.txt").read_text() == "seven"
    results = [message for message in model.requests[-1].messages if message.role == "tool"]
    assert "seven" in results[0].text and len(results) == 2


def test_the_progress_of_agents_is_left_alone(tmp_path):
    model = Working(tmp_path)
    model.steps = [says("Hi.", thought="Greet.")]
    with live(backend=lambda: model) as (url, _):
        told = claude(url, tmp_path, "say hi", model="kindling-contemplating")
    assert told["result"] == "Hi." and model.requests[-1].n > 1
