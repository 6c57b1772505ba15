"""From a packed batch of arrays to tensors on the device, and the attention that keeps packed samples apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from firesteel.format import patchify
from firesteel.train.shards import Batch


class Packed:
    """Causal attention within each sample of a packed row (an `Attend` of `firesteel.model.text`).

    `docs` (R, L) numbers the samples; padding is number 0 and sees only itself. Rows are never longer than the
    sliding window, so sliding and full layers see the same.
    """

    def __init__(self, docs: Tensor) -> None:
        column = torch.arange(docs.size(1), device=docs.device)
        self.positions = column[None]
        causal = column[:, None] >= column[None, :]
        self.mask = (causal & (docs[:, :, None] == docs[:, None, :]))[:, None]  # (R, 1, L, L)

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, self.mask, enable_gqa=True)


@dataclass(frozen=True)
class DeviceBatch:
    """(R, L) tensors: ids, the tokens that follow them, whether those are learnt, sample numbers; (N, P) patches.

    `glyphs` (squares, slots): the characters under each image token, in a reading stage.
    """

    ids: Tensor
    targets: Tensor
    learnt: Tensor
    docs: Tensor
    pixels: Tensor | None
    grid: Tensor | None
    glyphs: Tensor | None = None


def device_batch(batch: Batch, device: torch.device) -> DeviceBatch:
    ids = torch.from_numpy(batch.ids)
    mask, docs = torch.from_numpy(batch.mask).bool(), torch.from_numpy(batch.docs)
    targets, learnt = torch.zeros_like(ids), torch.zeros_like(mask)
    targets[:, :-1] = ids[:, 1:]
    learnt[:, :-1] = mask[:, 1:] & (docs[:, 1:] == docs[:, :-1])
    pixels = grid = None
    if batch.images:
        patched = [patchify(image) for image in batch.images]
        pixels = torch.from_numpy(np.concatenate([p for p, _ in patched])).to(device)
        grid = torch.tensor([g for _, g in patched])
    glyphs = None if batch.glyphs is None else torch.from_numpy(batch.glyphs).to(device)
    return DeviceBatch(ids.to(device), targets.to(device), learnt.to(device), docs.to(device), pixels, grid, glyphs)


def prefetched(batches: Iterable[Batch], device: torch.device) -> Iterator[DeviceBatch]:
    """Prepares the next batch in a thread while the present one is trained on."""
    with ThreadPoolExecutor(1) as thread:
        ahead = None
        for batch in batches:
            following = thread.submit(device_batch, batch, device)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
