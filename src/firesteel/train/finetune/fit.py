"""The loop of a fine-tuning: updates on some examples, judged on others.

- Held-out examples are chosen by a hash of what is said in them: the same ones whatever the order, and a conversation
  that stands in the data twice is never on both sides.
- Rows are padded on the right, where causal attention never looks; an update is cut into passes of like length, and its
  loss is the mean over all tokens of the assistant in it.
- The weights that were best on the held-out examples are kept; when these have not improved for `PATIENCE` judgements
  in a row, the run stops. Without held-out examples the last weights are kept.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from firesteel.train.optim import trapezoid

JUDGEMENTS, PATIENCE = 10, 3  # how often a run looks at the held-out examples, and how often in vain
PASS_TOKENS = 8192  # of one forward pass, padding included


@dataclass(frozen=True)
class Sample:
    """Ids of a conversation, 1 where the token is learnt, and what else the model reads (patches of pictures)."""

    ids: list[int]
    mask: list[int]
    inputs: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def learnt(self) -> int:
        """How many tokens the loss is taken on; nothing foretells the first."""
        return sum(self.mask[1:])


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`rate`: the highest learning rate. `batch`: examples of an update. `holdout`: the share that is judged on."""

    rate: float
    epochs: float = 3.0
    batch: int = 16
    holdout: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.holdout < 1:
            raise ValueError(f"The share of held-out examples is at least 0 and below 1, not {self.holdout}.")
        if self.epochs <= 0 or self.batch < 1 or self.rate <= 0:
            raise ValueError("Epochs, batch and learning rate must be greater than 0.")


@dataclass(frozen=True)
class Report:
    """What came of it. Losses are means over held-out tokens (None without any): before, and of the kept weights."""

    updates: int  # that were made
    planned: int
    kept: int  # after which update the weights were the best
    before: float | None
    after: float | None
    training: tuple[float, ...]  # loss of each update


class Learner(Protocol):
    """Whoever is tuned."""

    @property
    def model(self) -> nn.Module: ...

    def optimiser(self, rate: float) -> torch.optim.Optimizer: ...

    def loss(self, samples: Sequence[Sample]) -> Tensor:
        """Cross-entropy, summed over the learnt tokens."""
        ...


def split(conversations: Sequence[tuple[str, Sequence[Sample]]], share: float) -> tuple[list[Sample], list[Sample]]:
    """The samples to learn from, and those to be judged on: those of a `share` of the different conversations.

    With its samples stands each conversation's hash (`Example.key`): their ids hold a strength that may be drawn.
    """
    different = sorted({key for key, _ in conversations})
    held = set(different[: round(share * len(different))])
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    for key, samples in conversations:
        sides[key in held].extend(samples)
    return sides


def fit(learner: Learner, samples: Sequence[Sample], held: Sequence[Sample], settings: Settings) -> Report:
    """Tunes `learner.model` in place."""
    planned = max(1, round(settings.epochs * len(samples) / settings.batch))
    every = max(1, planned // JUDGEMENTS)
    weights = [p for p in learner.model.parameters() if p.requires_grad]
    optimiser = learner.optimiser(settings.rate)
    before = judge(learner, held) if held else None
    best, kept, losses, in_vain = float("inf"), 0, [], 0
    copies: list[Tensor] = []
    learner.model.train()
    bar = tqdm(_updates(samples, settings, planned), total=planned, desc="sft", unit="update", disable=None)
    for number, chosen in enumerate(bar, 1):
        factor = trapezoid(number - 1, planned, warmup=min(10, planned // 5), decay=0.8)
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * factor
        total = sum(sample.learnt for sample in chosen)
        losses.append(0.0)
        for part in passes(chosen):
            loss = learner.loss(part) / total
            loss.backward()
            losses[-1] += loss.item()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        bar.set_postfix(loss=f"{losses[-1]:.3f}", held=f"{best:.3f}")
        if held and (number % every == 0 or number == planned):
            now = judge(learner, held)
            in_vain += 1
            if now < best:
                best, kept, in_vain = now, number, 0
                copies = [p.detach().clone() for p in weights]
            if in_vain == PATIENCE:
                break
    bar.close()
    learner.model.eval()
    if copies:
        with torch.no_grad():
            for parameter, copy in zip(weights, copies, strict=True):
                parameter.copy_(copy)
    return Report(len(losses), planned, kept or len(losses), before, best if held else None, tuple(losses))


@torch.no_grad()
def judge(learner: Learner, samples: Sequence[Sample]) -> float:
    """Mean loss over the learnt tokens of `samples`."""
    was = learner.model.training
    learner.model.eval()
    total = sum(learner.loss(part).item() for part in passes(samples))
    learner.model.train(was)
    return total / sum(sample.learnt for sample in samples)


def passes(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Groups of like length, each of at most `PASS_TOKENS` padded tokens (or of one sample)."""
    group: list[Sample] = []
    for sample in sorted(samples, key=lambda sample: len(sample.ids), reverse=True):
        if group and (len(group) + 1) * len(group[0].ids) > PASS_TOKENS:
            yield group
            group = []
        group.append(sample)
    if group:
        yield group


def padded(samples: Sequence[Sample], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(B, T) ids, padded on the right, and (B, T) whether the token is learnt."""
    length = max(len(sample.ids) for sample in samples)
    ids = torch.full((len(samples), length), pad)
    learnt = torch.zeros((len(samples), length), dtype=torch.bool)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        learnt[row, 1 : len(sample.ids)] = torch.tensor(sample.mask[1:], dtype=torch.bool)
    return ids.to(device), learnt.to(device)


def _updates(samples: Sequence[Sample], settings: Settings, planned: int) -> Iterator[list[Sample]]:
    """`planned` batches; every epoch takes all samples in an order of its own."""
    rng = random.Random(settings.seed)
    waiting: list[Sample] = []
    for _ in range(planned):
        while len(waiting) < settings.batch:
            waiting += rng.sample(samples, len(samples))
        yield waiting[: settings.batch]
        waiting = waiting[settings.batch :]
