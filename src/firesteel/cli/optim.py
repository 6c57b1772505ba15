"""`firesteel bench optim`: the Muon stack against AdamW, both tuned with the same budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firesteel.cli.train import require_extra
from firesteel.recipes import RECIPES
from firesteel.train.config import override


def optim(
    recipe: str,
    changes: Sequence[str],
    steps: int,
    seeds: int,
    lrs: Sequence[float],
    weight_decays: Sequence[float],
    stage: int,
    out: Path,
    as_json: bool,
) -> None:
    """Runs what the directory `out` lacks; writes optim.json and optim.png there, prints a table or the JSON object."""
    if recipe not in RECIPES:
        raise ValueError(f"There is no recipe {recipe!r}. There are: {', '.join(RECIPES)}.")
    run = override(RECIPES[recipe], list(changes))
    require_extra("Training")
    from firesteel.train import ladder

    def told(trial: ladder.Trial, left: int) -> None:
        what = f"{trial.arm} seed {trial.seed}, {trial.steps} steps, lr {trial.setting.lr:g}"
        progress.print(f"{what}, decay {trial.setting.weight_decay:g}: loss {trial.loss:.4f}; {left} runs left")

    progress = Console(stderr=True)
    plan = ladder.Plan(run, steps, ladder.grid(lrs, weight_decays), seeds, stage)
    climbed = ladder.Ladder(plan, out)
    chosen = climbed.climb(told)
    found = ladder.to_json(climbed, chosen)
    (out / "optim.json").write_text(json.dumps(found, indent=1))
    ladder.draw(climbed, out / "optim.png")
    if as_json:
        print(json.dumps(found))
        return
    console = Console()
    table = Table("seed", "equal loss", "Muon tokens", "AdamW tokens", "ratio", title=f"{run.name}, {steps} steps")
    for one in ladder.ratios(climbed):
        ratio = f"{one.bound + ' ' if one.bound else ''}{one.value:.2f}"
        table.add_row(str(one.seed), f"{one.loss:.4f}", f"{one.muon:,.0f}", f"{one.adamw:,.0f}", ratio)
    console.print(table)
    mean = ladder.overall(ladder.ratios(climbed))
    console.print(
        f"AdamW needs {mean.mean:.2f} times the tokens of Muon (95 % [{mean.low:.2f}, {mean.high:.2f}] over {seeds} "
        f"seeds) and {found['seconds_ratio']:.2f} times its seconds here."
    )
    for arm, setting in chosen.items():
        edge = "; at the edge of the grid: widen --lrs" if ladder.at_edge(plan, setting) else ""
        console.print(f"{arm}: learning rate {setting.lr:g}, weight decay {setting.weight_decay:g}{edge}")


def numbers(words: Sequence[str]) -> list[float]:
    """Raises ValueError for what is no number."""
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"Write numbers between commas, not {', '.join(words)}.") from error
