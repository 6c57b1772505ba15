"""Commands that make a model: train, rl, average, sft, reproduce, data, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firesteel.cli.options import names

app = typer.Typer()
corpora = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make a training corpus.")
app.add_typer(corpora, name="data")

Change = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="A.B=C", default_factory=list, show_default=False, help="Changes a value; repeatable."
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Where to.", show_default="runs/NAME")]


@app.command()
def train(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="kindling, smoke, smoke-sparse, ladder, small.", show_default=False),
    ],
    change: Change,
    out: Out = None,
) -> None:
    """Train a model by a recipe, or go on where a run was stopped."""
    from firesteel.cli.train import train as run

    run(recipe, change, out)


@app.command()
def rl(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="kindling, small, smoke.", show_default=False)],
    change: Change,
    start: Annotated[
        str, typer.Option(metavar="DIR", help="The checkpoint to start from; kindling, or a .gguf file of ours.")
    ] = "kindling",
    out: Out = None,
) -> None:
    """Reinforce a model on tasks that can be checked: accuracy first, then shorter thoughts."""
    from firesteel.cli.rl import rl as run

    run(recipe, start, change, out)


@app.command()
def average(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty directory.", show_default=False)],
    checkpoint: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Checkpoints of one start.", show_default=False)
    ],
    weights: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="What each counts; 1,1,-1 adds to the first what the second learnt since the third.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Average the weights of runs that differ in their seed alone, or of a start and what was tuned from it."""
    from firesteel.cli.train import require_extra

    require_extra("Averaging")
    from firesteel.model.average import average as run

    try:
        counts = [float(weight) for weight in weights.split(",") if weights]
    except ValueError:
        raise ValueError(f"--weights are numbers with commas between them, not {weights}.") from None
    run(checkpoint, out, counts)


@app.command()
def sft(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="JSONL of conversations (OpenAI, ShareGPT); or gsm8k:, dolly:, sgd: and a file.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty directory.", show_default=False)],
    model: Annotated[
        str, typer.Option(metavar="ADDRESS", help="kindling, a .gguf or directory of ours, or hf:DIR (LoRA).")
    ] = "kindling",
    epochs: Annotated[float, typer.Option(metavar="X", help="How often all examples are learnt.")] = 3.0,
    batch: Annotated[int, typer.Option(metavar="N", help="Examples of an update.")] = 16,
    rate: Annotated[
        float | None, typer.Option(metavar="X", help="Learning rate.", show_default="1e-3, LoRA 2e-4")
    ] = None,
    holdout: Annotated[
        float, typer.Option(metavar="X", help="Share of the examples that is not learnt but judged on.")
    ] = 0.05,
    length: Annotated[int, typer.Option(metavar="N", help="Most tokens of an example.")] = 2048,
    strength: Annotated[
        str | None,
        typer.Option(metavar="WORD|N", help="Of examples that name none.", show_default="all, by lot"),
    ] = None,
    rehearse: Annotated[
        float, typer.Option(metavar="X", help="Share of generated problems, lest kindling forget; not for LoRA.")
    ] = 0.3,
    rank: Annotated[int, typer.Option(metavar="N", min=1, help="Of the adapters of LoRA.")] = 16,
    seed: Annotated[int, typer.Option(metavar="N", help="Orders the examples.")] = 0,
) -> None:
    """Tune a model on your own conversations; the result serves at once."""
    from firesteel.cli.sft import sft as run

    run(
        data, model, out, strength, epochs=epochs, batch=batch, rate=rate, holdout=holdout, length=length,
        rehearse=rehearse, rank=rank, seed=seed,
    )  # fmt: skip


@corpora.command()
def build(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="kindling, smoke.", show_default=False)],
    change: Change,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to.", show_default="runs/data-NAME")] = None,
) -> None:
    """Read, filter, deduplicate, decontaminate, mix and encode text, or go on where a build was stopped."""
    from firesteel.cli.data import build as run

    run(recipe, change, out)


@corpora.command()
def pictures(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="photographs, icons or pages.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The album.", show_default=False)],
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="A tar or folder of class/picture files; or Iconify sets (icons.json, folder, npm archive).",
            default_factory=list,
            show_default=False,
        ),
    ],
    naming: Annotated[
        Path | None, typer.Option("--names", metavar="JSON", help="Class folders' names; null leaves one out.")
    ] = None,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Of what is packed; it is written into the album.")] = "",
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="How many pages.")] = 1500,
    seed: Annotated[int, typer.Option(metavar="N", help="Which pages.")] = 0,
) -> None:
    """Pack named pictures, or pages of a real browser, into an album for training and eval pictures."""
    from firesteel.cli.albums import make as run

    run(kind, source, out, naming, licence, n, seed)


@corpora.command()
def answers(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The pool, a new file.", show_default=False)],
    model: Annotated[str, typer.Option(metavar="ADDRESS", help="Who is asked.")] = "kindling",
    families: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Task families.", show_default="all but those that no stage learns to judge"),
    ] = None,
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="Problems of each family and level.")] = 40,
    level: Annotated[list[int], typer.Option(metavar="N", min=1, help="Repeatable.")] = [1, 2],  # noqa: B006
    seed: Annotated[int, typer.Option(metavar="N", help="Which problems.")] = 0,
) -> None:
    """Ask a model and keep the problems on which it disagrees with itself, for the stage operators."""
    from firesteel.cli.answers import make as run
    from firesteel.recipes.reinforcement import HELD_OUT
    from firesteel.tasks import FAMILIES

    learnt = [name for name in FAMILIES if name not in HELD_OUT]
    run(model, names(families) if families else learnt, n, level, seed, out)


@app.command()
def reproduce(
    change: Change,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to.")] = Path("runs/small"),
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="Problems of each family in a measurement.")] = 50,
) -> None:
    """The whole recipe in half an hour on two cores: pretraining, traces, reinforcement, compression, measured."""
    from firesteel.cli.reproduce import reproduce as run

    run(out, n, change)


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.", show_default=False)],
    model: Annotated[str, typer.Option(metavar="ADDRESS", help="kindling, or a .gguf file of ours.")] = "kindling",
) -> None:
    """Write a model as a directory that transformers opens."""
    from firesteel.cli.export import export as run

    run(directory, model)
