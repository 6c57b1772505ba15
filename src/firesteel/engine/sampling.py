"""From logits to tokens, all rows at once, each by its own settings and its own random numbers.

Shapes: b rows, V vocabulary. The order is biases, penalties, temperature, top-k, top-p, as in `firesteel.backends`.
A row draws one number in [0, 1) a token from a generator of its own and takes the token at that place of its cumulated
distribution, in the order of the vocabulary: what else runs beside it does not change its tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

_BLOCK = 128  # random numbers drawn at a time


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to continue a prompt. Raises ValueError for settings that make no sense.

    `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 leave the distribution whole. Sample i of a prompt draws with
    seed + i; None takes a random seed. `stop_ids` end a sample and belong to it; None: the engine's own. `top` is the
    number of alternatives to tell beside each token. `thinking_budget` closes the thought after that many tokens with
    `after_thought`. `grammar` (GBNF) masks every token of the turn. `forced` tokens come first; they cannot end a
    sample, and `max_tokens` counts those behind them, which may then be none. `logit_bias` is added by token id (-100
    bans), `presence_penalty` and `frequency_penalty` are taken off for what was generated already, once and each time.
    """

    max_tokens: int = 1024
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    stop_ids: Sequence[int] | None = None
    top: int = 0
    thinking_budget: int | None = None
    after_thought: str = "<|eom|><|start|>assistant to=user<|message|>"
    grammar: str | None = None
    forced: Sequence[int] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.max_tokens < (0 if self.forced else 1):
            raise ValueError(f"max_tokens is {self.max_tokens}, but at least one token must be generated.")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"The temperature {self.temperature} must be zero or a positive number.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, but must be above 0 and at most 1.")
        if self.top_k < 0 or self.top < 0:
            raise ValueError("top_k and the number of alternatives cannot be negative.")


def adjust(logits: Tensor, sampling: Sampling, generated: Sequence[int]) -> None:
    """Biases and penalties of one row, logits (V,), in place."""
    change = {id: bias if bias > -100 else float("-inf") for id, bias in sampling.logit_bias.items()}
    if sampling.presence_penalty or sampling.frequency_penalty:
        for id, count in Counter(generated).items():
            change[id] = change.get(id, 0.0) - sampling.presence_penalty - count * sampling.frequency_penalty
    if change:
        logits[list(change)] += torch.tensor(list(change.values()), device=logits.device)


def random_numbers(seed: int) -> Iterator[float]:
    """An endless stream of numbers in [0, 1)."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    while True:
        yield from torch.rand(_BLOCK, generator=generator, dtype=torch.float64).tolist()


class Controls:
    """The settings of b rows as tensors; made anew when rows come or go."""

    def __init__(self, rows: Sequence[Sampling], vocabulary: int, device: torch.device) -> None:
        self.greedy = all(row.temperature == 0 for row in rows)
        self.top = min(max((row.top for row in rows), default=0), vocabulary)
        self.temperature = torch.tensor([row.temperature for row in rows], device=device)[:, None]
        cut = [i for i, row in enumerate(rows) if row.temperature > 0 and (row.top_p < 1 or 0 < row.top_k < vocabulary)]
        self.cut = torch.tensor(cut, dtype=torch.long, device=device)
        self.top_k = torch.tensor([rows[i].top_k or vocabulary for i in cut], device=device)[:, None]
        self.top_p = torch.tensor([rows[i].top_p for i in cut], device=device)[:, None]


def sample(logits: Tensor, controls: Controls, numbers: Sequence[float]) -> Tensor:
    """logits (b, V) in fp32, masked tokens at minus infinity, and one random number a row -> token ids (b,)."""
    best = logits.argmax(-1)
    if controls.greedy:
        return best
    cold = controls.temperature == 0
    scaled = logits / controls.temperature.masked_fill(cold, 1.0)
    if len(controls.cut):
        scaled[controls.cut] = _cut(scaled[controls.cut], controls.top_k, controls.top_p)
    total = scaled.softmax(-1).cumsum(-1, dtype=torch.float64)
    place = torch.tensor(numbers, dtype=torch.float64, device=logits.device)[:, None] * total[:, -1:]
    drawn = torch.searchsorted(total, place, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
    return torch.where(cold[:, 0], best, drawn)


def _cut(logits: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Keep the `top_k` best tokens, and of these the fewest whose share reaches `top_p`."""
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(logits.shape[-1], device=logits.device)
    share = ordered.masked_fill(rank >= top_k, float("-inf")).softmax(-1)
    before = share.cumsum(-1) - share
    lost = (rank >= top_k) | ((before >= top_p) & (rank > 0))
    return logits.masked_fill(torch.zeros_like(lost).scatter(-1, order, lost), float("-inf"))
