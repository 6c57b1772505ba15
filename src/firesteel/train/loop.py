"""The training loop: a `Run` in, a directory with weights, metrics and a loss picture out.

- fp32 weights, bf16 products where the device is fast at them.
- The text trunk is compiled once, because every batch has one shape.
- The head is computed only where a token is learnt.
- A checkpoint is one safetensors file (weights and optimiser) and names the stage and step it belongs to; batches are a
  pure function of the step, so a killed run that is started again draws the same curve.
"""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from firesteel.format import Tokenizer
from firesteel.model import Config, Muse, save
from firesteel.tasks import FAMILIES, make
from firesteel.tasks.base import HELD_OUT
from firesteel.train.batches import DeviceBatch, Packed, prefetched
from firesteel.train.config import Run, Stage
from firesteel.train.corpus import documents, encode_corpus
from firesteel.train.glyphs import GlyphHead
from firesteel.train.metrics import Metrics
from firesteel.train.optim import MuonAdamW, trapezoid
from firesteel.train.shards import Shards
from firesteel.train.tokenizer import train_tokenizer, write_companions


def train(run: Run, directory: Path, device: str | None = None) -> Path:
    """Runs or resumes `run` in `directory`; returns the checkpoint directory of the finished model.

    Raises ValueError when the directory belongs to a run with other settings.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _claim(run, directory / "run.json")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer, text = prepare(run, directory)
    trainer = Trainer(run, directory, tokenizer, text, torch.device(device))
    trainer.fit()
    final = directory / "model"
    save(trainer.model, final)
    (final / "tokenizer.json").write_bytes((directory / "tokenizer" / "tokenizer.json").read_bytes())
    write_companions(final, first_special=tokenizer.id("<|begin_of_text|>"))
    return final


def prepare(run: Run, directory: Path) -> tuple[Tokenizer, Path | None]:
    """Trains the tokenizer and encodes the running text, unless an earlier start of the run did."""
    path = directory / "tokenizer" / "tokenizer.json"
    if not path.exists():
        train_tokenizer(tokenizer_texts(run), run.vocab_size, out=path.parent)
    tokenizer = Tokenizer(path)
    if not run.sources:
        return tokenizer, None
    text = directory / "text.npy"
    if not text.exists():
        encode_corpus(run.sources, tokenizer, text, run.source_megabytes)
    return tokenizer, text


def tokenizer_texts(run: Run) -> Iterator[str]:
    """What the vocabulary is learnt from: part of each source, and as much task text as its weight in training asks."""
    rng = random.Random(run.seed)
    for source in run.sources:
        yield from documents(source, 8)
    for _ in range(run.tokenizer_samples):
        problem = make(rng.choice(list(FAMILIES)), rng.randrange(HELD_OUT), 1)
        yield "\n".join([problem.question, problem.full, problem.terse, problem.caption, problem.answer])


class Trainer:
    """The state of a run: model, optimiser, where it stands."""

    def __init__(self, run: Run, directory: Path, tokenizer: Tokenizer, text: Path | None, device: torch.device):
        self.run, self.directory, self.tokenizer, self.text, self.device = run, directory, tokenizer, text, device
        self.model = Muse(Config.from_dict(run.model))
        self.model.init_weights(run.seed)
        self.glyphs = GlyphHead(self.model.config.text.hidden_size)  # used by reading stages alone
        self.learner = nn.ModuleDict({"model": self.model, "glyphs": self.glyphs}).to(device)
        self.dtype = precision(run.precision, device)
        self.metrics = Metrics(directory / "metrics.jsonl")
        self.stage_index, self.step = 0, 0
        compiled: Callable[[Any], Any] = torch.compile if run.compile else lambda function: function
        self._trunk = compiled(self._trunk_eager)
        self._head_loss = torch.compile(self._head_loss_eager, dynamic=True) if run.compile else self._head_loss_eager
        self._vision = self.model.image_features  # the number of pictures differs from batch to batch

    # ---------------------------------------------------------------- one update

    def _trunk_eager(self, embedded: Tensor, docs: Tensor) -> Tensor:
        """(R, L, D) embeddings, (R, L) sample numbers -> (R, L, D) normed hidden states."""
        return self.model.model.language_model(embedded, Packed(docs))

    def _head_loss_eager(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """(N, D) hidden states and (N,) next tokens -> summed cross-entropy, fp32."""
        return F.cross_entropy(self.model.logits(hidden).float(), targets, reduction="sum")

    def loss(self, data: DeviceBatch) -> tuple[Tensor, int]:
        """Mean loss over the learnt tokens (in a reading stage: characters), and how many there are."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            if data.glyphs is not None:
                assert data.pixels is not None and data.grid is not None
                features = self._vision(data.pixels, data.grid)
                return self.glyphs.loss(features, data.glyphs), int(data.glyphs.count_nonzero())
            embedded = self.model.model.language_model.embed(data.ids)
            if data.pixels is not None and data.grid is not None:
                features = self._vision(data.pixels, data.grid).to(embedded.dtype)
                embedded = embedded.masked_scatter((data.ids == self.model.config.image_token_id)[..., None], features)
            hidden = self._trunk(embedded, data.docs)
            where = data.learnt.flatten().nonzero()[:, 0]  # positions whose next token is learnt
            total = self._head_loss(hidden.flatten(0, 1)[where], data.targets.flatten()[where])
        return total / max(1, len(where)), len(where)

    # ---------------------------------------------------------------- the run

    def fit(self) -> None:
        """Trains from wherever the last checkpoint stands to the end of the last stage."""
        start_stage, start_step = self._peek()
        for index, stage in enumerate(self.run.stages):
            if index < start_stage:
                continue
            self.stage_index, self.step = index, start_step if index == start_stage else 0
            optim = stage.optim
            self.optimiser = MuonAdamW(
                self.learner, optim.lr, optim.adam_lr_scale, optim.weight_decay, optim.muon, self.dtype
            )
            self._load(with_optimiser=self.step > 0)
            self.metrics.truncate(index, self.step)
            self._fit_stage(stage)
            self.stage_index, self.step = index + 1, 0
            self._save()
        self.metrics.plot(self.directory / "loss.png", [s.name for s in self.run.stages])

    def _fit_stage(self, stage: Stage) -> None:
        tokenizer_path = self.directory / "tokenizer" / "tokenizer.json"
        folder = self.directory / "shards"
        shards = Shards(stage, self.run.seed, tokenizer_path, self.text, folder, self.run.workers)
        optim = stage.optim
        bar = tqdm(initial=self.step, total=stage.steps, desc=stage.name, unit="step", mininterval=5)
        began, tokens = time.perf_counter(), 0
        try:
            for batch in prefetched(shards.batches(self.step), self.device):
                factor = trapezoid(self.step, stage.steps, optim.warmup, optim.decay)
                for group in self.optimiser.param_groups:
                    group["lr"] = optim.lr * factor
                loss, learnt = self.loss(batch)
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_(self.learner.parameters(), optim.clip)
                self.optimiser.step()
                self.optimiser.zero_grad(set_to_none=True)
                self.step += 1
                tokens += batch.ids.numel() if batch.glyphs is None else len(batch.glyphs)
                bar.update()
                if self.step % 10 == 0 or self.step == stage.steps:
                    seconds = time.perf_counter() - began
                    row = {"stage": self.stage_index, "step": self.step, "loss": round(loss.item(), 5)}
                    row |= {"grad_norm": round(norm.item(), 4), "learnt": learnt, "lr": optim.lr * factor}
                    self.metrics.write(row | {"tokens_per_s": round(tokens / seconds)})
                    bar.set_postfix(loss=f"{row['loss']:.3f}", tok_s=round(tokens / seconds))
                    began, tokens = time.perf_counter(), 0
                if self.step % self.run.checkpoint_every == 0 and self.step < stage.steps:
                    self._save()
        finally:
            bar.close()
            shards.close()

    @torch.no_grad()
    def validation_loss(self, stage: Stage, batches: int = 8) -> float:
        """Mean loss on shards of a stage that training never draws (another seed)."""
        tokenizer_path = self.directory / "tokenizer" / "tokenizer.json"
        held_out = dataclasses.replace(stage, name=f"{stage.name}-validation")
        shards = Shards(held_out, self.run.seed + 1, tokenizer_path, self.text, self.directory / "shards", 1)
        try:
            held_batches = prefetched(islice(shards.batches(0), batches), self.device)
            return float(np.mean([self.loss(batch)[0].item() for batch in held_batches]))
        finally:
            shards.close()

    # ---------------------------------------------------------------- checkpoints

    def _save(self) -> None:
        """One file, replaced atomically: a kill at any moment leaves the old or the new one."""
        tensors = {n: t.contiguous() for n, t in self.learner.state_dict().items()}
        names = {id(p): n for n, p in self.learner.named_parameters()}
        for parameter, state in self.optimiser.state.items():
            tensors |= {f"optimiser.{names[id(parameter)]}/{k}": v for k, v in state.items()}
        temporary = self.directory / "checkpoint.tmp"
        place = {"stage": str(self.stage_index), "step": str(self.step)}
        save_file(tensors, temporary, metadata=place)
        temporary.replace(self.directory / "checkpoint.safetensors")

    def _peek(self) -> tuple[int, int]:
        path = self.directory / "checkpoint.safetensors"
        if not path.exists():
            return 0, 0
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return int(header["__metadata__"]["stage"]), int(header["__metadata__"]["step"])

    def _load(self, with_optimiser: bool) -> None:
        path = self.directory / "checkpoint.safetensors"
        if not path.exists():
            return
        tensors = load_file(path, device=str(self.device))
        self.learner.load_state_dict({n: t for n, t in tensors.items() if not n.startswith("optimiser.")})
        if not with_optimiser:
            return
        parameters = dict(self.learner.named_parameters())
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                parameter, key = name[10:].rsplit("/", 1)
                self.optimiser.state[parameters[parameter]][key] = tensor


def precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of matrix products. "auto": bf16 on GPUs and on CPUs with AMX; elsewhere CPUs only emulate it.

    Raises ValueError for an unknown name.
    """
    known = {"bf16": torch.bfloat16, "fp32": torch.float32}
    if name != "auto":
        if name not in known:
            raise ValueError(f"precision is auto, bf16 or fp32, not {name!r}")
        return known[name]
    fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def _claim(run: Run, path: Path) -> None:
    """A directory belongs to one run: silently mixing two settings would make its curve a lie."""
    settings = json.dumps(dataclasses.asdict(run), indent=1)
    if path.exists() and path.read_text() != settings:
        raise ValueError(f"{path.parent} holds a run with other settings; choose another --out or delete it")
    path.write_text(settings)
