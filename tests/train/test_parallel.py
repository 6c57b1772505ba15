"""Two Gloo processes draw the curve of one, dense and sparse, and either's checkpoints open with the other."""

import dataclasses
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from firesteel import model as models
from firesteel.model import Config, Muse
from firesteel.train.learner import Learner
from firesteel.train.loop import Trainer
from firesteel.train.parallel import Ranks, SpreadExperts

SCRIPT = Path(__file__).with_name("ranks.py")
spec = importlib.util.spec_from_file_location("ranks", SCRIPT)
ranks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ranks)

KINDS = ("dense", "sparse")
# Losses of sums taken in another order, update by update. Newton-Schulz magnifies rounding, and a token may change its
# expert: noise of 1e-7 of the largest gradient moves the losses of one sparse process by as much.
TOLERANCE = {"dense": [1e-4] * 6, "sparse": [1e-5, 1e-3, 2e-3, 1e-2]}


def rows(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def losses(directory):
    return [row["loss"] for row in rows(directory) if row["stage"] == 0]


def beside(source, directory):
    """A directory with the tokenizer and the shards of another, so that they are drawn once."""
    directory.mkdir()
    for name in ("tokenizer", "shards"):
        shutil.copytree(source / name, directory / name)
    return directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The directories `dense-1`, `dense-2`, …: by how many processes; `dense-1-2`: begun by one, ended by two."""
    top = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        if kind != "dense":
            beside(top / "dense-1", top / f"{kind}-1")
        ranks.train(top / f"{kind}-1")
        for name in (f"{kind}-2", f"{kind}-1-2", f"{kind}-2-1"):
            beside(top / "dense-1", top / name)
        kept = top / f"{kind}-1" / "plateau-00-0000002.safetensors"
        shutil.copy(kept, top / f"{kind}-1-2" / "checkpoint.safetensors")
    together = [str(top / name) for kind in KINDS for name in (f"{kind}-2", f"{kind}-1-2")]
    sockets = [socket.socket() for _ in range(len(together) + 1)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = ",".join(str(each.getsockname()[1]) for each in sockets)
    for each in sockets:
        each.close()
    commands = [[sys.executable, str(SCRIPT), str(rank), ports, *together] for rank in range(ranks.RANKS)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for command in commands]
    for process in processes:
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output.decode()[-3000:]
    for kind in KINDS:
        shutil.copytree(top / f"{kind}-2" / "plateau-00-0000002", top / f"{kind}-2-1" / "checkpoint-00-0000002")
        ranks.train(top / f"{kind}-2-1")
    return top


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_give_the_losses_of_one(runs, kind):
    one, two = rows(runs / f"{kind}-1"), rows(runs / f"{kind}-2")
    assert len(one) == len(two) == (6 if kind == "dense" else 4)
    for ours, theirs, tolerance in zip(two, one, TOLERANCE[kind], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=tolerance), ours
        assert ours["learnt"] == theirs["learnt"]
    assert two[0]["grad_norm"] == pytest.approx(one[0]["grad_norm"], rel=1e-4)
    assert len(set(losses(runs / f"{kind}-2"))) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_open_on_another_number_of_processes(runs, kind):
    expected = list(zip(losses(runs / f"{kind}-1"), TOLERANCE[kind], strict=False))[2:]
    after = [pytest.approx(loss, rel=tolerance) for loss, tolerance in expected]
    assert losses(runs / f"{kind}-1-2") == after
    assert losses(runs / f"{kind}-2-1") == after


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_of_two_processes_is_whole(runs, kind):
    ours, theirs = (models.load(runs / f"{kind}-{count}" / "model").state_dict() for count in (2, 1))
    assert ours.keys() == theirs.keys()
    moved = {name: (ours[name] - theirs[name]).abs().mean().item() for name in ours}
    assert max(moved.values()) < 1e-3  # four updates of 1e-3 move a weight by some 4e-3


@pytest.mark.parametrize("what", ["rows", "named"])
def test_rows_and_pictures_that_cannot_be_shared_are_refused(tmp_path, what):
    run = ranks.tiny("smoke")
    run = dataclasses.replace(run, stages=(dataclasses.replace(run.stages[0], **{what: 3}),))
    with pytest.raises(ValueError, match=f"cannot share the 3 {what}"):
        Trainer(run, tmp_path, None, None, torch.device("cpu"), Ranks(0, 2, None))


def test_experts_that_cannot_be_dealt_out_are_refused():
    learner = Learner(Muse(Config.from_dict(ranks.tiny("smoke-sparse").model)), torch.float32)
    experts = learner.model.model.language_model.layers[0].mlp.experts
    with pytest.raises(ValueError, match="8 experts cannot be dealt out to 3"):
        SpreadExperts(experts, Ranks(0, 3, object()))
