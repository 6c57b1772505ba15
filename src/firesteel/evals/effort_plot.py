"""The pictures of `bench effort` and `bench curve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from firesteel.evals.effort_report import MAIN, Findings, Group, Point
from firesteel.evals.growth import MEASURES, Growth, measure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = {"log-linear": ":", "sigmoid": "-"}


def draw_effort(findings: Findings, groups: dict[str, Group], path: Path) -> None:
    """pass@1 against mean thinking tokens, a line for each arm's strengths, its baselines apart."""
    from matplotlib.figure import Figure

    shown = [name for name in MAIN if name in groups]
    figure = Figure(figsize=(5.5 * len(shown), 4.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
        group = groups[name]
        for index, arm in enumerate(findings.arms):
            points = group.points[arm]
            strengths = [c.name for c in findings.of(arm) if not c.baseline]
            budgets = [c.name for c in findings.of(arm) if c.budget is not None]
            _curve(axes, [points[c] for c in strengths], f"C{index}", "o-", arm, strengths)
            if budgets:
                _curve(axes, [points[c] for c in budgets], f"C{index}", "s--", f"{arm}, thought cut at a budget", ())
            for condition in findings.of(arm):
                if condition.brief:
                    _curve(axes, [points[condition.name]], f"C{index}", "^", f"{arm}, told to be brief", ())
        axes.set(title=f"{name}: {group.problems} problems", xlabel="mean thinking tokens of a sample")
        axes.grid(alpha=0.3)
    axes = figure.axes[0]
    axes.set_ylabel("pass@1")
    axes.legend()
    figure.savefig(path, dpi=120)


def _curve(
    axes: Axes, points: list[Point], color: str, style: str, label: str, names: list[str] | tuple[str, ...]
) -> None:
    right = [point.accuracy for point in points]
    errors = [[max(0.0, r.mean - r.low) for r in right], [max(0.0, r.high - r.mean) for r in right]]
    tokens, means = [point.tokens for point in points], [r.mean for r in right]
    axes.errorbar(tokens, means, yerr=errors, fmt=style, color=color, label=label, alpha=0.8, capsize=2)
    for name, x, y in zip(names, tokens, means, strict=False):
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8)


def draw_growth(grown: Growth, path: Path) -> None:
    """The three measures against log compute with both fits, and beside them the thinking tokens."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    later = [compute for compute in grown.points if compute > 0]
    for index, measure in enumerate(MEASURES):
        color = f"C{index}"
        values = [measure_of(grown.points[c], measure, grown.samples) for c in later]
        left.plot(later, values, "o", color=color, label=measure.replace("@k", f"@{grown.samples}"))
        for form, fit in grown.fits[measure].items():
            if fit is not None:
                line = np.geomspace(min(later), max(later), 100)
                left.plot(line, fit.at(line), _STYLES[form], color=color, label=f"{form}, R² {fit.r2:.3f}", alpha=0.7)
        if 0.0 in grown.points:
            left.axhline(measure_of(grown.points[0.0], measure, grown.samples), color=color, alpha=0.3, linewidth=0.8)
    chances = [(c, grown.points[c].chance) for c in later]
    known = [(c, value) for c, value in chances if value is not None]
    if known:
        left.plot(*zip(*known, strict=True), "--", color="grey", label=f"pass@{grown.samples} by guessing")
    right.plot(later, [grown.points[c].tokens for c in later], "o-", label="mean")
    right.plot(later, [grown.points[c].p95_tokens for c in later], "o:", label="95th percentile")
    left.set_ylabel("accuracy")
    right.set_ylabel("thinking tokens")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("training compute (FLOPs)")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)
