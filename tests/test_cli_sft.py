"""`firesteel sft` as its user meets it; what it does is tested in tests/train/finetune."""

import sys
from pathlib import Path

import pytest

from firesteel.cli import main
from firesteel.cli import sft as command
from firesteel.train.finetune import run
from firesteel.train.finetune.fit import Report


def sft(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["firesteel", "sft", *arguments])
    try:
        main()
    except SystemExit as stopped:
        return stopped.code or 0
    return 0


def test_settings_reach_the_tuning_and_what_came_of_it_is_told(monkeypatch, capsys):
    asked = {}

    def tune(sources, model, out, **settings):
        asked.update(settings, sources=sources, model=model, out=out)
        return run.Tuned(90, 10, 2, 1234, 38, Report(40, 100, 30, 2.5, 0.75, (3.0, 1.0)), ["there"])

    monkeypatch.setattr(run, "tune", tune)
    options = ["--out", "there", "--epochs", "0.5", "--strength", "low", "--holdout", "0.1", "--rank", "8"]
    assert sft(monkeypatch, "a.jsonl", "gsm8k:b.jsonl", *options) == 0
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
    told = capsys.readouterr().out
    for line in (
        "Learnt from 90 examples (1,234 tokens of the assistant), 10 held out.",
        "Rehearsed 38 generated problems",
        "Left out 2 that are longer than 2048 tokens",
        "Held-out loss 2.500 before, 0.750 after update 30",
        "Stopped 60 updates early",
        "firesteel ask --model there",
    ):
        assert line in told


def test_mistakes_are_one_sentence_and_exit_code_2(monkeypatch, capsys, tmp_path):
    assert sft(monkeypatch, str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "out")) == 2
    assert "There is no file" in capsys.readouterr().err
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert sft(monkeypatch, "a.jsonl", "--model", "hf:x", "--out", str(tmp_path / "out")) == 2
    assert "pip install 'firesteel[train,hf]'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--out", "x"], ["a.jsonl"]])
def test_data_and_out_are_wanted(arguments, monkeypatch, capsys):
    assert sft(monkeypatch, *arguments) == 2
