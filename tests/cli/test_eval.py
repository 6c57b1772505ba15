"""`firesteel eval tasks` as its user meets it."""

from __future__ import annotations

import json
from typing import Any

from firesteel.tasks import make
from firesteel.tasks.base import HELD_OUT
from tests.cli.program import Scripted, refused


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
