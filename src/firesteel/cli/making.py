"""Commands that make a model: train, data, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="kindling, or smoke for a try.", show_default=False)],
    change: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="A.B=C", default_factory=list, show_default=False, help="Changes a value; repeatable."
        ),
    ],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to.", show_default="runs/NAME")] = None,
) -> None:
    """Train a model by a recipe, or go on where a run was stopped."""
    from firesteel.cli.train import train as run

    run(recipe, change, out)


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.", show_default=False)],
    model: Annotated[str, typer.Option(metavar="ADDRESS", help="kindling, or a .gguf file of ours.")] = "kindling",
) -> None:
    """Write a model as a directory that transformers opens."""
    from firesteel.cli.export import export as run

    run(directory, model)
