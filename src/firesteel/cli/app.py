"""The command line: what talks with a model is here; what serves, makes and judges one is added.

Each command imports what it needs when it is called, so that help comes at once and only training wants torch. What a
user did wrong reaches this module as a ValueError or an OSError and leaves it as one sentence and exit code 2; anything
else is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from firesteel.cli import judging, making, operating
from firesteel.cli.options import Agents, Allow, File, Images, Json, Mode, Model, Rounds, Strength, Tools, names

app = typer.Typer(
    help="A small multimodal model that reasons: use it, judge it, make it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(operating.app)
app.add_typer(making.app)
app.add_typer(judging.evals, name="eval")
app.add_typer(judging.benches, name="bench")


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
        permit=permission(names(allow)),
    )
    run(question, image, model, mind, names(tools), trace, json)


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

    run(model, Mind(mode=mode, strength=strength, permit=permission(names(allow))), image, names(tools), trace)


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What --trace wrote.", show_default=False)],
    sft: Annotated[bool, typer.Option("--sft", help="Print one line of training data instead.")] = False,
) -> None:
    """Read a conversation: who said what, which tools ran, what it took."""
    from firesteel.cli.trace import trace as run

    run(file, sft)


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

    run(names(tools), image, model, http)


def main() -> None:
    try:
        app()
    except (ValueError, OSError) as error:
        from firesteel.cli.terminal import complain

        complain(error)
        sys.exit(2)
