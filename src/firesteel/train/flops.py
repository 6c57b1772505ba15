"""Arithmetic of training, and the share of the device's peak that it reaches (model FLOPs utilisation).

- An update costs 6 operations a token and parameter (2 forward, 4 backward; Kaplan et al. 2020, arXiv 2001.08361) and
  12 a layer, channel and pair of positions for attention (Chowdhery et al. 2022, arXiv 2204.02311, appendix B).
- Only matrices count, each for the tokens that pass it: of the experts those that a token chose, the head for learnt
  tokens, the tower for patches. Masked pairs of positions count, as in the source; nothing is computed twice.
- The peak of a GPU is the makers' figure for dense bf16; of anything else that of one large product, timed here.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from firesteel.format.images import MERGE
from firesteel.train.batches import DeviceBatch
from firesteel.train.learner import Learner

# Dense bf16 with fp32 sums, in FLOP/s, from the makers' data sheets; the longest name that fits counts.
PEAKS = {
    "A100": 312e12,
    "H100": 989e12,
    "H100 PCIe": 756e12,
    "H200": 989e12,
    "B200": 2250e12,
    "L4": 121e12,
    "L40S": 362e12,
    "RTX 3090": 71e12,
    "RTX 4090": 165e12,
}


@dataclass(frozen=True)
class Flops:
    """Multiply-adds x 2 of a forward and backward pass: per text token, learnt token, patch, merged patch, character
    square; and per pair of positions in text rows and in pictures.
    """

    token: int
    learnt: int
    patch: int
    merged: int
    square: int
    text_pair: int
    picture_pair: int

    @classmethod
    def of(cls, learner: Learner) -> Self:
        config, body = learner.model.config, learner.model.model
        text, vision = config.text, config.vision
        chosen = text.num_experts_per_tok / max(1, text.num_local_experts)
        layers = body.language_model.layers
        return cls(
            token=6 * round(_matrices(layers, "") - (1 - chosen) * _matrices(layers, "experts.")),
            learnt=6 * _matrices(learner.model.lm_head, ""),
            patch=6 * (_matrices(body.vision_tower.layers, "") + _matrices(body.vision_tower, "patch_embedding")),
            merged=6 * (_matrices(body.vision_adapter, "") + _matrices(body.vision_projection, "")),
            square=6 * _matrices(learner.glyphs, ""),
            text_pair=12 * text.num_hidden_layers * text.num_attention_heads * text.head_dim,
            picture_pair=12 * vision.num_hidden_layers * vision.hidden_size,
        )

    def update(self, data: DeviceBatch) -> int:
        """Of one update on a batch."""
        total = 0
        if data.grid is not None:
            sizes = data.grid.prod(dim=1)
            patches, pairs = int(sizes.sum()), int((sizes**2).sum())
            total += self.patch * patches + self.merged * (patches // MERGE**2) + self.picture_pair * pairs
        if data.glyphs is not None:
            total += self.square * len(data.glyphs)
        if not (tokens := data.ids.numel()):
            return total
        return total + self.token * tokens + self.learnt * data.count + self.text_pair * tokens * data.ids.shape[1]


def _matrices(module: nn.Module, part: str) -> int:
    """Parameters of the matrices whose name contains `part`."""
    return sum(p.numel() for name, p in module.named_parameters() if p.ndim > 1 and part in name)


def _known(name: str) -> float | None:
    """The makers' figure for a GPU of this name."""
    fitting = [known for known in PEAKS if re.search(rf"\b{known}\b", name)]
    return PEAKS[max(fitting, key=len)] if fitting else None


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s that one device could reach in matrix products of `dtype`."""
    if device.type == "cuda" and dtype is torch.bfloat16 and (known := _known(torch.cuda.get_device_name(device))):
        return known
    size = 512 if device.type == "cpu" else 8192  # short products, so that one of them is not interrupted
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(40):
        start = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for the product
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
