"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
