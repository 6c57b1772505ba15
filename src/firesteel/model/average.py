"""The mean of several checkpoints' weights."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from firesteel.model.checkpoint import WEIGHT_FILES, load, save


def average(directories: Sequence[Path], out: Path, weights: Sequence[float] = ()) -> None:
    """Writes the mean of checkpoints that were trained from one start to `out`, with the first one's other files.

    Runs that differ in their seed alone share what they learnt and not their noise, so their mean is often better than
    each (model soups, Wortsman et al. 2022, arXiv 2203.05482; of reinforced policies, Ramé et al. 2024, arXiv
    2406.16768). With `weights`, a start and what was tuned from it keep what the start could do (Wortsman et al. 2021,
    arXiv 2109.01903). A negative one takes away: start, tuned and old start with 1, 1 and -1 give a new start what the
    old one was taught (task arithmetic, Ilharco et al. 2022, arXiv 2212.04089). Raises ValueError for fewer than two,
    other shapes, weights that are not one number each or whose sum is not above 0, and an `out` that holds something
    already.
    """
    weights = weights or [1.0] * len(directories)
    if len(weights) != len(directories) or not 0 < sum(weights) < math.inf:
        raise ValueError(f"{len(directories)} checkpoints need as many weights, in all above 0, not {list(weights)}.")
    if len(directories) < 2:
        raise ValueError("A mean needs at least two checkpoints.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and is no empty directory.")
    first = load(directories[0], torch.float32)
    shares = [weight / sum(weights) for weight in weights]
    total = {name: shares[0] * t.double() for name, t in first.state_dict().items() if t.is_floating_point()}
    # One after the other, so that they need no more memory the more they are.
    for directory, share in zip(directories[1:], shares[1:], strict=True):
        other = load(directory, torch.float32)
        if other.config != first.config:
            raise ValueError(f"{directory} is not of the same shape as {directories[0]}.")
        state = other.state_dict()
        for name in total:
            total[name] += share * state[name]
    first.load_state_dict({name: tensor.float() for name, tensor in total.items()}, strict=False)
    save(first, out)
    for path in directories[0].iterdir():
        if path.is_file() and path.name != "config.json" and not path.name.endswith(WEIGHT_FILES):
            shutil.copy(path, out)
