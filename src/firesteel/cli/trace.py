"""`firesteel trace`: a recorded conversation, read or turned into training data."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from firesteel.cli.lanes import harmless
from firesteel.format import Message, Trace


def trace(file: Path, sft: bool) -> None:
    """Prints the conversation, or its messages as one line of JSON (pictures inside, as data URLs).

    Raises ValueError for a file that is missing or damaged.
    """
    if not file.is_file():
        raise ValueError(f"There is no trace at {file}.")
    recorded = Trace.open(file, mend=False)
    if sft:
        print(json.dumps({"messages": [message.to_dict() for message in recorded]}, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for number, message in enumerate(recorded, 1):
        console.out(f"{number}. {message.role} {message.name}".rstrip(), style="bold")
        for style, text in _pieces(message):
            console.out(harmless(text) if console.is_terminal else text, style=style)


def _pieces(message: Message) -> list[tuple[str | None, str]]:
    pieces: list[tuple[str | None, str]] = []
    if message.reasoning:
        pieces.append(("dim", message.reasoning))
    if message.commentary:
        pieces.append((None, message.commentary))
    pieces += [("dim", f"[picture {image.width}x{image.height}]") for image in message.images]
    if message.text:
        pieces.append((None, message.text))
    pieces += [("cyan", f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}") for call in message.tool_calls]
    if message.usage:
        pieces.append(("dim", ", ".join(f"{name} {value:g}" for name, value in message.usage.items() if value)))
    return pieces
