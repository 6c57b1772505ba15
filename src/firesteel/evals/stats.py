"""Error bars and fair comparisons. Standard library and numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BOUNDS = (0.025, 0.975)  # of a 95 % percentile interval


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927): never outside [0, 1] and honest at 0 % and 100 %.

    Nothing measured (total = 0) is (0, 1).
    """
    assert 0 <= correct <= total
    if total == 0:
        return 0.0, 1.0
    rate, z = correct / total, 1.96
    scale = 1 + z * z / total
    centre = rate + z * z / (2 * total)
    reach = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


@dataclass(frozen=True)
class Difference:
    """A mean difference and its interval; `low` > 0 or `high` < 0 says that it is not chance."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    first: Sequence[float], second: Sequence[float], rounds: int = 10_000, seed: int = 0
) -> Difference:
    """mean(first - second) over the same problems in the same order, with a 95 % percentile bootstrap interval.

    Pairing matters: two models that fail on the same problems differ far more surely than their single intervals
    suggest. Raises ValueError when the two do not have the same, positive length.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"A paired comparison needs equally many results, not {len(first)} and {len(second)}.")
    # Resampling only counts how often each distinct difference is drawn: a multinomial, cheap for right/wrong results.
    values, counts = np.unique(np.subtract(first, second, dtype=float), return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(first), counts / len(first), size=rounds)  # (rounds, values)
    means = drawn @ values / len(first)
    low, high = np.quantile(means, _BOUNDS)
    return Difference(float(values @ counts / len(first)), float(low), float(high))


def crossed_bootstrap(
    first: np.ndarray,
    second: np.ndarray,
    rounds: int = 2000,
    seed: int = 0,
    relative: bool = False,
) -> Difference:
    """mean(first) - mean(second), or with `relative` mean(first) / mean(second) - 1, with a 95 % interval.

    (R, P) and (R', P) arrays: R trained models of one kind and R' of another over the same P problems in the same
    order. Problems are resampled together, models for each kind by themselves; with one model each this is the paired
    bootstrap over problems. Three models know little of their own spread, so the interval is then rather too narrow.
    Resamples in which a relative difference has nothing to be relative to are left out. Raises ValueError for arrays
    that do not fit together, or where mean(second) is 0 and `relative` is asked.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or not first.size or not second.size:
        raise ValueError(f"A comparison needs the same problems twice, not arrays {first.shape} and {second.shape}.")
    below = second.mean() if relative else 1.0
    if below == 0:
        raise ValueError("There is nothing to be relative to: the mean is 0.")
    rng = np.random.default_rng(seed)
    problems = _weights(rng, first.shape[1], rounds)
    ours, theirs = ((problems * (_weights(rng, len(arm), rounds) @ arm)).sum(1) for arm in (first, second))
    if relative:
        usable = theirs > 0
        found = ours[usable] / theirs[usable] - 1
        mean = first.mean() / below - 1
    else:
        found, mean = ours - theirs, first.mean() - second.mean()
    low, high = np.quantile(found, _BOUNDS)
    return Difference(float(mean), float(low), float(high))


def _weights(rng: np.random.Generator, count: int, rounds: int) -> np.ndarray:
    """(rounds, count): how often each of `count` things is drawn in a resample, as shares."""
    return rng.multinomial(count, np.full(count, 1 / count), size=rounds) / count


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The chance that one of k samples is right, estimated without bias from n samples (Chen et al. 2021).

    Raises ValueError for k > n: that cannot be estimated.
    """
    assert 0 <= correct <= n and k >= 1
    if k > n:
        raise ValueError(f"pass@{k} needs at least {k} samples for each problem, not {n}.")
    return 1 - math.comb(n - correct, k) / math.comb(n, k)
