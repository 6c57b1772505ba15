"""What the commands write to the terminal: a turn as it grows, and complaints."""

from __future__ import annotations

import sys

from rich.console import Console

from firesteel.agent import Event
from firesteel.cli.lanes import Lanes, harmless
from firesteel.cli.pictures import drawn
from firesteel.format import Message

_SHOWN = ("reasoning", "commentary", "content", "tool_call", "tool_finished", "vote")
_RESULT = 600  # characters of a tool's result that are shown


def complain(error: Exception | str) -> None:
    """One sentence on stderr, which may quote a model."""
    if isinstance(error, OSError) and error.strerror:
        error = f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    print("firesteel:", harmless(" ".join(str(error).split())), file=sys.stderr)


class Printer:
    """Shows the events of a run on stdout: thoughts dim, a blank line, the answer. Only a terminal gets colours.

    Agents beneath the run have lanes on a terminal and are silent elsewhere.
    """

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._lanes = Lanes(self._console)
        self._kind = ""
        self._last = ""

    def show(self, event: Event) -> None:
        if event.agent and event.kind != "vote":
            return self._lanes.show(event)
        if event.kind in ("error", "limit"):
            return complain(event.text)
        if event.kind not in _SHOWN:
            return None
        text = event.text
        if event.kind == "vote":
            self._lanes.end()
        elif event.kind == "tool_finished" and event.message:
            text = _result(event.message)
        elif event.call is not None:
            text = f"{event.call.name} {event.call.arguments}"
        if event.kind != self._kind:
            self._out("\n" * (self._last != "\n") + "\n" if self._kind else "", "")
            self._kind = event.kind
        self._out(text, "" if event.kind in ("content", "vote") else "dim")
        if event.kind == "tool_finished" and event.message and self._console.is_terminal:
            for image in event.message.images:
                self._console.file.write("\n" + drawn(image))

    def end(self) -> None:
        """Ends the last line."""
        self._lanes.end()
        if self._kind and self._last != "\n":
            self._out("\n", "")

    def _out(self, text: str, style: str) -> None:
        if self._console.is_terminal:
            text = harmless(text)
        if text:
            self._console.out(text, style=style or None, end="", highlight=False)
            self._last = text[-1]


def _result(message: Message) -> str:
    text = message.text if len(message.text) <= _RESULT else message.text[:_RESULT] + " …"
    sizes = [f"[picture {image.width}x{image.height}]" for image in message.images]
    return "\n".join([text, *sizes] if text else sizes)
