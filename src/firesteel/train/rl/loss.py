"""CISPO (MiniMax 2025, arXiv 2506.13585) as ScaleRL uses it (arXiv 2510.13786).

The loss is `-sum(sg(min(r, cap)) A log p) / tokens`, r being the ratio of the trainer's probability of a token to the
sampler's; unlike under a clipped objective no token loses its gradient. Advantages have their group's mean taken off
and are divided by the deviation over the batch; groups in which all rewards are equal are left out. Log-probabilities
are computed in fp32. There is no KL term.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from firesteel.train.rl.rollouts import Spoken
from firesteel.train.shards import Batch


@dataclass(frozen=True)
class Weighted:
    """A turn with the advantage of the rollout that it belongs to."""

    turn: Spoken
    advantage: float


@dataclass(frozen=True)
class Rows:
    """(R, L) rows of packed turns; `advantage` and `sampled` (log-probabilities) stand at the token they belong to."""

    batch: Batch
    advantage: np.ndarray
    sampled: np.ndarray


def advantages(rewards: Sequence[Sequence[float]]) -> list[list[float] | None]:
    """Of groups of rewards: None for a group without variance."""
    centred = [np.asarray(group) - np.mean(group) for group in rewards]
    kept = [group for group in centred if np.abs(group).max() > 1e-6]
    if not kept:
        return [None] * len(centred)
    deviation = float(np.concatenate(kept).std())
    return [(group / deviation).tolist() if np.abs(group).max() > 1e-6 else None for group in centred]


def packed(turns: Sequence[Weighted], rows: int, length: int, pad: int) -> Iterator[Rows]:
    """Packs turns, longest first into the fullest row that has room (best fit), `rows` rows at a time.

    Turns that go on from one prompt stay near each other, so that a pass reads few pictures. The last pass is filled up
    with empty rows: one shape for all passes means one compilation.
    """
    bins: list[list[Weighted]] = []
    used: list[int] = []
    for item in sorted(turns, key=lambda item: (len(item.turn.prompt), item.turn.prompt, _size(item)), reverse=True):
        assert _size(item) <= length
        fits = [index for index, size in enumerate(used) if size + _size(item) <= length]
        if not fits:
            bins.append([])
            used.append(0)
        best = max(fits, key=lambda index: used[index]) if fits else len(bins) - 1
        bins[best].append(item)
        used[best] += _size(item)
    for first in range(0, len(bins), rows):
        chosen = bins[first : first + rows]
        yield _rows(chosen + [[] for _ in range(rows - len(chosen))], length, pad)


def _size(item: Weighted) -> int:
    return len(item.turn.prompt) + len(item.turn.ids)


def _rows(rows: Sequence[Sequence[Weighted]], length: int, pad: int) -> Rows:
    shape = (len(rows), length)
    ids, mask = np.full(shape, pad, np.int64), np.zeros(shape, np.uint8)
    docs, images = np.zeros(shape, np.uint8), []
    advantage, sampled = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for row, items in enumerate(rows):
        at = 0
        for number, item in enumerate(items, 1):
            start, end = at + len(item.turn.prompt), at + _size(item)
            ids[row, at:start], ids[row, start:end] = item.turn.prompt, item.turn.ids
            docs[row, at:end], mask[row, start:end] = number, 1
            advantage[row, start:end], sampled[row, start:end] = item.advantage, item.turn.logprobs
            images += item.turn.images
            at = end
    return Rows(Batch(ids, mask, docs, images), advantage, sampled)


def cispo(logprobs: Tensor, sampled: Tensor, advantage: Tensor, cap: float) -> Tensor:
    """(N,) log-probabilities now and at sampling, advantages -> summed loss. The ratio carries no gradient."""
    ratio = (logprobs.detach() - sampled).exp().clamp(max=cap)
    return -(ratio * advantage * logprobs).sum()


def token_logprobs(logits: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """(N, V) logits, (N,) ids -> (N,) in fp32, and the summed entropy of the distributions (nats)."""
    logprobs = torch.log_softmax(logits.float(), -1)
    entropy = torch.special.entr(logprobs.detach().exp()).sum().item()
    return logprobs.gather(-1, targets[:, None])[:, 0], entropy
