"""What docker and podman are asked, seen by a program that stands in for them."""

import asyncio
import os
import sys

import pytest

from firesteel.agent.sandbox import Limits
from firesteel.agent.sandbox.containers import IMAGE, Container

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Makes a `docker` that writes down how it was called and then does what the test says."""
    folder = tmp_path / "folder"
    folder.mkdir()

    def make(does):
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/calls"\nenv > "{tmp_path}/env"\n{does}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return Container("docker")

    make.folder, make.calls, make.env = folder, tmp_path / "calls", tmp_path / "env"
    return make


@pytest.mark.parametrize(
    ("does", "obstacle"),
    [
        ("exit 0", ""),
        ("echo 'Error: No such image: x' >&2; exit 1", f"there is no image {IMAGE}; make one: "),
        ("echo 'Cannot connect.' >&2; exit 1", "Cannot connect."),
        ("exit 1", "its image cannot be read."),
    ],
)
def test_what_stands_against_it_is_told(does, obstacle, engine):
    told = engine(does).obstacle()
    assert told.startswith(obstacle) and bool(told) == bool(obstacle)


def test_no_program_is_an_obstacle(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert Container("podman").obstacle() == "there is no podman."


def test_a_container_is_locked_and_knows_nothing_of_the_host(engine, monkeypatch):
    monkeypatch.setenv("CANARY", "secret")
    tier = engine("cat > /dev/null; echo ran")
    result = asyncio.run(tier.run("1", engine.folder, Limits(memory_mib=100, threads=7)))
    assert result.stdout == "ran\n"
    call = engine.calls.read_text()
    for option in (
        "--network none", "--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--pull never",
        "--pids-limit 7", "--memory 100m --memory-swap 100m", f"type=bind,source={engine.folder},target=/mnt/data",
    ):  # fmt: skip
        assert f" {option} " in call
    assert "--env" not in call and "--privileged" not in call
    assert "CANARY" not in engine.env.read_text()


def test_a_container_is_removed_when_its_run_is_stopped(engine):
    tier = engine('[ "$1" = run ] && exec sleep 60; exit 0')
    assert asyncio.run(tier.run("1", engine.folder, Limits(wall_s=0.5))).stopped
    started, *asked, removed = engine.calls.read_text().splitlines()
    assert asked and all(call.startswith("container inspect ") for call in asked)
    assert removed.startswith("rm --force firesteel-") and removed.split()[-1] in started.split()


def test_a_container_ends_by_itself_where_nobody_ends_it(engine):
    asyncio.run(engine("cat > /dev/null").run("1", engine.folder, Limits(wall_s=9.5)))
    assert f" {IMAGE} timeout --signal KILL 15 python3 " in engine.calls.read_text()
