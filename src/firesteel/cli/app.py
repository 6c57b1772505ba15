"""What the command line offers, in one place: commands, their options, and how errors are told.

Each command imports what it needs when it is called, so that help comes at once and only training wants torch. What a
user did wrong reaches this module as a ValueError or an OSError and leaves it as one sentence and exit code 2; anything
else is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="A small multimodal model that reasons: use it, judge it, make it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
evals = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Judge a model.")
app.add_typer(evals, name="eval")
benches = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure a claim.")
app.add_typer(benches, name="bench")
keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Say who may use a server.")
app.add_typer(keys, name="keys")

Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="ADDRESS",
        help="Who answers: kindling, a .gguf file, a directory, hf:DIR or openai:URL#NAME (key: FIRESTEEL_API_KEY).",
    ),
]
Images = Annotated[
    list[Path],
    typer.Option("--image", metavar="FILE", default_factory=list, show_default=False, help="A picture; repeatable."),
]
Strength = Annotated[
    str, typer.Option(metavar="WORD|N", help="How much to think: none, minimal, low, medium, high, xhigh or 0 to 512.")
]
Mode = Annotated[str, typer.Option(metavar="MODE", help="instant, thinking or contemplating.")]
Tools = Annotated[
    str,
    typer.Option(
        metavar="A,B",
        help="What it may use: zoom, ground, python, files, artifacts, web, searxng:URL, folder:DIR, "
        "mcp:COMMAND or URL, agents.",
        show_default="none",
    ),
]
Allow = Annotated[
    str,
    typer.Option(
        "--allow", metavar="TOOL,TOOL", help="Tools that may change things outside the sandbox; others are asked about."
    ),
]
Agents = Annotated[int, typer.Option(metavar="N", min=1, max=64, help="How many contemplate in parallel.")]
Rounds = Annotated[int, typer.Option(metavar="N", min=0, max=4, help="Rounds of refinement if they disagree.")]
File = Annotated[Path | None, typer.Option("--trace", metavar="FILE", help="A conversation to go on with, or begin.")]
Database = Annotated[
    str,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="FIRESTEEL_DATABASE",
        help="The server's store: sqlite:///PATH or postgresql://….",
        show_default="server.sqlite in ~/.local/share/firesteel",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", show_default=False)],
    image: Images,
    strength: Strength = "high",
    model: Model = "kindling",
    mode: Mode = "thinking",
    tools: Tools = "",
    allow: Allow = "",
    agents: Agents = 8,
    rounds: Rounds = 0,
    seconds: Annotated[float | None, typer.Option(metavar="X", min=0, help="The most time it may take.")] = None,
    trace: File = None,
    json: Json = False,
    temperature: Annotated[
        float | None, typer.Option(metavar="X", min=0, help="0 always takes the likeliest token.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Repeats what chance chose.")] = None,
    max_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most tokens to think and answer with, in one turn.")
    ] = 1024,
) -> None:
    """Ask one question, perhaps about pictures; thinking and answer appear as they come."""
    from firesteel.agent import Limits
    from firesteel.agent.contemplate import Plan
    from firesteel.agent.mind import Mind
    from firesteel.cli.ask import ask as run
    from firesteel.cli.permission import permission

    given = {"temperature": temperature, "seed": seed}
    mind = Mind(
        mode=mode,
        strength=strength,
        plan=Plan(agents=agents, rounds=rounds, seconds=seconds),
        limits=Limits(turn_tokens=max_tokens, seconds=seconds),
        options={name: value for name, value in given.items() if value is not None},
        permit=permission(_names(allow)),
    )
    run(question, image, model, mind, _names(tools), trace, json)


@app.command()
def chat(
    image: Images,
    strength: Strength = "high",
    model: Model = "kindling",
    mode: Mode = "thinking",
    tools: Tools = "",
    allow: Allow = "",
    trace: File = None,
) -> None:
    """Talk with a model; Ctrl-C stops an answer, Ctrl-D leaves."""
    from firesteel.agent.mind import Mind
    from firesteel.cli.chat import chat as run
    from firesteel.cli.permission import permission

    run(model, Mind(mode=mode, strength=strength, permit=permission(_names(allow))), image, _names(tools), trace)


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What --trace wrote.", show_default=False)],
    sft: Annotated[bool, typer.Option("--sft", help="Print one line of training data instead.")] = False,
) -> None:
    """Read a conversation: who said what, which tools ran, what it took."""
    from firesteel.cli.trace import trace as run

    run(file, sft)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@app.command()
def mcp(
    image: Images,
    tools: Annotated[str, typer.Option(metavar="A,B", help="What is served: as for ask, but no mcp.")] = "python",
    http: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=0, max=65535, help="Serve there on this machine (0: any port), not on stdin."),
    ] = None,
    model: Model = "kindling",
) -> None:
    """Serve the tools to any MCP client, over stdin and stdout or HTTP."""
    from firesteel.cli.mcp import mcp as run

    run(_names(tools), image, model, http)


@app.command()
def serve(
    backend: Annotated[str, typer.Option(metavar="ADDRESS", help="The model, as --model elsewhere.")] = "kindling",
    host: Annotated[str, typer.Option(metavar="HOST", help="Where to listen; other than this machine needs keys.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 is any that is free.")] = 8000,
    name: Annotated[str, typer.Option(metavar="NAME", help="What the model is called.", show_default=False)] = "",
    alias: Annotated[str, typer.Option(metavar="A,B", help="Further names for it.", show_default=False)] = "",
    slots: Annotated[int, typer.Option(metavar="N", min=1, help="Sequences generated at once.")] = 8,
    context: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Most tokens of one sequence.", show_default="the model's")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="For llama.cpp.", show_default="by the cores")
    ] = None,
    queue: Annotated[int, typer.Option(metavar="N", min=0, help="Requests that may wait; others get 429.")] = 64,
    queue_seconds: Annotated[float, typer.Option(metavar="X", min=0, help="The longest wait.")] = 60,
    seconds: Annotated[float, typer.Option(metavar="X", min=0, help="The most time for one request.")] = 600,
    drain_seconds: Annotated[float, typer.Option(metavar="X", min=0, help="For the last answers, at the end.")] = 30,
    tools: Annotated[str, typer.Option(metavar="A,B", help="What callers may have run here.")] = (
        "zoom,ground,python,files,artifacts,agents"
    ),
    strength: Strength = "high",
    temperature: Annotated[
        float | None, typer.Option(metavar="X", min=0, help="Where a caller names none.", show_default="0")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="In a turn, where a caller names none.", show_default="what fits"),
    ] = None,
    database: Annotated[
        str, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://...", show_default="a file in DIR")
    ] = "",
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The server's files.", show_default="~/.local/share/firesteel")
    ] = None,
    remote_images: Annotated[bool, typer.Option("--remote-images", help="Fetch pictures by their URLs.")] = False,
    raw_reasoning: Annotated[
        str, typer.Option(metavar="HOW", help="Thoughts in responses: summary, openai or open-responses.")
    ] = "summary",
    allow_host: Annotated[
        str, typer.Option(metavar="A,B", help="Further names of this server in Host.", show_default=False)
    ] = "",
    allow_origin: Annotated[
        str, typer.Option(metavar="A,B", help="Web pages that may talk to it.", show_default=False)
    ] = "",
    log: Annotated[str, typer.Option(metavar="HOW", help="Lines on stderr: json or text.")] = "json",
) -> None:
    """Serve the model over HTTP: the OpenAI, Open Responses and Anthropic APIs."""
    from firesteel.cli.serve import serve as run
    from firesteel.server.settings import Settings

    settings = Settings(
        host=host,
        port=port,
        backend=backend,
        name=name,
        aliases=tuple(_names(alias)),
        data=data,
        database=database,
        slots=slots,
        context=context,
        threads=threads,
        queue=queue,
        queue_seconds=queue_seconds,
        seconds=seconds,
        drain_seconds=drain_seconds,
        tools=tuple(_names(tools)),
        strength=strength,
        temperature=temperature,
        max_tokens=max_tokens,
        remote_images=remote_images,
        raw_reasoning=raw_reasoning,
        allowed_hosts=tuple(_names(allow_host)),
        allowed_origins=tuple(_names(allow_origin)),
    )
    run(settings, log)


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

    run(model, _names(families), n, seeds, level, out, json)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="To tell keys apart.", show_default=False)],
    owner: Annotated[
        str | None,
        typer.Option(
            metavar="X",
            help="Whose conversations and files it opens; local: what was kept before there were keys.",
            show_default="nobody else's",
        ),
    ] = None,
    modes: Annotated[
        str, typer.Option(metavar="A,B", help="instant, thinking, contemplating.", show_default="all")
    ] = "",
    tools: Annotated[
        str, typer.Option(metavar="A,B", help="What may run on the server for it; or all.", show_default="none")
    ] = "",
    rpm: Annotated[int | None, typer.Option(metavar="N", min=1, help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(metavar="N", min=1, help="Tokens a minute, read and generated.")] = None,
    monthly_tokens: Annotated[int | None, typer.Option(metavar="N", min=1, help="Tokens a calendar month.")] = None,
    expires: Annotated[float | None, typer.Option(metavar="DAYS", min=0, help="Ends by itself after that.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May make and revoke keys and see the usage of all.")] = False,
    database: Database = "",
) -> None:
    """Make a key and print its secret, once. From the first key on, a server answers nobody without one."""
    from firesteel.cli.keys import create as run

    run(
        database,
        name,
        owner=owner,
        modes=_names(modes),
        tools=_names(tools),
        expires=expires,
        admin=admin,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        monthly_tokens=monthly_tokens,
    )


@keys.command("list")
def show(database: Database = "", json: Json = False) -> None:
    """Show all keys, but not their secrets."""
    from firesteel.cli.keys import show as run

    run(database, json)


@keys.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="As list shows it.", show_default=False)],
    database: Database = "",
) -> None:
    """End a key; a running server refuses it within two seconds."""
    from firesteel.cli.keys import revoke as run

    run(database, id)


@keys.command()
def usage(
    since: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="How far back.", show_default="to the beginning")
    ] = None,
    database: Database = "",
    json: Json = False,
) -> None:
    """Show what each key used."""
    from firesteel.cli.keys import usage as run

    run(database, since, json)


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.", show_default=False)],
    model: Annotated[str, typer.Option(metavar="ADDRESS", help="kindling, or a .gguf file of ours.")] = "kindling",
) -> None:
    """Write a model as a directory that transformers opens."""
    from firesteel.cli.export import export as run

    run(directory, model)


def main() -> None:
    try:
        app()
    except (ValueError, OSError) as error:
        from firesteel.cli.terminal import complain

        complain(error)
        sys.exit(2)
