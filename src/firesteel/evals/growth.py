"""Growth with training compute: checkpoints of one run, asked the same problems.

pass@k may stay flat while pass@1 rises: reinforcement learning often only sharpens. Both are printed beside the level
of chance, with the R2 of a line in log compute and of ScaleRL's sigmoid (`evals.curves`). Checkpoints of equal compute
(training seeds) are reported as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from firesteel.evals.curves import Fit, log_linear, sigmoid
from firesteel.evals.effort_report import Group, Point

MEASURES = ("pass@1", "pass@k", "majority@k")


@dataclass(frozen=True)
class Growth:
    """Points by compute (FLOPs), rising; fits by measure and form ("log-linear", "sigmoid"), None with too few points.

    A checkpoint at compute 0 is the start of the sigmoid and is in no fit.
    """

    samples: int
    points: dict[float, Point]
    fits: dict[str, dict[str, Fit | None]]


def measure_of(point: Point, measure: str, samples: int) -> float:
    if measure == "majority@k":
        return point.majority
    return point.pass_at[1 if measure == "pass@1" else samples]


def growth(group: Group, samples: int) -> Growth:
    """From results whose arms are named by their compute and that were asked at one strength.

    Raises ValueError for an arm whose name is no number of FLOPs.
    """
    points = {compute_of(arm): next(iter(conditions.values())) for arm, conditions in group.points.items()}
    points = dict(sorted(points.items()))
    later = [compute for compute in points if compute > 0]
    fits: dict[str, dict[str, Fit | None]] = {}
    for measure in MEASURES:
        values = [measure_of(points[compute], measure, samples) for compute in later]
        start = measure_of(points[0.0], measure, samples) if 0.0 in points else 0.0
        fits[measure] = {"log-linear": log_linear(later, values), "sigmoid": sigmoid(later, values, start)}
    return Growth(samples, points, fits)


def compute_of(name: str) -> float:
    """FLOPs from an arm's name. Raises ValueError where it is none."""
    try:
        compute = float(name)
    except ValueError:
        compute = -1.0
    if not 0 <= compute < float("inf"):
        raise ValueError(f"{name!r} is no number of FLOPs: name checkpoints as FLOPS=ADDRESS, the untrained one as 0.")
    return compute


def to_json(grown: dict[str, Growth]) -> dict[str, Any]:
    """By group; compute as the key of each point."""
    return {name: asdict(growth) for name, growth in grown.items()}


def rows(grown: Growth) -> Sequence[tuple[str, ...]]:
    """For a table: compute, pass@1, pass@k, chance, majority, thinking tokens, truncated."""
    return [
        (
            f"{compute:.3g}",
            f"{point.accuracy.mean:.3f} [{point.accuracy.low:.3f}, {point.accuracy.high:.3f}]",
            f"{point.pass_at[grown.samples]:.3f}",
            "–" if point.chance is None else f"{point.chance:.3f}",
            f"{point.majority:.3f}",
            f"{point.tokens:.1f}",
            f"{point.truncated:.1%}",
        )
        for compute, point in grown.points.items()
    ]
