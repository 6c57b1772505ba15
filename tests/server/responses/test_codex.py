"""Codex, pointed here, does a task with two tools. Needs `codex` (npm @openai/codex) on PATH or in FIRESTEEL_CODEX."""

import os
import shutil
import subprocess

import pytest

from tests.agent.scripted import calls, says
from tests.server.serving import live

CODEX = os.environ.get("FIRESTEEL_CODEX") or shutil.which("codex")
CONFIG = """model = "kindling"
model_provider = "firesteel"
[model_providers.firesteel]
name = "firesteel"
base_url = "{url}/v1"
wire_api = "responses"
"""


@pytest.mark.skipif(not CODEX, reason="Codex is not here: npm install @openai/codex, then set FIRESTEEL_CODEX")
def test_codex_writes_a_file_reads_it_and_answers(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    write, read = ({"cmd": command} for command in ("echo first > a.txt", "cat a.txt"))
    script = calls(("exec_command", write)), calls(("exec_command", read)), says("It says first.", thought="I look.")
    with live(*script) as (url, service):
        (tmp_path / "config.toml").write_text(CONFIG.format(url=url))
        done = subprocess.run(
            [CODEX, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-C", work, "go"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CODEX_HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "It says first."
        results = [message for message in service.backend.requests[-1].messages if message.role == "tool"]
    assert (work / "a.txt").read_text() == "first\n"
    assert len(results) == 2 and results[1].text.endswith("first\n")
