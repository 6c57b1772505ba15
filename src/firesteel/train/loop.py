"""The training loop: a `Run` in, a directory with weights, metrics and a loss picture out.

- fp32 weights, bf16 products where the device is fast at them.
- The schedule is a trapezoid, so one run serves several horizons: another falls from a kept point of its plateau.
- Batches are a pure function of the step and a checkpoint names the stage and step it belongs to, so a killed run that
  is started again draws the same curve, bit for bit on one device.
- Under `torchrun` the same loop runs on many ranks (`firesteel.train.parallel`); the first one writes and logs.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from firesteel.format import Tokenizer
from firesteel.model import Config, Muse, save
from firesteel.model.moe import Router, balance
from firesteel.tasks import FAMILIES, make
from firesteel.tasks.base import HELD_OUT
from firesteel.train import checkpoint
from firesteel.train.batches import DeviceBatch, prefetched
from firesteel.train.config import Run, Stage, from_dict
from firesteel.train.corpus import documents, encode_corpus, is_built
from firesteel.train.flops import Flops, peak
from firesteel.train.learner import Learner, precision
from firesteel.train.metrics import Metrics
from firesteel.train.optim import MuonAdamW, trapezoid
from firesteel.train.parallel import Ranks, full, join, leave, spread, whole
from firesteel.train.shards import Shards
from firesteel.train.tokenizer import train_tokenizer, write_companions

LOG_EVERY = 10


AfterStage = Callable[[Stage, Muse, Tokenizer], None]


def train(run: Run, directory: Path, device: str | None = None, after_stage: AfterStage | None = None) -> Path:
    """Runs or resumes `run` in `directory`; returns the checkpoint directory of the finished model.

    `after_stage` is called when a stage has ended, in the first process. Raises ValueError when the directory belongs
    to a run with other settings, for what `prepare` and `branched` refuse, for a mix that lacks its files, or where the
    run cannot be shared by the processes that `torchrun` started.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    ranks = join(torch.device(device).type)
    try:
        run = branched(run)
        if ranks.first:
            directory.mkdir(parents=True, exist_ok=True)
            _claim(run, directory / "run.json")
            prepare(run, directory)
        ranks.wait()
        tokenizer, text = prepare(run, directory)
        trainer = Trainer(run, directory, tokenizer, text, torch.device(device), ranks)
        trainer.fit(after_stage)
        final = directory / "model"
        if model := whole(trainer.model, ranks):
            save(model, final)
            (final / "tokenizer.json").write_bytes((directory / "tokenizer" / "tokenizer.json").read_bytes())
            write_companions(
                final,
                first_special=tokenizer.id("<|begin_of_text|>"),
                max_image_tokens=tokenizer.max_image_tokens,
            )
        ranks.wait()
    finally:
        leave(ranks)
    return final


def branched(run: Run) -> Run:
    """A run that starts from a kept checkpoint falls at once, so its stage ends when the fall does.

    Raises ValueError for what is no checkpoint, and for one that does not stand on a plateau.
    """
    if not run.branch:
        return run
    index, step = checkpoint.place_of(Path(run.branch))
    stage = run.stages[index] if index < len(run.stages) else None
    if stage is None or not step or not 0 < stage.optim.decay < 1:
        raise ValueError(
            f"{run.branch} does not stand on the plateau of a stage with a fall (optim.decay) to branch into"
        )
    stage = dataclasses.replace(stage, steps=round(step / (1 - stage.optim.decay)))
    return dataclasses.replace(run, stages=(*run.stages[:index], stage, *run.stages[index + 1 :]))


def prepare(run: Run, directory: Path) -> tuple[Tokenizer, Path | None]:
    """Trains the tokenizer and encodes the running text, unless an earlier start of the run did or it is a branch.

    A corpus of `firesteel data build` brings its tokenizer. Raises ValueError where model, run and tokenizer differ in
    the size of their vocabulary or of pictures, and for sources that are missing or hold no text.
    """
    known = run.model["text_config"]["vocab_size"]
    if known != run.vocab_size:
        raise ValueError(
            f"The model has a vocabulary of {known} and the run one of {run.vocab_size}: its recipe sets both, and the "
            "token ids of the model with them"
        )
    path, text = directory / "tokenizer" / "tokenizer.json", directory / "text.npy"
    if not path.exists():
        made = directory / "tokenizer.tmp"  # has its name when it is whole
        shutil.rmtree(made, ignore_errors=True)
        if run.branch:
            trunk = Path(run.branch).parent
            if (trunk / text.name).exists():
                shutil.copy(trunk / text.name, text)
            shutil.copytree(trunk / "tokenizer", made)
        elif len(run.sources) == 1 and is_built(run.sources[0]):
            shutil.copytree(Path(run.sources[0]) / "tokenizer", made)
        else:
            train_tokenizer(tokenizer_texts(run), run.vocab_size, out=made)
        begin = Tokenizer(made / path.name).id("<|begin_of_text|>")
        write_companions(made, first_special=begin, max_image_tokens=run.max_image_tokens)
        made.rename(path.parent)
    tokenizer = Tokenizer(path)
    if tokenizer.vocab_size != run.vocab_size:
        raise ValueError(
            f"The corpus has a vocabulary of {tokenizer.vocab_size} and the run one of {run.vocab_size}: "
            f"build the corpus with --set vocab_size={run.vocab_size}"
        )
    if tokenizer.max_image_tokens != run.max_image_tokens:  # else it would learn pictures that it is never shown
        raise ValueError(
            f"{path.parent} says that a picture takes at most {tokenizer.max_image_tokens} tokens and the run says "
            f"{run.max_image_tokens}: correct its processor_config.json"
        )
    if not run.sources:
        return tokenizer, None
    if not text.exists():
        encode_corpus(run.sources, tokenizer, text, run.source_megabytes)
    return tokenizer, text


def tokenizer_texts(run: Run) -> Iterator[str]:
    """What the vocabulary is learnt from: the first 8 megabytes of each source, and problems of all task families."""
    rng = random.Random(run.seed)
    for source in run.sources:
        yield from documents(source, 8)
    for _ in range(run.tokenizer_samples):
        problem = make(rng.choice(list(FAMILIES)), rng.randrange(HELD_OUT), 1)
        yield "\n".join([problem.question, problem.full, problem.terse, problem.caption, problem.answer])


class Trainer:
    """The state of a run: model, optimiser, where it stands."""

    def __init__(
        self,
        run: Run,
        directory: Path,
        tokenizer: Tokenizer,
        text: Path | None,
        device: torch.device,
        ranks: Ranks | None = None,
    ):
        self.run, self.directory, self.tokenizer, self.text, self.device = run, directory, tokenizer, text, device
        self.ranks = ranks = ranks or Ranks()
        for stage in run.stages:
            for number, what in ((stage.rows, "rows"), (stage.named, "named pictures")):
                if number % ranks.size:
                    raise ValueError(f"{ranks.size} processes cannot share the {number} {what} of stage {stage.name!r}")
        self.model = Muse(Config.from_dict(run.model))
        self.model.init_weights(run.seed)
        self.dtype = precision(run.precision, device)
        self.learner = Learner(self.model, self.dtype).to(device)
        self.routers = [module for module in self.model.modules() if isinstance(module, Router)]
        self.metrics = Metrics(directory / "metrics.jsonl")
        self.stage_index, self.step = 0, 0
        self.flops, self.peak = Flops.of(self.learner), peak(device, self.dtype)
        if run.compile:
            self.learner.compile_parts(spread=ranks.size > 1)
        spread(self.learner, self.model, ranks)

    def loss(self, data: DeviceBatch) -> tuple[Tensor, int]:
        """This process's share of the mean loss over learnt tokens (in a reading stage: characters); their number."""
        return self.learner(data), data.count

    def fit(self, after_stage: AfterStage | None = None) -> None:
        """Trains from wherever the last checkpoint stands to the end of the last stage."""
        start = checkpoint.newest(self.directory) or (Path(self.run.branch) if self.run.branch else None)
        start_stage, start_step = checkpoint.place_of(start) if start else (0, 0)
        if start and start_stage == len(self.run.stages):
            checkpoint.read(start, self.learner, None)
        for index, stage in enumerate(self.run.stages):
            if index < start_stage:
                continue
            self.stage_index, self.step = index, start_step if index == start_stage else 0
            optim = stage.optim
            self.optimiser = MuonAdamW(
                self.learner, optim.lr, optim.adam_lr_scale, optim.weight_decay, optim.muon, self.dtype
            )
            if start and index == start_stage:
                checkpoint.read(start, self.learner, self.optimiser if self.step else None)
            if self.ranks.first:
                self.metrics.truncate(index, self.step)
            self._fit_stage(stage)
            # Before the place is saved: who is killed in it calls it again.
            if after_stage and (model := whole(self.model, self.ranks)):
                after_stage(stage, model, self.tokenizer)
            self.stage_index, self.step = index + 1, 0
            self._save()
        if self.ranks.first:
            self.metrics.plot(self.directory / "loss.png", [s.name for s in self.run.stages])

    def _fit_stage(self, stage: Stage) -> None:
        optim, ranks = stage.optim, self.ranks
        shards = self._shards(stage, self.run.seed, self.run.workers)
        hidden = not ranks.first
        bar = tqdm(initial=self.step, total=stage.steps, desc=stage.name, unit="step", mininterval=5, disable=hidden)
        began, tokens, work = time.perf_counter(), 0, 0
        try:
            for batch in prefetched(shards.batches(self.step), self.device, ranks.rank, ranks.size):
                factor = trapezoid(self.step, stage.steps, optim.warmup, optim.decay)
                for group in self.optimiser.param_groups:
                    group["lr"] = optim.lr * factor
                loss, learnt = self.loss(batch)
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_(self.learner.parameters(), optim.clip)
                self.optimiser.step()
                self.optimiser.zero_grad(set_to_none=True)
                busiest = self._balance(optim.balance)
                self.step += 1
                tokens += batch.places
                work += self.flops.update(batch)
                bar.update()
                if self.step % LOG_EVERY == 0 or self.step == stage.steps:
                    seconds = time.perf_counter() - began
                    sums = torch.tensor([loss.item(), learnt, tokens, work], dtype=torch.float64, device=self.device)
                    total, learnt_by_all, tokens_by_all, work_by_all = ranks.add(sums).tolist()
                    speed, mfu = tokens_by_all / seconds, work_by_all / seconds / ranks.size / self.peak
                    row = {"stage": self.stage_index, "step": self.step, "loss": round(total, 5)}
                    row |= {"grad_norm": round(full(norm).item(), 4), "learnt": int(learnt_by_all)}
                    row |= {"lr": optim.lr * factor, "tokens_per_s": round(speed), "mfu": round(mfu, 4)}
                    if batch.docs.numel():
                        row["filled"] = round((batch.docs > 0).float().mean().item(), 4)
                    if self.routers:
                        row["busiest"] = round(busiest.item(), 3)
                    if ranks.first:
                        self.metrics.write(row)
                    bar.set_postfix(loss=f"{total:.3f}", tok_s=round(speed), mfu=f"{mfu:.1%}")
                    began, tokens, work = time.perf_counter(), 0, 0
                kept = self.run.keep_every and self.step % self.run.keep_every == 0 and factor == 1
                if (self.step % self.run.checkpoint_every == 0 or kept) and self.step < stage.steps:
                    self._save(keep=bool(kept))
        finally:
            bar.close()
            shards.close()

    def _balance(self, rate: float) -> Tensor:
        """Moves the routers' biases; returns the load of the busiest expert of any layer over the mean."""
        shares = torch.ones(1, device=self.device)
        if self.routers:
            loads = self.ranks.add(torch.stack([router.load for router in self.routers]))  # (layers, X)
            for router, load in zip(self.routers, loads, strict=True):
                router.load.copy_(load)
            balance(self.routers, rate)
            shares = loads / loads.float().mean(dim=1, keepdim=True).clamp(min=1)
        return shares.max()

    @torch.no_grad()
    def validation_loss(self, stage: Stage, batches: int) -> float:
        """Mean loss on so many batches of a stage whose samples training never draws (another seed).

        Of running text they hold what training reads first: windows go by their place in the corpus, whatever the seed.
        """
        held_out = dataclasses.replace(stage, name=f"{stage.name}-validation", steps=batches)
        shards = self._shards(held_out, self.run.seed + 1, 1)
        try:
            held_batches = prefetched(shards.batches(0), self.device, self.ranks.rank, self.ranks.size)
            parts = [self.loss(batch)[0] for batch in held_batches]
            return float(np.mean(self.ranks.add(torch.stack(parts)).tolist()))
        finally:
            shards.close()

    def _shards(self, stage: Stage, seed: int, workers: int) -> Shards:
        tokenizer, folder = self.directory / "tokenizer" / "tokenizer.json", self.directory / "shards"
        return Shards(stage, seed, tokenizer, self.text, folder, workers, self.ranks.rank, self.ranks.size)

    def _save(self, keep: bool = False) -> None:
        place = self.stage_index, self.step
        path = checkpoint.write(self.directory, place, self.learner, self.optimiser, self.ranks)
        if keep:
            checkpoint.keep(path, self.ranks)


def _claim(run: Run, path: Path) -> None:
    """A directory belongs to one run: silently mixing two settings would make its curve a lie.

    Stages may be added behind those that it has.
    """
    settings = json.dumps(dataclasses.asdict(run), indent=1)
    if path.exists():
        known, asked = (from_dict(Run, json.loads(text)) for text in (path.read_text(), settings))
        if known != dataclasses.replace(asked, stages=asked.stages[: len(known.stages)]):
            raise ValueError(f"{path.parent} holds a run with other settings; choose another --out or delete it")
    path.write_text(settings)
