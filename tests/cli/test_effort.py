"""`bench effort`, `bench curve` and `bench optim` as their user meets them."""

import json

import pytest
from PIL import Image

from firesteel.backends import resolve
from firesteel.evals.effort import problems
from tests.evals.test_effort import AFTER, Known

SMALL = ["--families", "chain_sum", "--held-out", "compare", "--n", "2", "--seeds", "1", "--samples", "4"]


@pytest.fixture
def opened(monkeypatch):
    keys, opened = problems(["chain_sum", "compare"], (1,), 2, (0,)), []

    def open_backend(address, **options):
        opened.append((address, Known(*AFTER, keys)))
        return opened[-1][1]

    monkeypatch.setattr(resolve, "open_backend", open_backend)
    return opened


def test_effort_writes_results_a_picture_and_samples_and_asks_once(opened, run, tmp_path):
    out = tmp_path / "new" / "effort.json"
    command = ["effort", "--model", "before=openai:a", "--model", "after=openai:b", *SMALL]
    command += ["--strengths", "low,high", "--budgets", "5", "--out", str(out)]
    code, text, _ = run("bench", *command)
    assert code == 0 and "held out: 2 problems" in text and "At equal accuracy" in text and "chance@4" in text
    assert [(address, len(backend.asked)) for address, backend in opened] == [("openai:a", 16), ("openai:b", 8)]
    assert Image.open(out.with_suffix(".png")).width > 1000 and len(out.with_suffix(".jsonl").read_text().split()) > 24
    code, text, _ = run("bench", *command, "--json")
    assert code == 0 and len(opened) == 2 and json.loads(text) == json.loads(out.read_text())


def test_curve_writes_fits_and_says_that_there_are_too_few_points(opened, run, tmp_path):
    out = tmp_path / "curve.json"
    command = ["curve", *SMALL, "--strength", "low", "--out", str(out)]
    code, text, _ = run("bench", *command, "--checkpoint", "0=openai:a", "--checkpoint", "1e12=openai:b")
    assert code == 0 and "too few points" in text
    assert list(json.loads(out.read_text())) == ["all", "trained", "held out"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "curve.json",
        "curve.jsonl",
        "curve.png",
        "curve-trained.png",
        "curve-held-out.png",
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["effort", "--levels", "one"], "whole number"),
        (["effort", "--held-out", "chess"], "chess"),
        (["effort", "--model", "openai:a", "--threads", "1", *SMALL], "--threads"),
        (["curve", "--checkpoint", "step8=openai:a"], "FLOPS=ADDRESS"),
        (["optim", "chess"], "recipe"),
        (["optim", "--lrs", "fast"], "numbers"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(opened, run, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    code, _, complaint = run("bench", *arguments)
    assert code == 2 and told in complaint and complaint.count("\n") == 1 and not opened
