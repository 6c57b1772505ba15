"""Commands that judge a model: `eval` and `bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firesteel.cli.options import Json, Model, Strength, names

evals = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Judge a model.")
benches = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure a claim.")


@evals.command()
def tasks(
    families: Annotated[str | None, typer.Option(metavar="A,B", help="Which families.", show_default="all")] = None,
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="Problems of each family.")] = 50,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which problems.")] = 0,
    level: Annotated[int, typer.Option(metavar="N", help="How hard they are; 1 is the easiest.")] = 1,
    strength: Strength = "high",
    blank_images: Annotated[
        bool, typer.Option("--blank-images", help="Show grey instead of the pictures: what is right then was guessed.")
    ] = False,
    model: Model = "kindling",
    json: Json = False,
) -> None:
    """Ask generated problems and check the answers."""
    from firesteel.cli.evaluate import tasks as run

    run(model, families, json, n=n, seed=seed, level=level, strength=strength, blank_images=blank_images)


@benches.command()
def contemplate(
    families: Annotated[str, typer.Option(metavar="A,B", help="Which families.", show_default="all")] = "",
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="Problems of each family and seed.")] = 10,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="How many seeds.")] = 3,
    level: Annotated[int, typer.Option(metavar="N", min=1, help="How hard they are.")] = 1,
    out: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw a picture.")] = None,
    model: Model = "kindling",
    json: Json = False,
) -> None:
    """Parallel agents against one thinker, voting, short-k and best-of-N, at what each costs."""
    from firesteel.cli.bench import contemplate as run

    run(model, names(families), n, seeds, level, out, json)
