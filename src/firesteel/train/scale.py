"""The dial: a width decides a run's shapes, horizon, batch, learning rate and weight decay.

What was tuned at width 256 is carried over by rules; each names its source.

1. Shapes. Heads of 64 with half as many key/value heads; depth grows with width (aspect ratio 64, as nanochat), in
   whole periods of the published pattern of three sliding layers and a full one; the feed-forward is three widths
   (muse_glimmer). Experts are half as wide as the model and 8 see a token, as in muse_spark; their number grows with
   the width until the published 256. The vision tower is half as wide as the text (published: a fifth), up to 1536.
2. Horizon: 10.5 tokens for each parameter in matrices and head, of experts those that a token uses (nanochat's
   isoFLOP fits, dev/LOG; for sparse models an assumption).
3. Batch: grows with the horizon to the 0.383 (Bergsma et al. 2025, arXiv 2505.13738).
4. Learning rate, one for all: (width/256)^-1/2. Muon's update of spectral norm 0.2 lr sqrt(n) is maximal so (spectral
   condition, Yang et al. 2023, arXiv 2310.17813), the embedding is normed and drawn with std n^-1/2, and the published
   factor (width/256)^-1/2 on logits and routers is the one that makes n^-1/2 right for heads under Adam (muP, Yang et
   al. 2022, arXiv 2203.03466, table 9). A larger batch allows sqrt(B) more (Malladi et al. 2022, arXiv 2205.10287), a
   longer horizon D^-0.32 less (Bjorck et al. 2024, arXiv 2409.19913; for Muon Ren et al. 2026, arXiv 2603.28743).
5. Weight decay: weights average their updates over a constant part of the run, lr wd steps = 1/timescale (Wang &
   Aitchison 2024, arXiv 2405.13698); the part falls with tokens per parameter (Bergsma et al., as above).
6. Schedule: warm up, hold, fall over the last fifth (Haegele et al. 2024, arXiv 2405.18392). Every fifth of the steps
   a checkpoint is kept; a fall that branches from it (`Run.branch`) ends after one, two or three quarters of them.

Known limits: depth does not enter the learning rate (branches are normed, so no rule from elsewhere applies), gains
and gates learn with the same rate as matrices, and the reference point was tuned on this project's data alone.
"""

from __future__ import annotations

from dataclasses import dataclass

BASE = 256  # the published multipliers' base width
LENGTH = 512  # tokens in a row: the sliding window
BASE_BATCH = 8192  # tokens an update at the base width
BASE_LR = 4e-3  # at the base width, horizon and batch
COOLDOWN = 0.2
TOKENS_PER_PARAMETER = 10.5


@dataclass(frozen=True)
class Scale:
    """What the dial decides. `experts` is 0 in a dense model; `parameters` are those in matrices and head that a token
    uses; a row has `LENGTH` tokens; `keep_every` in steps.
    """

    layers: int
    heads: int
    ffn: int
    experts: int
    experts_per_token: int
    vision_width: int
    vision_layers: int
    parameters: int
    tokens: int
    rows: int
    steps: int
    keep_every: int
    lr: float
    weight_decay: float


def scale(size: int, sparse: bool = False, vocab: int = 8192, ratio: float = TOKENS_PER_PARAMETER) -> Scale:
    """The run of width `size`; `ratio` tokens for each parameter.

    Raises ValueError where heads of 64 with half as many key/value heads do not make that width.
    """
    if size not in (64, 192) and (size < 128 or size % 128):
        raise ValueError(f"size is 64, 192 or a multiple of 128, not {size}")
    layers = 4 * max(1, (size + 128) // 256)
    experts, chosen = (min(256, size // 4), 8) if sparse else (0, 0)
    parameters = _parameters(size, layers, chosen, vocab)
    base = _parameters(BASE, 4, chosen, vocab)
    longer = parameters / base
    tokens = ratio * parameters
    batch = BASE_BATCH * longer**0.383
    rows = 4 * max(2, round(batch / LENGTH / 4))
    steps = 20 * max(1, round(tokens / (rows * LENGTH) / 20))
    lr = learning_rate(size, longer)
    timescale = 1.084 * ratio**-0.527
    return Scale(
        layers=layers,
        heads=size // 64,
        ffn=3 * size,
        experts=experts,
        experts_per_token=chosen,
        vision_width=min(1536, 64 * max(1, -(-size // 128))),
        vision_layers=layers,
        parameters=parameters,
        tokens=steps * rows * LENGTH,
        rows=rows,
        steps=steps,
        keep_every=steps // 5,
        lr=round(lr, 6),
        weight_decay=round(1 / (timescale * lr * tokens / batch), 4),
    )


def learning_rate(width: int, longer: float = 1.0) -> float:
    """At `width`, for a horizon `longer` times that of the base and the batch that belongs to it."""
    return BASE_LR * (width / BASE) ** -0.5 * longer ** (0.383 / 2 - 0.32)


def _parameters(width: int, layers: int, chosen: int, vocab: int) -> int:
    """In matrices and head, of `chosen` experts a token in place of the feed-forward where there are any."""
    heads = width // 64
    attention = width * 64 * (3 * heads + 2 * max(1, heads // 2))
    experts = 2 * width * (width // 2) + chosen * 3 * (width // 2) ** 2
    return layers * (attention + (experts if chosen else 9 * width**2)) + vocab * width
