"""From a packed batch of arrays to tensors on the device, and the attention that keeps packed samples apart.

Where many ranks train, each takes a run of the rows of every batch, so what an update learns is a function of the step
alone. `share` makes the ranks' mean losses add up to the mean of the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from firesteel.format import patchify
from firesteel.model.config import TextConfig
from firesteel.train.glyphs import EMPTY
from firesteel.train.shards import Batch


class Packed:
    """Causal attention within each sample of a packed row (an `Attend` of `firesteel.model.text`).

    `docs` (R, L) numbers the samples; padding is number 0 and sees only padding. In rows longer than the sliding window
    the sliding layers see no farther than that. `after` (R, L) names for each token the sample that its own one goes on
    from, 0 for none, and `positions` (R, L) its place in the sequence of both.
    """

    def __init__(
        self, docs: Tensor, config: TextConfig, after: Tensor | None = None, positions: Tensor | None = None
    ) -> None:
        column = torch.arange(docs.size(1), device=docs.device)
        self.positions = column[None] if positions is None else positions
        self.sliding = [kind == "sliding_attention" for kind in config.layer_types]
        seen = docs[:, :, None] == docs[:, None, :]
        if after is not None:
            seen |= after[:, :, None] == docs[:, None, :]
        self.mask = (seen & (column[:, None] >= column[None, :]))[:, None]  # (R, 1, L, L)
        distance = self.positions[:, None, :, None] - self.positions[:, None, None, :]
        long = docs.size(1) > config.sliding_window
        self.near = self.mask & (distance < config.sliding_window) if long else self.mask

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = self.near if self.sliding[layer] else self.mask
        return F.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)


@dataclass(frozen=True)
class DeviceBatch:
    """(R, L) tensors: ids, the tokens that follow them, whether those are learnt, sample numbers; (N, P) patches.

    A picture that several samples show is there once, and `shown` says which one stands at each place of the rows;
    behind them lie the pages that the tower alone reads, `glyphs` (squares, slots) the characters in their squares.
    `count`: learnt tokens (in a reading stage: characters). `share` and `glyph_share`: what this part's mean losses
    weigh in the means of the whole update; 1 where alone.
    `after` and `positions` as in `Packed`.
    """

    ids: Tensor
    targets: Tensor
    learnt: Tensor
    docs: Tensor
    pixels: Tensor | None
    grid: Tensor | None
    shown: list[int]
    glyphs: Tensor | None = None
    count: int = 0
    share: float = 1.0
    glyph_share: float = 1.0
    after: Tensor | None = None
    positions: Tensor | None = None

    @property
    def places(self) -> int:
        """Tokens of the rows; in a reading stage squares."""
        return self.ids.numel() or (0 if self.glyphs is None else len(self.glyphs))


def rows_of(batch: Batch, rank: int, ranks: int) -> Batch:
    """The rows of one rank, with their pictures and characters; the number of rows must be divisible."""
    assert batch.after is None, "rows that share a prompt are learnt by one rank"
    size = len(batch.ids) // ranks
    span = slice(rank * size, rank * size + size)
    images, places, pages, glyphs = batch.images, batch.image_rows, batch.pages, batch.glyphs
    if images:
        assert places is not None
        places = places - span.start
        images = [image for image, place in zip(images, places, strict=True) if 0 <= place < size]
        # Sharded weights are gathered by all ranks together: where one has pictures, none may leave out the tower. No
        # token takes up the features of this one, so they add nothing.
        images = images or batch.images[:1]
    if glyphs is not None:
        glyphs = np.split(glyphs, ranks)[rank]
        pages = pages[rank * len(pages) // ranks : (rank + 1) * len(pages) // ranks]
    return Batch(batch.ids[span], batch.mask[span], batch.docs[span], images, pages, glyphs)


def device_batch(batch: Batch, device: torch.device, rank: int = 0, ranks: int = 1) -> DeviceBatch:
    """The part of a batch that `rank` of `ranks` learns from, on the device."""
    part = rows_of(batch, rank, ranks) if ranks > 1 else batch
    ids, docs = torch.from_numpy(part.ids), torch.from_numpy(part.docs)
    targets = torch.zeros_like(ids)
    targets[:, :-1] = ids[:, 1:]
    learnt = torch.from_numpy(_learnt(part))
    pixels = grid = None
    different = {id(image): image for image in part.images}
    if part.images or part.pages:
        patched = [patchify(image) for image in (*different.values(), *part.pages)]
        pixels = torch.from_numpy(np.concatenate([p for p, _ in patched])).to(device)
        grid = torch.tensor([g for _, g in patched])
    glyphs = None if part.glyphs is None else torch.from_numpy(part.glyphs).to(device)
    count = int(np.count_nonzero(_learnt(part) if part.ids.size or part.glyphs is None else part.glyphs))
    numbers = {key: number for number, key in enumerate(different)}
    shown = [numbers[id(image)] for image in part.images]
    tensors = (ids.to(device), targets.to(device), learnt.to(device), docs.to(device), pixels, grid, shown, glyphs)
    shares = (1.0, 1.0) if part is batch else _shares(part, batch)
    places = [None if array is None else torch.from_numpy(array).to(device) for array in (part.after, part.positions)]
    return DeviceBatch(*tensors, count, *shares, *places)


def _learnt(batch: Batch) -> np.ndarray:
    """(R, L): whether the next token is learnt."""
    learnt = np.zeros(batch.ids.shape, bool)
    learnt[:, :-1] = (batch.mask[:, 1:] != 0) & (batch.docs[:, 1:] == batch.docs[:, :-1])
    return learnt


def _shares(part: Batch, whole: Batch) -> tuple[float, float]:
    """What the mean losses of a part, over tokens and over characters, weigh in those of the whole."""
    tokens, characters = zip(*(_weights(batch) for batch in (part, whole)), strict=True)
    return tokens[0] / max(1.0, tokens[1]), characters[0] / max(1.0, characters[1])


def _weights(batch: Batch) -> tuple[float, float]:
    """What the losses of a batch, over tokens and over characters, are divided by."""
    filled = 0 if batch.glyphs is None else np.count_nonzero(batch.glyphs)
    slots = 0 if batch.glyphs is None else batch.glyphs.size
    return float(_learnt(batch).sum()), filled + EMPTY * (slots - filled)


def prefetched(batches: Iterable[Batch], device: torch.device, rank: int = 0, ranks: int = 1) -> Iterator[DeviceBatch]:
    """Prepares the next batch in a thread while the present one is trained on."""
    with ThreadPoolExecutor(1) as thread:
        ahead = None
        for batch in batches:
            following = thread.submit(device_batch, batch, device, rank, ranks)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
