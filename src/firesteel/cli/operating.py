"""Commands that run a server: `serve` and `keys`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firesteel.cli.options import Database, Json, Strength, names

app = typer.Typer()
keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Say who may use a server.")
app.add_typer(keys, name="keys")


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
    keep_days: Annotated[
        float, typer.Option(metavar="X", min=0, help="For stored responses outside of the app; 0: for ever.")
    ] = 30,
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
        aliases=tuple(names(alias)),
        data=data,
        database=database,
        slots=slots,
        context=context,
        threads=threads,
        queue=queue,
        queue_seconds=queue_seconds,
        seconds=seconds,
        drain_seconds=drain_seconds,
        tools=tuple(names(tools)),
        strength=strength,
        temperature=temperature,
        max_tokens=max_tokens,
        keep_days=keep_days,
        remote_images=remote_images,
        raw_reasoning=raw_reasoning,
        allowed_hosts=tuple(names(allow_host)),
        allowed_origins=tuple(names(allow_origin)),
    )
    run(settings, log)


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
        modes=names(modes),
        tools=names(tools),
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
