"""Full fine-tuning of our own checkpoints: `kindling`, a GGUF file of ours, or a directory.

- `format.render` writes the conversation and says which tokens are the assistant's: what is served is what is trained.
- All weights learn, fp32, with the optimiser that trained them (Muon for matrices, AdamW for the rest).
- The packaged weights come out of their GGUF files, so tuning starts from what Q8_0 kept of them.
- What is written opens with our engine and transformers; a `muse_glimmer` also as GGUF, for llama.cpp.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib import resources
from os.path import expanduser
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from firesteel.backends.resolve import PACKAGED, mmproj_beside
from firesteel.format import Tokenizer, patchify, render
from firesteel.model import gguf, load, save
from firesteel.model.config import GLIMMER
from firesteel.model.gguf_import import to_directory
from firesteel.train.finetune.examples import Example
from firesteel.train.finetune.fit import Sample, padded
from firesteel.train.learner import precision
from firesteel.train.optim import MuonAdamW


class Kindling:
    """A checkpoint of ours that learns. Raises ValueError for what is none."""

    rate = 1e-3

    def __init__(self, source: str, device: torch.device) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="firesteel-sft-")
        self.directory = _directory(source, Path(self._scratch.name))
        self.model = load(self.directory, torch.float32, device)
        self.tokenizer = Tokenizer(self.directory / "tokenizer.json")
        self._pad = self.tokenizer.id("<|finetune_right_pad|>")
        self._dtype = precision("auto", device)

    def samples(self, example: Example) -> list[Sample]:
        """The whole conversation as one sample."""
        rendered = render(example.messages, example.tools, example.strength, self.tokenizer, generation_prompt=False)
        inputs = {}
        if rendered.images:
            patches, grids = zip(*map(patchify, rendered.images), strict=True)
            inputs = {"pixels": torch.from_numpy(np.concatenate(patches)), "grid": torch.tensor(grids)}
        return [Sample(rendered.ids, rendered.loss_mask, inputs)]

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        return MuonAdamW(self.model, rate, adam_lr_scale=0.75, weight_decay=0.0, dtype=self._dtype)

    def loss(self, samples: Sequence[Sample]) -> Tensor:
        """See `fit.Learner`. The head is computed only where a token is learnt."""
        device = self.model.device
        ids, learnt = padded(samples, self._pad, device)
        seen = [sample.inputs for sample in samples if sample.inputs]
        with torch.autocast(device.type, torch.bfloat16, enabled=self._dtype is torch.bfloat16):
            features = None
            if seen:
                pixels, grid = (torch.cat([inputs[name] for inputs in seen]) for name in ("pixels", "grid"))
                features = self.model.image_features(pixels.to(device), grid)
            hidden = self.model.hidden(ids, features)  # (B, T, D)
            logits = self.model.logits(hidden[:, :-1][learnt[:, 1:]])  # (learnt, V)
        return F.cross_entropy(logits, ids[:, 1:][learnt[:, 1:]], reduction="sum")

    def save(self, out: Path) -> list[str]:
        """See `run.Tunable`."""
        save(self.model, out)
        if self.model.config.model_type != GLIMMER:
            return [str(out)]
        path, _ = gguf.export(out, out / "model.gguf")
        return [str(out), str(path)]


def _directory(source: str, scratch: Path) -> Path:
    """The checkpoint directory; GGUF files are turned back into one in `scratch`."""
    path = Path(expanduser(source))
    if source == PACKAGED:
        path = Path(str(resources.files("firesteel") / "assets" / PACKAGED / f"{PACKAGED}.gguf"))
    if path.suffix != ".gguf":
        return path
    to_directory(path, mmproj_beside(path) or gguf.mmproj_path_of(path), scratch)
    return scratch
