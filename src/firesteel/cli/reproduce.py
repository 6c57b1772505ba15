"""`firesteel reproduce`: the whole recipe scaled down, measured after each stage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from firesteel.cli.train import require_extra
from firesteel.evals.report import Report
from firesteel.evals.run import evaluate
from firesteel.evals.stats import wilson
from firesteel.recipes.small import small, small_rl
from firesteel.train.config import override

if TYPE_CHECKING:
    from firesteel.backends.engine import EngineBackend

_STRENGTHS = {"low": 16, "high": 256}


def reproduce(directory: Path, n: int, changes: Sequence[str]) -> None:
    """Trains in `directory` and prints the table; a second call goes on where the first was stopped.

    `changes` begin with `taught.` or `reinforced.`, the two runs of `firesteel.recipes.small`.

    After each stage `n` unseen problems of each family are asked at temperature 1, weakly and strongly.
    """
    require_extra("Training")
    from firesteel.backends.engine import EngineBackend
    from firesteel.format import Tokenizer
    from firesteel.model import Muse
    from firesteel.train import loop
    from firesteel.train.config import Stage
    from firesteel.train.rl.config import Phase
    from firesteel.train.rl.loop import reinforce

    runs = override({"taught": small(), "reinforced": small_rl()}, list(changes))
    run, reinforcement = runs["taught"], runs["reinforced"]
    console, path = Console(), directory / "measured.jsonl"
    directory.mkdir(parents=True, exist_ok=True)

    async def measure(stage: str, backend: EngineBackend) -> None:
        row: dict[str, object] = {"stage": stage}
        for name, strength in _STRENGTHS.items():
            report = await evaluate(
                backend, reinforcement.families, n, strength=strength, temperature=1.0, max_tokens=200
            )
            row |= _row(name, report)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        console.print(_table(path))

    def after_stage(stage: Stage, model: Muse, tokenizer: Tokenizer) -> None:
        async def work() -> None:
            backend = EngineBackend.of(model, tokenizer, slots=16, context=512)
            try:
                await measure(stage.name, backend)
            finally:
                await backend.close()

        asyncio.run(work())

    async def after_phase(phase: Phase, backend: EngineBackend) -> None:
        await measure(phase.name, backend)

    taught = loop.train(run, directory / "taught", after_stage=after_stage)
    print(reinforce(reinforcement, taught, directory / "reinforced", after_phase=after_phase))


def _row(name: str, report: Report) -> dict[str, object]:
    right, count = sum(sample.correct for sample in report.samples), len(report.samples)
    return {
        f"{name} right": right,
        f"{name} of": count,
        f"{name} thinking": round(sum(sample.thinking_tokens for sample in report.samples) / count, 1),
    }


def _table(path: Path) -> Table:
    """What is measured so far; of a stage that was measured twice, the last."""
    rows = {row["stage"]: row for row in map(json.loads, path.read_text().splitlines())}
    table = Table(title="accuracy with its 95 % interval, and thinking tokens, of unseen problems at temperature 1")
    table.add_column("stage")
    for name in _STRENGTHS:
        table.add_column(name, justify="right")
        table.add_column("thinking", justify="right")
    for row in rows.values():
        cells = []
        for name in _STRENGTHS:
            right, count = row[f"{name} right"], row[f"{name} of"]
            low, high = wilson(right, count)
            cells += [f"{right / count:.3f} [{low:.3f}, {high:.3f}]", f"{row[f'{name} thinking']:.0f}"]
        table.add_row(row["stage"], *cells)
    return table
