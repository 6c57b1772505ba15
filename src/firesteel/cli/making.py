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
def rl(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="kindling, or smoke for a try.", show_default=False)],
    change: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="A.B=C", default_factory=list, show_default=False, help="Changes a value; repeatable."
        ),
    ],
    start: Annotated[
        str, typer.Option(metavar="DIR", help="The checkpoint to start from; kindling, or a .gguf file of ours.")
    ] = "kindling",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to.", show_default="runs/NAME")] = None,
) -> None:
    """Reinforce a model on tasks that can be checked: accuracy first, then shorter thoughts."""
    from firesteel.cli.rl import rl as run

    run(recipe, start, change, out)


@app.command()
def sft(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...", help="JSONL of conversations (OpenAI, ShareGPT); or gsm8k:, dolly:, sgd: and a file."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty directory.", show_default=False)],
    model: Annotated[
        str, typer.Option(metavar="ADDRESS", help="kindling, a .gguf or directory of ours, or hf:DIR (LoRA).")
    ] = "kindling",
    epochs: Annotated[float, typer.Option(metavar="X", help="How often all examples are learnt.")] = 3.0,
    batch: Annotated[int, typer.Option(metavar="N", help="Examples of an update.")] = 16,
    rate: Annotated[
        float | None, typer.Option(metavar="X", help="Learning rate.", show_default="5e-4, LoRA 2e-4")
    ] = None,
    holdout: Annotated[
        float, typer.Option(metavar="X", help="Share of the examples that is not learnt but judged on.")
    ] = 0.05,
    length: Annotated[int, typer.Option(metavar="N", help="Most tokens of an example.")] = 2048,
    strength: Annotated[
        str | None,
        typer.Option(
            metavar="WORD|N", help="Of examples that name none.", show_default="minimal, or medium with a thought"
        ),
    ] = None,
    rank: Annotated[int, typer.Option(metavar="N", min=1, help="Of the adapters of LoRA.")] = 16,
    seed: Annotated[int, typer.Option(metavar="N", help="Orders the examples.")] = 0,
) -> None:
    """Tune a model on your own conversations; the result serves at once."""
    from firesteel.cli.sft import sft as run

    run(
        data, model, out, strength, epochs=epochs, batch=batch, rate=rate, holdout=holdout, length=length, rank=rank,
        seed=seed,
    )  # fmt: skip


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.", show_default=False)],
    model: Annotated[str, typer.Option(metavar="ADDRESS", help="kindling, or a .gguf file of ours.")] = "kindling",
) -> None:
    """Write a model as a directory that transformers opens."""
    from firesteel.cli.export import export as run

    run(directory, model)
