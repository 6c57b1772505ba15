"""What a sample is worth: a checker's verdict, and a price on thinking that only mastered problems pay.

The penalty is that of prime-rl (2026): in a group of samples of a prompt, `R' = R - w * pass rate * length / longest`.
A group that fails pays nothing, so thinking longer stays free where it is still needed; ungated penalties were seen to
let accuracy collapse (GRPO-lambda, arXiv 2505.18086). Only thinking tokens count, never the answer's.
"""

from __future__ import annotations

from collections.abc import Sequence

from firesteel.format import STRENGTHS

# What thinking costs at each named strength: the less, the more of it is asked for.
PENALTY: dict[str, float] = {"minimal": 0.5, "low": 0.5, "medium": 0.4, "high": 0.3, "xhigh": 0.2}


def weight(strength: int) -> float:
    """The penalty of a numeric strength 0..512: that of the named one at or below it."""
    named = [name for name in PENALTY if STRENGTHS[name] <= max(strength, STRENGTHS["minimal"])]
    return PENALTY[named[-1]]


def penalised(rewards: Sequence[float], lengths: Sequence[int], weight: float) -> list[float]:
    """The rewards (0..1) of one group of samples less what their thinking (lengths, tokens) costs."""
    assert len(rewards) == len(lengths) > 0
    longest = max(lengths)
    if longest == 0:
        return list(rewards)
    pass_rate = sum(rewards) / len(rewards)
    return [reward - weight * pass_rate * length / longest for reward, length in zip(rewards, lengths, strict=True)]
