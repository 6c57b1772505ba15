"""What one of two processes does in `test_parallel`: `ranks.py RANK PORTS DIRECTORY…` trains in each directory."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from firesteel.recipes import RECIPES
from firesteel.train import loop, parallel
from firesteel.train.config import Optim, Run, Stage
from firesteel.train.optim import orthogonalise

RANKS = 2


def tiny(name: str) -> Run:
    """Four updates of a smoke recipe, the second kept, and, if it is dense, two of reading pages."""
    run = RECIPES[name]()
    optim = dataclasses.replace(run.stages[0].optim, decay=0.5, lr=1e-3)
    stages = (dataclasses.replace(run.stages[0], steps=4, rows=2, optim=optim),)
    if name == "smoke":
        stages += (Stage(name="read", steps=2, rows=2, objective="primer", optim=Optim(warmup=2)),)
    return dataclasses.replace(run, stages=stages, keep_every=2, checkpoint_every=100)


def train(directory: Path) -> None:
    loop.LOG_EVERY = 1
    loop.train(tiny("smoke-sparse" if "sparse" in directory.name else "smoke"), directory, "cpu")


def same_as_alone() -> None:
    """Matrices with an odd number of rows, and an odd number of them, are worked on whole."""

    def work(x: Tensor) -> Tensor:
        return orthogonalise(x, dtype=torch.float32)

    ranks = parallel.join("cpu")
    matrices = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    mine = [matrix.chunk(RANKS)[ranks.rank] for matrix in matrices]
    found = parallel.on_whole_matrices(mine, 5, dist.group.WORLD, work)
    expected = [matrix.chunk(RANKS)[ranks.rank] for matrix in work(matrices)]
    torch.testing.assert_close(found, expected)
    parallel.leave(ranks)


if __name__ == "__main__":
    rank, ports, *directories = sys.argv[1:]
    torch.set_num_threads(1)
    os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1"}
    jobs = [same_as_alone, *(lambda directory=directory: train(Path(directory)) for directory in directories)]
    for port, job in zip(ports.split(","), jobs, strict=True):
        os.environ["MASTER_PORT"] = port
        job()
