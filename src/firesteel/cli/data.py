"""`firesteel data build`: a recipe, some changes, a directory with tokens and their manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from firesteel.recipes.data import CORPORA
from firesteel.train.config import override


def build(recipe: str, changes: Sequence[str], out: Path | None) -> None:
    """Builds a corpus, or goes on with one that was stopped, and prints what it is made of.

    Raises ValueError for what does not exist or is not installed.
    """
    if recipe not in CORPORA:
        raise ValueError(f"There is no corpus {recipe!r}. There are: {', '.join(CORPORA)}.")
    missing = [name for name in ("datatrove", "py3langid", "mwparserfromhell", "datasets") if find_spec(name) is None]
    if missing:
        raise ValueError(f"Building a corpus needs {' and '.join(missing)}: pip install 'firesteel[data]'")
    corpus = override(CORPORA[recipe](), list(changes))
    from firesteel.train.corpus import MANIFEST, is_built
    from firesteel.train.curation.build import build as run

    directory = out or Path("runs") / f"data-{corpus.name}"
    with os.fdopen(os.dup(2), "w") as terminal:  # a build sends standard error to its log
        console = Console(file=terminal)
        console.print(f"{corpus.name}: {directory}; stop it with Ctrl-C, go on with the same command.")
        with console.status("") as status:
            run(corpus, directory, lambda name, number, total: status.update(f"{number} of {total}: {name}"))
    if is_built(directory):
        Console().print(table(json.loads((directory / MANIFEST).read_text(encoding="utf-8"))))
    else:
        print(f"All stages are submitted; {directory / MANIFEST} will say when the corpus is complete.")


def table(manifest: dict[str, Any]) -> Table:
    """One line a source: what came in, what went out, why the rest was dropped."""
    title = f"{manifest['name']}: {manifest['documents']:,} documents, {manifest['tokens']:,} tokens"
    found = Table(title=title)
    for column in ("source", "in", "kept", "tokens", "weight", "share", "dropped"):
        found.add_column(column, justify="left" if column in ("source", "dropped") else "right")
    for source in manifest["sources"]:
        lost = {name: sum(reasons.values()) for name, reasons in source["dropped"].items()}
        kept, mixture = source["out"], source["out"]["mixture"]
        found.add_row(
            source["name"],
            f"{source['in']['documents']:,}",
            f"{kept['documents']:,}",
            f"{kept['tokens']:,}",
            f"{source['weight']:g}",
            f"{mixture['share']:.1%}",
            ", ".join(f"{name} {count:,}" for name, count in lost.items()) or "–",
        )
    return found
