"""`firesteel sft` as its user meets it; what it does is tested in tests/train/finetune."""

from pathlib import Path

import pytest

from firesteel.cli import sft as command
from firesteel.train.finetune import run as tuning
from firesteel.train.finetune.fit import Report
from tests.cli.program import refused


def test_settings_reach_the_tuning_and_what_came_of_it_is_told(run, monkeypatch):
    asked = {}

    def tune(sources, model, out, **settings):
        asked.update(settings, sources=sources, model=model, out=out)
        return tuning.Tuned(90, 10, 2, 1234, 38, Report(40, 100, 30, 2.5, 0.75, (3.0, 1.0)), ["there"])

    monkeypatch.setattr(tuning, "tune", tune)
    options = ["--out", "there", "--epochs", "0.5", "--strength", "low", "--holdout", "0.1", "--rank", "8"]
    code, told, _ = run("sft", "a.jsonl", "gsm8k:b.jsonl", *options)
    assert code == 0
    assert asked == {
        "sources": ["a.jsonl", "gsm8k:b.jsonl"],
        "model": "kindling",
        "out": Path("there"),
        "strength": 16,
        **{
            "epochs": 0.5,
            "batch": 16,
            "rate": None,
            "holdout": 0.1,
            "length": 2048,
            "rank": 8,
            "seed": 0,
            "rehearse": 0.3,
        },
    }
    for line in (
        "Learnt from 90 examples (1,234 tokens of the assistant), 10 held out.",
        "Rehearsed 38 generated problems",
        "Left out 2 that are longer than 2048 tokens",
        "Held-out loss 2.500 before, 0.750 after update 30",
        "Stopped 60 updates early",
        "firesteel ask --model there",
    ):
        assert line in told


def test_mistakes_are_one_sentence_and_exit_code_2(run, monkeypatch, tmp_path):
    assert "There is no file" in refused(run("sft", tmp_path / "none.jsonl", "--out", tmp_path / "out"))
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    given = ["a.jsonl", "--model", "hf:x", "--out", tmp_path / "out"]
    assert "pip install 'firesteel[train,hf]'" in refused(run("sft", *given))


@pytest.mark.parametrize("arguments", [["--out", "x"], ["a.jsonl"]])
def test_data_and_out_are_wanted(arguments, run):
    assert run("sft", *arguments)[0] == 2
