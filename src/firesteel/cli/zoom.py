"""`firesteel bench zoom`: what looking closer gains on targets too small to read at once."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from firesteel.backends import resolve
from firesteel.evals import zoom as bench
from firesteel.format import strength_number


def zoom(model: str, n: int, seed: int, level: int, strength: str, agents: int, as_json: bool) -> None:
    """Prints the table (or JSON). Raises ValueError as `measure` does."""

    async def measure() -> bench.Results:
        console, backend = Console(stderr=True), resolve.open_backend(model, slots=max(1, agents))
        try:
            with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
                task = progress.add_task("looking")
                return await bench.measure(
                    backend,
                    n,
                    seed,
                    level,
                    strength_number(strength),
                    agents=agents,
                    on_progress=lambda done, total: progress.update(task, completed=done, total=total),
                )
        finally:
            await backend.close()

    rows = bench.summary(asyncio.run(measure()))
    if as_json:
        print(json.dumps({"model": model, "n": n, "level": level, "conditions": [asdict(row) for row in rows]}))
        return
    table = Table(title=f"{model}, {n} problems, level {level}; differences are paired, 95 % intervals")
    for column in ("condition", "accuracy", "gain", "over zoom", "looked there", "tokens", "seconds"):
        table.add_column(column, justify="left" if column == "condition" else "right")
    for row in rows:
        table.add_row(
            row.condition,
            f"{row.accuracy:.3f} [{row.low:.3f}, {row.high:.3f}]",
            *(f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]" for d in (row.gain, row.over_zoom)),
            f"{row.looked:.0%}",
            f"{row.tokens:.0f}",
            f"{row.seconds:.2f}",
        )
    Console(width=None if sys.stdout.isatty() else 150).print(table)
