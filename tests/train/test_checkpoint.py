from pathlib import Path

import pytest
import torch
from torch import nn

from firesteel.train import checkpoint
from firesteel.train.optim import MuonAdamW
from firesteel.train.parallel import Ranks

ALONE = Ranks()


def learner(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4))
    return model, MuonAdamW(model, 1e-2, 1.0, 0.0, dtype=torch.float32)


def update(model, optimiser):
    model(torch.ones(2, 4)).square().sum().backward()
    optimiser.step()
    optimiser.zero_grad()


def test_weights_and_optimiser_come_back(tmp_path):
    model, optimiser = learner()
    update(model, optimiser)
    path = checkpoint.write(tmp_path, (1, 20), model, optimiser, ALONE)
    assert checkpoint.newest(tmp_path) == path and checkpoint.place_of(path) == (1, 20)
    other, its = learner(seed=1)
    checkpoint.read(path, other, its)
    for _ in range(2):
        update(model, optimiser)
        update(other, its)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_a_new_checkpoint_takes_the_old_ones_place_and_kept_ones_stay(tmp_path):
    model, optimiser = learner()
    abandoned = tmp_path / "checkpoint-00-0000010"
    abandoned.mkdir()
    mine = tmp_path / "checkpoint-before.safetensors"  # what somebody else put there is left alone
    mine.touch()
    assert checkpoint.newest(tmp_path) is None  # no `.metadata`: the kill came before it was whole
    path = checkpoint.write(tmp_path, (0, 20), model, optimiser, ALONE)
    assert not abandoned.exists()
    mine.unlink()
    checkpoint.keep(path, ALONE)
    checkpoint.write(tmp_path, (0, 30), model, optimiser, ALONE)
    names = {p.name: checkpoint.place_of(p) for p in tmp_path.iterdir()}
    assert names == {"checkpoint.safetensors": (0, 30), "plateau-00-0000020.safetensors": (0, 20)}


@pytest.mark.parametrize("folder", [False, True])
def test_what_is_kept_has_its_name_when_it_is_whole(tmp_path, monkeypatch, folder):
    path = checkpoint.write(tmp_path, (0, 20), *learner(), ALONE)
    if folder:  # as many ranks write it
        path.unlink()
        path = tmp_path / "checkpoint-00-0000020"
        path.mkdir()
        (path / ".metadata").touch()

    def killed(source, target):
        Path(target).touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.copytree" if folder else "shutil.copy", killed)
        checkpoint.keep(path, ALONE)
    assert not list(tmp_path.glob("plateau-00-0000020*[!p]"))
    (tmp_path / f"plateau-00-0000020{path.suffix}.tmp").unlink()
    for _ in range(2):  # a run that was killed after it comes here again
        checkpoint.keep(path, ALONE)
    kept = tmp_path / f"plateau-00-0000020{path.suffix}"
    assert checkpoint.place_of(kept) == (0, 20) and not list(tmp_path.glob("*.tmp"))


def test_another_models_checkpoint_is_refused(tmp_path):
    path = checkpoint.write(tmp_path, (0, 1), *learner(), ALONE)
    with pytest.raises(ValueError, match="another model"):
        checkpoint.read(path, nn.Sequential(*(nn.Linear(4, 4) for _ in range(3))), None)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a checkpoint"):
        checkpoint.place_of(tmp_path / "plateau-00-0000020.safetensors")
