"""What a run of reinforcement learning looks like from outside: figures of each update, and one picture of them all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from firesteel.train.rl.episodes import Episode
from firesteel.train.rl.rollouts import Rollout


def of_groups(episodes: Sequence[Episode], groups: Sequence[Sequence[Rollout]]) -> dict[str, Any]:
    """Shares (0..1) and mean lengths (tokens) over an update's samples.

    `zero_variance`: groups in which all are right, or all wrong. `violations`: pairs of neighbouring strengths of which
    the lower one thinks longer, among those that this update drew.
    """
    every = [one for group in groups for one in group]
    by_strength: dict[int, list[int]] = defaultdict(list)
    for episode, group in zip(episodes, groups, strict=True):
        by_strength[episode.strength] += [one.thinking for one in group]
    thinking = {strength: _mean(lengths) for strength, lengths in sorted(by_strength.items())}
    levels = list(thinking.values())
    return {
        "pass_rate": _mean([one.right for one in every]),
        "zero_variance": _mean([len({one.right for one in group}) == 1 for group in groups]),
        "right_thinking": _mean([one.thinking for one in every if one.right]),
        "wrong_thinking": _mean([one.thinking for one in every if not one.right]),
        "truncated": _mean([one.truncated for one in every]),
        "thinking": thinking,
        "violations": _mean([low > high for low, high in pairwise(levels)]),
        "by_key": _by_key(episodes, groups),
    }


def _by_key(episodes: Sequence[Episode], groups: Sequence[Sequence[Rollout]]) -> dict[str, float]:
    found: dict[str, list[bool]] = defaultdict(list)
    for episode, group in zip(episodes, groups, strict=True):
        found[episode.key] += [one.right for one in group]
    return {key: _mean(right) for key, right in sorted(found.items())}


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


def plot(rows: Sequence[Mapping[str, Any]], phases: Sequence[str], out: Path) -> None:
    """Six panels over all updates; grey lines part the phases."""
    from matplotlib.figure import Figure

    at, borders = _places(rows, len(phases))
    updates = [(at[row["stage"], row["step"]], row) for row in rows if row["kind"] == "update"]
    measures = [(at[row["stage"], row["step"]], row) for row in rows if row["kind"] == "measure"]
    figure = Figure(figsize=(13, 7), layout="constrained")
    panels = figure.subplots(2, 3).flatten()
    lines = (
        (panels[0], "accuracy", measures, ("trained_accuracy", "held_out_accuracy")),
        (panels[0], "accuracy", updates, ("pass_rate",)),
        (panels[1], "thinking tokens", measures, ("trained_thinking", "held_out_thinking")),
        (panels[2], "thinking tokens", updates, ("right_thinking", "wrong_thinking")),
        (panels[3], "entropy (nats)", updates, ("entropy",)),
        (panels[4], "share", updates, ("zero_variance", "truncated", "violations")),
    )
    for panel, label, points, names in lines:
        for name in names:
            known = [(x, row[name]) for x, row in points if name in row]
            if known:
                panel.plot(*zip(*known, strict=True), label=name.replace("_", " "), linewidth=1)
        panel.set_ylabel(label)
    for strength in sorted({name for _, row in updates for name in row["thinking"]}, key=int):
        known = [(x, row["thinking"][strength]) for x, row in updates if strength in row["thinking"]]
        panels[5].plot(*zip(*known, strict=True), label=f"strength {strength}", linewidth=1)
    panels[5].set_ylabel("thinking tokens")
    for panel in panels:
        if panel.lines:
            panel.legend(fontsize="small")
        for border in borders:
            panel.axvline(border, color="grey", linewidth=0.6)
        panel.set_xlabel("update")
        panel.grid(alpha=0.3)
    figure.suptitle(" · ".join(phases))
    figure.savefig(out, dpi=110)


def _places(rows: Sequence[Mapping[str, Any]], phases: int) -> tuple[dict[tuple[int, int], int], list[int]]:
    """The update's number over all phases of (phase, step), and where phases end."""
    lengths = [max((row["step"] for row in rows if row["stage"] == index), default=0) for index in range(phases)]
    ends = [sum(lengths[: index + 1]) for index in range(phases)]
    at = {(row["stage"], row["step"]): ends[row["stage"]] - lengths[row["stage"]] + row["step"] for row in rows}
    return at, ends[:-1]
