"""Training speed: our trainer's update against transformers' implementation of the same model, on the same batches.

    python bench/train.py [--run runs/kindling] [--steps 8]

Both start from the run's newest weights (the packaged recipe's random ones where there is no run), take the same packed
rows and pictures, and make the same kind of update (forward, backward, clipping, fused AdamW for transformers, ours for
ours). Steps alternate between the two, so that a busy machine disturbs both alike. Transformers sees plain causal
rows, which is less work than our masked ones. Printed: median tokens per second, the ratio and our MFU.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import MuseGlimmerForConditionalGeneration

from firesteel.model import save
from firesteel.recipes import RECIPES
from firesteel.train import checkpoint
from firesteel.train.batches import DeviceBatch, prefetched
from firesteel.train.loop import Trainer, prepare
from firesteel.train.optim import MuonAdamW
from firesteel.train.shards import Shards


class Theirs:
    """transformers' model with labels, eager or compiled, and fused AdamW."""

    def __init__(self, directory: Path, dtype: torch.dtype, compiled: bool) -> None:
        self.model = MuseGlimmerForConditionalGeneration.from_pretrained(directory).train()
        if compiled:
            self.model.model.language_model = torch.compile(self.model.model.language_model)
        self.dtype = dtype
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-5, fused=True)

    def step(self, data: DeviceBatch) -> None:
        labels = torch.where(data.learnt, data.targets, -100).roll(1, dims=1)
        labels[:, 0] = -100
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            loss = self.model(
                input_ids=data.ids, pixel_values=data.pixels, image_grid_thw=data.grid, labels=labels, use_cache=False
            ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()


class Ours:
    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.optimiser = MuonAdamW(trainer.model, 1e-5, 1.0, 0.0, dtype=trainer.dtype)

    def step(self, data: DeviceBatch) -> None:
        self.trainer.loss(data)[0].backward()
        torch.nn.utils.clip_grad_norm_(self.trainer.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description="Training tokens per second, ours and transformers'.")
    parser.add_argument("--run", type=Path, default=Path("runs/bench"))
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    run = RECIPES["kindling"]()
    arguments.run.mkdir(parents=True, exist_ok=True)
    tokenizer, _ = prepare(run, arguments.run)
    trainer = Trainer(run, arguments.run, tokenizer, None, torch.device("cpu"))
    if start := checkpoint.newest(arguments.run):
        checkpoint.read(start, trainer.learner, None)
    shards = Shards(run.stages[-1], 7, arguments.run / "tokenizer" / "tokenizer.json", None, arguments.run / "bench", 1)
    batches = []
    for batch in prefetched(shards.batches(0), torch.device("cpu")):
        batches.append(batch)
        if len(batches) == arguments.steps:
            break
    shards.close()
    with tempfile.TemporaryDirectory() as directory:
        save(trainer.model, Path(directory))
        runners = {
            "firesteel": Ours(trainer),
            "transformers": Theirs(Path(directory), trainer.dtype, compiled=False),
            "transformers, compiled": Theirs(Path(directory), trainer.dtype, compiled=True),
        }
    for runner in runners.values():  # compilation and warm-up
        runner.step(batches[0])
        runner.step(batches[1])
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for batch in batches:
        for name, runner in runners.items():
            start = time.perf_counter()
            runner.step(batch)
            seconds[name].append(time.perf_counter() - start)
    tokens = batches[0].ids.numel()
    ours = statistics.median(seconds["firesteel"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:24} {tokens / median:8.0f} tokens/s   firesteel is {median / ours:.2f} times as fast")
    work = statistics.median(trainer.flops.update(batch) for batch in batches)
    print(f"model FLOPs utilisation {work / ours / trainer.peak:.1%} of {trainer.peak / 1e12:.3f} TFLOP/s")


if __name__ == "__main__":
    main()
