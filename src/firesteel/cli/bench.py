"""`firesteel bench contemplate`: parallel thinking against its fair baselines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from firesteel.backends import resolve
from firesteel.evals import contemplating
from firesteel.tasks import FAMILIES


def contemplate(
    model: str, families: Sequence[str], n: int, seeds: int, level: int, out: Path | None, as_json: bool
) -> None:
    """Prints the table (or JSON); `out` takes a picture of it."""
    console = Console(stderr=as_json)
    names = list(families) or list(FAMILIES)

    async def measure() -> contemplating.Results:
        backend = resolve.open_backend(model, slots=16)
        try:
            with Progress(console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task("thinking")
                return await contemplating.measure(
                    backend,
                    names,
                    n,
                    range(seeds),
                    level=level,
                    on_progress=lambda done, total: progress.update(task, completed=done, total=total),
                )
        finally:
            await backend.close()

    results = asyncio.run(measure())
    rows = contemplating.summary(results)
    if out is not None:
        contemplating.plot(rows, out)
    if as_json:
        print(json.dumps(contemplating.to_json(results)))
        return
    count = len(results[contemplating.ONE])
    table = Table(title=f"{model}, {count} problems, level {level}; gain over one thinker is paired, 95 % intervals")
    for column in ("strategy", "accuracy", "gain", "total tokens", "critical path", "seconds"):
        table.add_column(column, justify="left" if column == "strategy" else "right")
    for row in rows:
        table.add_row(
            row.strategy,
            f"{row.accuracy:.3f} [{row.low:.3f}, {row.high:.3f}]",
            f"{row.gain.mean:+.3f} [{row.gain.low:+.3f}, {row.gain.high:+.3f}]",
            f"{row.total_tokens:.0f}",
            f"{row.critical_tokens:.0f}",
            "–" if row.seconds is None else f"{row.seconds:.2f}",
        )
    console.print(table)
