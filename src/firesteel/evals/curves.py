"""What curves say: the cost of a quality by interpolation, and growth with compute by two fits.

- A cost is read off the front of a curve: points that are dearer and no better than another do not count.
- Growth is fitted as a line in log compute (the published claim for Muse Spark) and as ScaleRL's sigmoid,
  `R = R0 + (A - R0) / (1 + (C_mid / C)^B)` (Khatri et al. 2025, arXiv 2510.13786). The sigmoid has one parameter more,
  so a slightly larger R2 says nothing for it.
- For given B and C_mid the sigmoid is linear in A: these two are searched on a grid that is refined, A is solved for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those of the (cost, quality) points that no cheaper point equals, by cost."""
    kept: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or quality > kept[-1][1]:
            kept.append((cost, quality))
    return kept


def cost_at(points: Sequence[tuple[float, float]], quality: float) -> float | None:
    """The cost at which the (cost, quality) curve reaches `quality`, linear between the points of its front.

    None where it never does. Where the cheapest point is better already, that point's cost: an upper bound.
    """
    known = front(points)
    if not known or quality > known[-1][1]:
        return None
    return float(np.interp(quality, [q for _, q in known], [c for c, _ in known]))


@dataclass(frozen=True)
class Fit:
    """Parameters by name, and the share of the variance that is explained (1 is all, below 0 worse than the mean)."""

    parameters: dict[str, float]
    r2: float

    def at(self, compute: np.ndarray) -> np.ndarray:
        """The fitted values at these amounts of compute."""
        known = self.parameters
        if "slope" in known:
            return known["intercept"] + known["slope"] * np.log10(compute)
        return known["R0"] + (known["A"] - known["R0"]) / (1 + (known["C_mid"] / compute) ** known["B"])


def log_linear(compute: Sequence[float], quality: Sequence[float]) -> Fit | None:
    """quality = intercept + slope * log10(compute), least squares; None for fewer than three points."""
    x, y = np.log10(compute), np.asarray(quality, dtype=float)
    if len(np.unique(x)) < 3:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    return Fit({"intercept": float(intercept), "slope": float(slope)}, _r2(y, intercept + slope * x))


def sigmoid(compute: Sequence[float], quality: Sequence[float], start: float = 0.0) -> Fit | None:
    """ScaleRL's curve by least squares, with `start` (R0) the quality before any compute and A within 0..1.

    None for fewer than four points: it would go through three. C_mid is searched within a factor of 100 around the
    measured compute, B within 0.1..10; a result at such an edge means that the points do not show a saturation.
    """
    x, y = np.log10(compute), np.asarray(quality, dtype=float)
    if len(np.unique(x)) < 4:
        return None
    middle, reach = (x.min() + x.max()) / 2, (x.max() - x.min()) / 2 + 2
    power, spread = 0.0, 1.0  # log10 of B, and of the range searched
    for _ in range(5):
        mids = np.clip(np.linspace(middle - reach, middle + reach, 81), x.min() - 2, x.max() + 2)[:, None, None]
        powers = np.clip(np.linspace(power - spread, power + spread, 81), -1, 1)[None, :, None]
        shape = 1 / (1 + 10.0 ** np.clip((mids - x) * 10**powers, -300, 300))  # (81, 81, points)
        rise = (shape * (y - start)).sum(-1) / np.maximum((shape**2).sum(-1), 1e-12)
        rise = np.clip(rise, -start, 1 - start)
        error = ((start + rise[..., None] * shape - y) ** 2).sum(-1)
        i, j = np.unravel_index(error.argmin(), error.shape)
        middle, power, best = float(mids[i, 0, 0]), float(powers[0, j, 0]), float(rise[i, j])
        reach, spread = reach / 10, spread / 10
    fit = Fit({"R0": start, "A": start + best, "B": 10**power, "C_mid": 10**middle}, 0.0)
    return Fit(fit.parameters, _r2(y, fit.at(np.asarray(compute, dtype=float))))


def _r2(y: np.ndarray, fitted: np.ndarray) -> float:
    total = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - fitted) ** 2).sum()) / total if total > 0 else 0.0
