"""`firesteel data pictures` makes an album, `firesteel eval pictures` asks a model about the held-out part of one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from firesteel.backends import resolve
from firesteel.evals.pictures import Score, measure
from firesteel.format import strength_number
from firesteel.tasks.albums import open_album


def make(
    kind: str, sources: Sequence[Path], out: Path, names: Path | None, licence: str, count: int, seed: int
) -> None:
    """Makes the album and prints what it holds. Raises ValueError for what cannot be read or is not installed."""
    from firesteel.train.pictures import icons, pages, photographs

    if kind == "pages":
        with _progress() as progress:
            task = progress.add_task("rendering", total=count)
            told = pages.album(count, out, seed, lambda done: progress.update(task, completed=done))
    elif kind == "icons" and sources:
        told = icons.album(sources, out, licence)
    elif kind == "photographs" and len(sources) == 1:
        told = photographs.album(sources[0], out, _names(names), licence)
    else:
        raise ValueError("Say: photographs and one tar file or folder; icons and one or more sets; or pages.")
    print(json.dumps({"album": str(out), "megabytes": round(out.stat().st_size / 1e6, 1), **told}, ensure_ascii=False))


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def _names(path: Path | None) -> dict[str, str | None]:
    """The folders' names of a JSON object."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    if not isinstance(found, dict) or not all(v is None or (isinstance(v, str) and v) for v in found.values()):
        raise ValueError(f"{path} must hold one JSON object: class folder to name, or to null to leave it out.")
    return found


def judge(
    path: Path, model: str, kinds: Sequence[str], n: int, seed: int, strength: str, blank_images: bool, as_json: bool
) -> None:
    """Prints a table, or one JSON object. Raises ValueError as `measure` does."""
    album = open_album(str(path))

    async def ask() -> list[Score]:
        backend = resolve.open_backend(model)
        try:
            with _progress() as progress:
                task = progress.add_task("asking")
                return await measure(
                    backend,
                    album,
                    kinds,
                    n,
                    seed,
                    strength_number(strength),
                    blank_images,
                    on_progress=lambda done, total: progress.update(task, completed=done, total=total),
                )
        finally:
            await backend.close()

    scores = asyncio.run(ask())
    if as_json:
        found = [{**asdict(s), "accuracy": s.accuracy, "margin": s.margin} for s in scores]
        print(json.dumps({"model": model, "album": album.about, "blank_images": blank_images, "kinds": found}))
        return
    seen = "grey pictures" if blank_images else f"{len(album.held_out)} held-out pictures"
    table = Table(title=f"{model}, {album.kind}, {seen}; margin: lower end of the interval less chance")
    for column in ("kind", "n", "accuracy", "95 %", "chance", "margin"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for s in scores:
        interval = f"{s.low:.1%} - {s.high:.1%}"
        table.add_row(s.kind, str(s.n), f"{s.accuracy:.1%}", interval, f"{s.chance:.1%}", f"{100 * s.margin:+.1f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
