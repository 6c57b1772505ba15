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
from PIL import Image
from torch import Tensor

from firesteel.train.rl.rollouts import Spoken
from firesteel.train.shards import Batch


@dataclass(frozen=True)
class Weighted:
    """A turn with the advantage of the rollout that it belongs to."""

    turn: Spoken
    advantage: float


_Block = list[Weighted]  # turns that share one copy of their prompt


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


def decoupled(
    rewards: Sequence[Sequence[float]], costs: Sequence[Sequence[float]], share: float
) -> list[list[float] | None]:
    """Advantages of the rewards plus `share` times those of the (negative) costs, each by its own deviation.

    Of one sum the deviation would be that of right and wrong, and what thinking costs would drown in it
    (GDPO, arXiv 2601.05242).
    """
    found: list[list[float] | None] = []
    for right, cheap in zip(advantages(rewards), advantages(costs) if share else [None] * len(costs), strict=True):
        if right and cheap:
            found.append([one + share * other for one, other in zip(right, cheap, strict=True)])
        else:
            found.append([share * other for other in cheap] if cheap else right)
    return found


def shortest_right(rewards: Sequence[Sequence[float]], lengths: Sequence[Sequence[int]]) -> list[list[float] | None]:
    """Weights that make a fine-tuning of an update: 1 for the shortest of a group's right samples, 0 for the others."""
    found: list[list[float] | None] = []
    for right, tokens in zip(rewards, lengths, strict=True):
        best = min((at for at, reward in enumerate(right) if reward == 1), key=lambda at: tokens[at], default=None)
        found.append(None if best is None else [float(at == best) for at in range(len(right))])
    return found


def packed(turns: Sequence[Weighted], rows: int, length: int, pad: int) -> Iterator[Rows]:
    """Packs turns into rows, longest first into the fullest row that has room (best fit), `rows` rows at a time.

    Turns of one prompt share a copy of it wherever they lie in one row (prefix grouping, arXiv 2506.05433): a sample is
    the prompt's last token, from which its first is predicted, and what was said; it sees itself and the rest of the
    prompt. The last pass is filled up with empty rows: one shape for all passes means one compilation.
    """
    bins: list[list[_Block]] = []
    used: list[int] = []
    for group in _groups(turns):
        rest = sorted(group, key=lambda item: len(item.turn.ids), reverse=True)
        prefix = len(rest[0].turn.prompt) - 1
        while rest:
            need = prefix + 1 + len(rest[0].turn.ids)
            assert need <= length
            fits = [index for index, size in enumerate(used) if size + need <= length]
            if not fits:
                bins.append([])
                used.append(0)
            best = max(fits, key=lambda index: used[index]) if fits else len(bins) - 1
            used[best] += prefix
            block: _Block = []
            left: _Block = []
            for item in rest:
                size = 1 + len(item.turn.ids)
                fit = used[best] + size <= length
                (block if fit else left).append(item)
                used[best] += size if fit else 0
            bins[best].append(block)
            rest = left
    for first in range(0, len(bins), rows):
        chosen = bins[first : first + rows]
        yield _rows(chosen + [[] for _ in range(rows - len(chosen))], length, pad)


def _groups(turns: Sequence[Weighted]) -> list[_Block]:
    """Turns by what they go on from, the longest prompts first."""
    found: dict[tuple, _Block] = {}
    for item in turns:
        found.setdefault((*item.turn.prompt, *map(id, item.turn.images)), []).append(item)
    return sorted(found.values(), key=lambda group: len(group[0].turn.prompt), reverse=True)


def _rows(rows: Sequence[Sequence[_Block]], length: int, pad: int) -> Rows:
    shape = (len(rows), length)
    ids, mask = np.full(shape, pad, np.int64), np.zeros(shape, np.uint8)
    docs, after, positions = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
    advantage, sampled = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    images: list[Image.Image] = []
    for row, blocks in enumerate(rows):
        at = number = 0
        for block in blocks:
            *prefix, last = block[0].turn.prompt
            number += 1
            shared, end = number, at + len(prefix)
            ids[row, at:end], docs[row, at:end], positions[row, at:end] = prefix, shared, range(len(prefix))
            at, images = end, images + block[0].turn.images
            for item in block:
                number += 1
                end = at + 1 + len(item.turn.ids)
                said = slice(at + 1, end)
                ids[row, at], ids[row, said], mask[row, said] = last, item.turn.ids, 1
                docs[row, at:end], after[row, at:end] = number, shared
                positions[row, at:end] = range(len(prefix), len(prefix) + end - at)
                advantage[row, said], sampled[row, said] = item.advantage, item.turn.logprobs
                at = end
    return Rows(Batch(ids, mask, docs, images, after=after, positions=positions), advantage, sampled)


def cispo(logprobs: Tensor, sampled: Tensor, advantage: Tensor, cap: float) -> Tensor:
    """(N,) log-probabilities now and at sampling, advantages -> summed loss. The ratio carries no gradient."""
    ratio = (logprobs.detach() - sampled).exp().clamp(max=cap)
    return -(ratio * advantage * logprobs).sum()


def token_logprobs(logits: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """(N, V) logits, (N,) ids -> (N,) in fp32, and the summed entropy of the distributions (nats)."""
    logprobs = torch.log_softmax(logits.float(), -1)
    entropy = torch.special.entr(logprobs.detach().exp()).sum().item()
    return logprobs.gather(-1, targets[:, None])[:, 0], entropy
