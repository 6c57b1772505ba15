"""Checkpoints of a run: weights, optimiser state and the place (stage, step) they belong to.

- One process writes one safetensors file, replaced atomically. Many write a directory with torch's distributed
  checkpoints, each its own shards; its `.metadata` is written last, and older ones go only then. A kill at any moment
  leaves a whole checkpoint.
- Both hold the same flat names, so either opens on any number of ranks.
- `keep` sets one aside under its place, to branch another horizon from (`Run.branch`).
"""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from firesteel.train.parallel import Ranks

Place = tuple[int, int]  # stage, step

FILE = "checkpoint.safetensors"
_OPTIMISER = "optimiser."


def write(directory: Path, place: Place, learner: nn.Module, optimiser: torch.optim.Optimizer, ranks: Ranks) -> Path:
    """Writes the checkpoint of `place` and removes older ones; returns its file or directory."""
    stage, step = place
    tensors = _tensors(learner, optimiser)
    if ranks.mesh is None:
        path = directory / FILE
        temporary = directory / "checkpoint.tmp"
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(tensors, temporary, metadata={"stage": str(stage), "step": str(step)})
        temporary.replace(path)
    else:
        path = directory / f"checkpoint-{stage:02}-{step:07}"
        dcp.save(tensors, checkpoint_id=path)
    if ranks.first:
        for old in directory.glob("checkpoint-[0-9][0-9]-*[0-9]/"):
            if old != path:
                shutil.rmtree(old)
        if ranks.mesh is not None:
            (directory / FILE).unlink(missing_ok=True)
    ranks.wait()
    return path


def newest(directory: Path) -> Path | None:
    """The whole checkpoint that stands furthest."""
    found = [path.parent for path in directory.glob("checkpoint-*/.metadata")]
    found += [directory / FILE] if (directory / FILE).exists() else []
    return max(found, key=place_of, default=None)


def place_of(path: Path) -> Place:
    """Where a checkpoint, kept or not, stands. Raises ValueError where it is none."""
    if path.is_file() and path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            place = file.metadata() or {}
        if "stage" in place and "step" in place:
            return int(place["stage"]), int(place["step"])
    elif (path / ".metadata").exists() and (numbers := re.search(r"-(\d+)-(\d+)$", path.name)):
        return int(numbers[1]), int(numbers[2])
    raise ValueError(f"{path} is not a checkpoint; name a file or directory that a run has kept")


def keep(path: Path, ranks: Ranks) -> None:
    """Sets a copy of a checkpoint aside as `plateau-STAGE-STEP`; it has that name when it is whole."""
    stage, step = place_of(path)
    if ranks.first:
        kept = path.with_name(f"plateau-{stage:02}-{step:07}{path.suffix}")
        copy = path.with_name(f"{kept.name}.tmp")
        if path.is_dir():
            for left in (copy, kept):  # by a kill, and by a run that comes here again
                shutil.rmtree(left, ignore_errors=True)
            shutil.copytree(path, copy)
        else:
            shutil.copy(path, copy)
        copy.replace(kept)
    ranks.wait()


def read(path: Path, learner: nn.Module, optimiser: torch.optim.Optimizer | None) -> None:
    """Fills the learner, and the optimiser where one is given, from a checkpoint of any number of ranks.

    Raises ValueError for one that lacks some of their tensors.
    """
    stored = load_file(path) if path.is_file() else {}
    names = stored.keys() or dcp.FileSystemReader(path).read_metadata().state_dict_metadata.keys()
    if optimiser is not None:
        parameters = dict(learner.named_parameters())
        for name in names:
            if name.startswith(_OPTIMISER):
                parameter, key = name.removeprefix(_OPTIMISER).rsplit("/", 1)
                like = parameters[parameter]
                empty = torch.zeros(()) if key == "step" else torch.zeros_like(like, requires_grad=False)
                optimiser.state[like][key] = empty
    tensors = _tensors(learner, optimiser)
    if missing := tensors.keys() - names:
        raise ValueError(f"{path} lacks {min(missing)}: it belongs to another model")
    if path.is_dir():
        with warnings.catch_warnings():  # that one process reads alone is what we want
            warnings.filterwarnings("ignore", message=".*torch.distributed is")
            dcp.load(tensors, checkpoint_id=path)
    for name, tensor in stored.items():
        if (target := tensors.get(name)) is not None:
            if isinstance(target, DTensor):
                tensor = distribute_tensor(tensor, target.device_mesh, target.placements)
            target.copy_(tensor)


@torch.no_grad()
def _tensors(learner: nn.Module, optimiser: torch.optim.Optimizer | None) -> dict[str, Tensor]:
    """By name, and sharing memory with what they belong to."""
    tensors = dict(learner.state_dict())
    names = {id(parameter): name for name, parameter in learner.named_parameters()}
    for parameter, state in optimiser.state.items() if optimiser is not None else ():
        tensors |= {f"{_OPTIMISER}{names[id(parameter)]}/{key}": value for key, value in state.items()}
    return tensors
