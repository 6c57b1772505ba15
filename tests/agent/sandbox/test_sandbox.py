"""What every tier must do, on the tiers that this machine has; and how a tier is chosen."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from firesteel.agent import sandbox
from firesteel.agent.sandbox import Limits, Result


@pytest.fixture(scope="session")
def reasons():
    return dict(sandbox.available())


def runner(tier, reasons, folder):
    if reasons[tier.name]:
        pytest.skip(f"No {tier.name} here: {reasons[tier.name]}")
    return lambda code, **limits: asyncio.run(tier.run(code, folder, Limits(wall_s=300, **limits)))


@pytest.fixture(params=sandbox.TIERS, ids=lambda tier: tier.name)
def run(request, reasons, tmp_path):
    return runner(request.param, reasons, tmp_path)


@pytest.fixture(params=sandbox.TIERS[:-1], ids=lambda tier: tier.name)
def run_natively(request, reasons, tmp_path):
    """Without WebAssembly, which has no threads, no connected sockets and only names that are text."""
    return runner(request.param, reasons, tmp_path)


def test_a_value_at_the_end_is_printed(run):
    assert run("x = 2\nprint(x)\nx * 21").stdout == "2\n42\n"


def test_an_error_is_a_traceback_of_the_code_alone(run):
    result = run("def half(x):\n    return x / 0\nhalf(1)")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[:3] == [
        "Traceback (most recent call last):",
        '  File "<code>", line 3, in <module>',
        "    half(1)",
    ]
    assert result.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


def test_a_syntax_error_shows_the_line(run):
    assert 'File "<code>", line 1' in run("x = (").stderr


def test_the_exit_status_is_the_codes(run):
    assert run("import sys; sys.exit(7)").exit_code == 7


def test_files_stay_and_the_state_does_not(run):
    assert run("import pathlib; pathlib.Path('a.txt').write_text('kept'); x = 1").changed == ("a.txt",)
    assert run("print(open('a.txt').read(), 'x' in globals())").stdout == "kept False\n"


def test_the_library_and_packages_work(run):
    code = """
import csv, datetime, io, json, math, random, re, sqlite3, statistics, tempfile, zipfile
import numpy as np
from PIL import Image
with tempfile.TemporaryDirectory() as place: open(place + '/x', 'w').close()
with zipfile.ZipFile('a.zip', 'w') as file: file.writestr('x', 'y')
sqlite3.connect('a.db').execute('create table t (x)')
Image.fromarray(np.eye(4, dtype='uint8') * 255).save('eye.png')
print(np.linalg.det(np.diag([2.0, 3.0])))
"""
    result = run(code)
    assert (result.stderr, result.stdout) == ("", "6.0\n")
    assert result.changed == ("a.db", "a.zip", "eye.png")


def test_tables_work(run):
    pytest.importorskip("pandas", reason="The extra sandbox is not installed.")
    code = """
import pandas as pd
pd.DataFrame({'x': [1, 2, 3], 'y': ['a', 'b', 'a']}).to_csv('t.csv', index=False)
print(pd.read_csv('t.csv').groupby('y').x.sum().to_dict())
"""
    result = run(code)
    assert (result.stderr, result.stdout, result.changed) == ("", "{'a': 4, 'b': 2}\n", ("t.csv",))


def test_threads_loops_and_copies_work(run_natively):
    code = """
import asyncio, shutil
from concurrent.futures import ThreadPoolExecutor
open('a', 'w').write('x')
shutil.copy2('a', 'b')
with ThreadPoolExecutor(3) as pool: print(list(pool.map(len, ['a', 'bb'])), open('b').read())
asyncio.run(asyncio.sleep(0, 'slept'))
"""
    result = run_natively(code)
    assert (result.stderr, result.stdout) == ("", "[1, 2] x\n'slept'\n")


def test_figures_are_files_whether_shown_saved_or_left_open(run):
    code = """
import matplotlib.pyplot as plt
plt.plot([1, 2]); plt.show()
plt.plot([2, 1]); plt.savefig('mine.png'); plt.show()
plt.figure(); plt.plot([1, 1])
"""
    result = run(code)
    assert (result.stderr, result.changed) == ("", ("figure-1.png", "figure-2.png", "mine.png"))


def test_a_file_named_like_a_module_does_not_stand_in_for_it(run):
    names = ("json", "random", "sitecustomize", "usercustomize", "firesteel_cell")
    run(f"for name in {names}: open(name + '.py', 'w').write('print(1 / 0)')")
    assert run("import json, random; print(json.dumps(1))").stdout == "1\n"


@pytest.mark.parametrize("name", ["helper", "main", "cell"])
def test_an_own_module_can_be_imported(name, run):
    run(f"open('{name}.py', 'w').write('x = 5')")
    assert run(f"import {name}; {name}.x").stdout == "5\n"


def test_strange_names_are_told_as_they_are(run_natively):
    assert run_natively("open(b'\\xff\\n', 'w').close(); open('.scratch-notes', 'w').close()").changed == (
        ".scratch-notes",
        "\udcff\n",
    )


def test_landlock_needs_no_rights(reasons):
    if reasons["landlock"]:
        pytest.skip(f"No landlock here: {reasons['landlock']}")
    code = """
import ctypes, struct
libc = ctypes.CDLL(None)
for right in range(64): libc.prctl(24, right, 0, 0, 0)  # not for programs that this one starts either
libc.capset(struct.pack("<Ii", 0x20080522, 0), bytes(24))
from firesteel.agent import sandbox
print(dict(sandbox.available())['landlock'])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "None\n", done.stderr


def test_many_runs_at_once_do_not_mix(reasons, tmp_path):
    tier = sandbox.best()
    if tier is None:
        pytest.skip("No sandbox here.")

    async def main():
        folders = [tmp_path / str(number) for number in range(6)]
        for folder in folders:
            folder.mkdir()
        code = "import os; print({}, sorted(os.listdir('.'))); open('f{}', 'w').close()"
        return await asyncio.gather(*(tier.run(code.format(f.name, f.name), f, Limits()) for f in folders))

    results = asyncio.run(main())
    assert [result.stdout for result in results] == [f"{number} ['.scratch']\n" for number in range(6)]
    assert [result.changed for result in results] == [(f"f{number}",) for number in range(6)]


class Leaky:
    """Pretends to be a sandbox."""

    name, sees = "leaky", ""

    def __init__(self, stdout, changed=("written",), obstacle=""):
        self.result, self.why = Result(stdout, "", 0, changed=changed), obstacle

    def obstacle(self):
        return self.why

    async def run(self, code: str, folder: Path, limits: Limits):
        return self.result


@pytest.mark.parametrize(
    ("tier", "works"),
    [
        (Leaky("held 1 1 1\n"), True),
        (Leaky("held 0 1 1\n"), False),
        (Leaky("held 1 1 0\n"), False),
        (Leaky("held 1 1 1\n", changed=()), False),
        (Leaky("held 1 1 1\n", obstacle="It is Tuesday."), False),
    ],
)
def test_only_a_tier_that_proves_itself_is_taken(tier, works, monkeypatch):
    monkeypatch.setattr(sandbox, "TIERS", (tier,))
    assert sandbox.best() is (tier if works else None)
    assert (sandbox.available()[0][1] is None) == works


def test_the_first_tier_that_works_is_taken_also_inside_a_loop(monkeypatch):
    good = Leaky("held 1 1 1\n")
    monkeypatch.setattr(sandbox, "TIERS", (Leaky("", obstacle="No."), good, Leaky("held 1 1 1\n")))

    async def main():
        return sandbox.best()

    assert asyncio.run(main()) is good
