import json

import pytest

from firesteel.cli import reproduce as command
from firesteel.cli.reproduce import reproduce

TINY = (
    "taught.tokenizer_samples=150",
    "taught.stages.0.steps=2",
    "taught.stages.1.steps=2",
    "taught.compile=False",
    "reinforced.phases.0.steps=1",
    "reinforced.phases.1.steps=1",
    "reinforced.prompts=2",
    "reinforced.samples=2",
    "reinforced.max_tokens=8",
    "reinforced.measured=1",
    "reinforced.compile=False",
)


def stages(directory):
    return [json.loads(line)["stage"] for line in (directory / "measured.jsonl").read_text().splitlines()]


def test_every_stage_is_measured_and_a_stopped_run_goes_on(tmp_path, monkeypatch, capsys):
    measured = command.evaluate

    async def short(*args, **options):
        if stopped and len(stages(tmp_path)) == 2:
            raise KeyboardInterrupt
        return await measured(*args, **options | {"max_tokens": 8})

    stopped = True
    (tmp_path / "measured.jsonl").touch()
    monkeypatch.setattr(command, "evaluate", short)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path, 1, TINY)
    assert stages(tmp_path) == ["pretrain", "sft"]
    stopped = False
    reproduce(tmp_path, 1, TINY)
    assert stages(tmp_path) == ["pretrain", "sft", "accuracy", "compress"]
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("pretrain", "sft", "accuracy", "compress"))


def test_an_unknown_setting_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown key 'steps'"):
        reproduce(tmp_path, 1, ["taught.steps=3"])
