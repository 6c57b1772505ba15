"""`firesteel bench contemplate`: parallel thinking against its fair baselines."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from firesteel.backends import resolve
from firesteel.evals import contemplating
from firesteel.evals.contemplating import Key, Record, Settings
from firesteel.evals.effort import model_of
from firesteel.tasks import FAMILIES


def contemplate(
    model: str,
    families: Sequence[str],
    n: int,
    seeds: int,
    level: int,
    threads: int | None,
    out: Path | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Prints the table (or JSON) of what is finished, also when it is interrupted, and then exits with 130.

    `out` takes each problem as it ends, and is where another run goes on; `picture` takes a picture of the table.
    """
    keys = contemplating.problems(list(families) or list(FAMILIES), n, range(seeds))
    record = Record(Settings(model_of(model).weights, level), out)
    interrupted = False
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("thinking", total=len(keys))
        try:
            asyncio.run(_measure(model, threads, keys, record, lambda: progress.advance(task)))
        except KeyboardInterrupt:
            interrupted = True
    results = record.results(keys)
    if results:
        _print(model, record, len(keys), results, picture, as_json)
    if interrupted:
        kept = f"{out} has what is finished: the same command goes on." if out else "With --out, it could go on."
        Console(stderr=True).print(f"Interrupted. {kept}")
        sys.exit(130)


async def _measure(
    model: str, threads: int | None, keys: Sequence[Key], record: Record, advance: Callable[[], None]
) -> None:
    options = {} if threads is None else {"threads": threads}
    backend = resolve.open_backend(model, slots=16, **options)
    try:
        await contemplating.measure(backend, keys, record, advance)
    finally:
        await backend.close()


def _print(
    model: str, record: Record, asked: int, results: contemplating.Results, picture: Path | None, as_json: bool
) -> None:
    rows = contemplating.summary(results)
    if picture is not None:
        contemplating.plot(rows, picture)
    if as_json:
        print(json.dumps(contemplating.to_json(results)))
        return
    count = len(results[contemplating.ONE])
    title = f"{model}, {count} of {asked} problems, level {record.settings.level}"
    table = Table(title=f"{title}; gain over one thinker is paired, 95 % intervals")
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
    Console(width=None if sys.stdout.isatty() else 120).print(table)
