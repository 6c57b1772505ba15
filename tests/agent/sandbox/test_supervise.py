import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from firesteel.agent.sandbox import Limits
from firesteel.agent.sandbox.supervise import Capped, supervise, survey

# The supervisor needs no jail: these run plain Python.
PLAIN = [sys.executable, "-I", "-S", "-c"]


def run(code, folder, **limits):
    return asyncio.run(
        supervise([*PLAIN, f"import os; os.chdir({str(folder)!r})\n{code}"], {}, folder, Limits(**limits))
    )


@pytest.mark.parametrize("most", [0, 1, 7, 10])
def test_capped_text_keeps_both_ends_whatever_the_pieces(most):
    data = bytes(range(97, 123))
    for size in (1, 3, 26):
        capped = Capped(most)
        for start in range(0, 26, size):
            capped.add(data[start : start + size])
        head, tail = data[: most // 2].decode(), data[26 - (most - most // 2) :].decode()
        assert capped.text == f"{head}\n[… {26 - most} bytes left out …]\n{tail}"


def test_text_within_the_cap_is_whole():
    capped = Capped(6)
    for byte in "aéüb".encode():
        capped.add(bytes([byte]))
    assert capped.text == "aéüb"


def test_the_request_is_what_the_process_reads(tmp_path):
    code = "import sys; sys.stdout.write(sys.stdin.read())"
    result = asyncio.run(supervise([*PLAIN, code], {"a": "é" * 200_000}, tmp_path, Limits(output=10)))
    assert result.stdout.startswith('{"a"') and result.exit_code == 0


def test_a_process_that_does_not_read_its_request_is_no_error(tmp_path):
    result = asyncio.run(supervise([*PLAIN, "print(1)"], {"a": "x" * 10_000_000}, tmp_path, Limits()))
    assert (result.stdout, result.exit_code) == ("1\n", 0)


def test_the_environment_is_empty(tmp_path):
    assert run("print(dict(os.environ).keys() - {'LC_CTYPE'})", tmp_path).stdout == "set()\n"


def test_changed_and_new_files_are_told_and_scratch_is_not(tmp_path):
    for name in ("kept", "changed"):
        (tmp_path / name).write_text("1")
        os.utime(tmp_path / name, (1, 1))
    code = "open('changed', 'a').write('2'); os.makedirs('b/c'); open('b/c/new', 'w'); os.mkdir('.scratch'); "
    result = run(code + "open('.scratch/x', 'w')", tmp_path)
    assert result.changed == ("b/c/new", "changed")


def test_a_deadline_ends_it(tmp_path):
    result = run("print(1, flush=True)\nwhile True: pass", tmp_path, wall_s=2.0)
    assert result.stopped == "It ran longer than 2 s." and result.exit_code == -signal.SIGKILL


def test_an_overfull_folder_loses_only_what_is_new(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "kept").write_text("kept")
    code = """
for name in ('new', 'old/new'):
    with open(name, 'wb') as file: file.write(bytes(1 << 20))
for _ in range(2000):
    os.mkdir('deep', 0); os.chmod('deep', 0o700); os.chdir('deep')
open('x', 'w'); os.chmod('.', 0)
"""
    result = run(code, tmp_path, folder_mib=1, wall_s=60)
    assert "were removed" in result.stopped and result.changed == ()
    assert set(survey(tmp_path, 10).files) == {"old/kept"} and survey(tmp_path, 10).folders == {"old"}


def test_what_is_over_the_limit_at_the_end_is_found_without_a_poll(tmp_path):
    result = run("for i in range(20): open(str(i), 'w')\nos._exit(0)", tmp_path, files=10)
    assert result.stopped.startswith("The working folder holds more than 10 files.")
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_that_overfills_the_folder_goes_too_and_the_others_stay(tmp_path):
    (tmp_path / "grown").write_text("1")
    (tmp_path / "kept").write_text("1")
    result = run("with open('grown', 'wb') as file: file.write(bytes(2 << 20))", tmp_path, folder_mib=1)
    assert "were removed" in result.stopped
    assert set(survey(tmp_path, 10).files) == {"kept"}


def test_removing_does_not_follow_a_folder_that_became_a_link(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    (folder / "old").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").touch()
    code = f"os.rmdir('old'); os.symlink({str(outside)!r}, 'old')\nfor i in range(20): open(str(i), 'w')"
    assert "were removed" in run(code, folder, files=10).stopped
    assert (outside / "kept").exists() and list(folder.iterdir()) == []


def test_what_is_written_in_all_is_limited(tmp_path):
    code = "while True:\n    with open('x', 'wb') as file: file.write(bytes(1 << 20))"
    assert run(code, tmp_path, folder_mib=2).stopped == "It wrote more than 32 MiB in all."


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process maps")
def test_deleted_files_count_while_they_are_mapped(tmp_path):
    code = """
import mmap, time
held = []
for _ in range(3):
    with open('x', 'w+b') as file:
        file.truncate(100)
        os.unlink('x')
        held.append(mmap.mmap(file.fileno(), 100))
os.closerange(3, 100)  # a map keeps a descriptor of its own
time.sleep(60)
"""
    assert "grew over" in run(code, tmp_path, folder_mib=2, file_mib=1).stopped


def test_a_folder_that_was_too_large_before_may_be_cleaned(tmp_path):
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    result = run("import time; time.sleep(0.3); os.unlink('large'); print('done')", tmp_path, folder_mib=1)
    assert (result.stdout, result.stopped) == ("done\n", "")


def test_a_survey_does_not_follow_links(tmp_path):
    (tmp_path / "up").symlink_to(tmp_path.parent)
    (tmp_path / "file").touch()
    assert set(survey(tmp_path, 10).files) == {"file", "up"} and survey(tmp_path, 10).odd == {"up"}


def test_links_and_pipes_that_a_run_leaves_are_removed(tmp_path):
    (tmp_path / "mine").symlink_to(tmp_path.parent)
    result = run("os.symlink('..', 'up'); os.mkdir('a'); os.mkfifo('a/pipe'); open('a/file', 'w')", tmp_path)
    assert result.changed == ("a/file",)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "file", "mine"]


def test_cancelling_kills_at_once(tmp_path):
    async def main():
        argv = [*PLAIN, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()))\nwhile True: pass"]
        task = asyncio.create_task(supervise(argv, {}, tmp_path, Limits()))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return int((tmp_path / "pid").read_text())

    pid = asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_cancelled_run_leaves_no_overfull_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("firesteel.agent.sandbox.supervise.POLL_S", 600.0)
    code = f"import os; os.chdir({str(tmp_path)!r})\nfor i in range(30): open(str(i), 'w')\nwhile True: pass"

    async def main():
        task = asyncio.create_task(supervise([*PLAIN, code], {}, tmp_path, Limits(files=10)))
        while not (tmp_path / "29").exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_what_outlives_the_process_is_ended_too(tmp_path):
    ended = []

    async def also():
        ended.append(True)

    asyncio.run(supervise([*PLAIN, "while True: pass"], {}, tmp_path, Limits(wall_s=0.5), also_kill=also))
    assert ended == [True]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.parametrize("tier", ["bubblewrap", "landlock"])
def test_a_run_ends_with_the_harness(tier, tmp_path):
    from firesteel.agent import sandbox

    if reason := dict(sandbox.available())[tier]:
        pytest.skip(f"No {tier} here: {reason}")
    code = "import fcntl, time; f = open('lock', 'w'); fcntl.flock(f, 2); open('ready', 'w'); time.sleep(600)"
    harness = f"""
import asyncio
from pathlib import Path
from firesteel.agent import sandbox
tier = {{tier.name: tier for tier in sandbox.TIERS}}[{tier!r}]
asyncio.run(tier.run({code!r}, Path({str(tmp_path)!r}), sandbox.Limits(wall_s=600)))
"""
    process = subprocess.Popen([sys.executable, "-c", harness])
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    with (tmp_path / "lock").open() as file:
        assert freed(file)


def freed(file):
    """Whether the lock on the file can be taken within half a minute."""
    for _ in range(300):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.1)
    return False
