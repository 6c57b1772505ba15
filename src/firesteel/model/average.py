"""The mean of several checkpoints' weights."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from firesteel.model.checkpoint import INDEX, load, save


def average(directories: Sequence[Path], out: Path) -> None:
    """Writes the mean of checkpoints that were trained from one start to `out`, with the first one's other files.

    Runs that differ in their seed alone share what they learnt and not their noise, so their mean is often better than
    each (model soups, Wortsman et al. 2022, arXiv 2203.05482; of reinforced policies, Ramé et al. 2024, arXiv
    2406.16768). Raises ValueError for fewer than two, other shapes, and an `out` that holds something already.
    """
    if len(directories) < 2:
        raise ValueError("A mean needs at least two checkpoints.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and is no empty directory.")
    first = load(directories[0], torch.float32)
    total = {name: tensor.double() for name, tensor in first.state_dict().items() if tensor.is_floating_point()}
    for directory in directories[1:]:  # one after the other, so that two at most are in memory
        other = load(directory, torch.float32)
        if other.config != first.config:
            raise ValueError(f"{directory} is not of the same shape as {directories[0]}.")
        state = other.state_dict()
        for name in total:
            total[name] += state[name]
    first.load_state_dict({name: (tensor / len(directories)).float() for name, tensor in total.items()}, strict=False)
    save(first, out)
    for path in directories[0].iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name not in (INDEX, "config.json"):
            shutil.copy(path, out)
