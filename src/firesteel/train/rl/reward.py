"""What a sample is worth: a checker's verdict, and a price on thinking that only mastered problems pay.

The price is that of prime-rl (2026): in a group of samples of a prompt, `w * pass rate * length / longest`.
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


def thinking_costs(rewards: Sequence[float], lengths: Sequence[int], weight: float) -> list[float]:
    """What thinking (lengths, tokens) costs each sample of one group, 0 or less; `rewards` are 0..1."""
    assert len(rewards) == len(lengths) > 0
    price = weight * sum(rewards) / len(rewards) / max(1, *lengths)
    return [-price * length for length in lengths]
