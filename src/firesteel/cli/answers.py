"""`firesteel data answers`: what a model answers to many problems, for the stage that teaches it to judge answers."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from firesteel.backends import resolve
from firesteel.train.operators import gather, read


def make(model: str, families: Sequence[str], n: int, levels: Sequence[int], seed: int, out: Path) -> None:
    """Writes the pool and prints what it holds. Raises ValueError for an unknown model, and where `out` exists."""
    if out.exists():
        raise ValueError(f"{out} exists; name another file.")

    async def ask() -> None:
        console, backend = Console(stderr=True), resolve.open_backend(model)
        try:
            with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
                task = progress.add_task("asking")
                await gather(
                    backend,
                    out,
                    families,
                    n,
                    levels=levels,
                    seed=seed,
                    on_progress=lambda done, total: progress.update(task, completed=done, total=total),
                )
        finally:
            await backend.close()

    asyncio.run(ask())
    pool = read(str(out))
    told = {"pool": str(out), "problems": len(pool), "one_is_right": sum(any(asked.right) for asked in pool)}
    print(json.dumps(told | {"families": dict(Counter(asked.family for asked in pool))}))
