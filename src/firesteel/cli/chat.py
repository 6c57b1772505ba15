"""`firesteel chat`: a conversation on one trace."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from firesteel.backends import resolve
from firesteel.backends.base import Backend, Request
from firesteel.cli.ask import user_message
from firesteel.cli.terminal import Printer, complain
from firesteel.agent.turn import Turn
from firesteel.format import Part, Trace, strength_number

HELP = "/image FILE shows a picture with the next question, /strength X, /reset, /quit."


def chat(model: str, strength: str, images: Sequence[Path]) -> None:
    """Reads lines from stdin until it ends or says /quit."""
    with asyncio.Runner() as runner:
        number, pictures = strength_number(strength), [Part.image_of(path) for path in images]
        backend = resolve.open_backend(model, slots=1)
        try:
            _Chat(runner, backend, number, pictures).talk()
        finally:
            runner.run(backend.close())


class _Chat:
    def __init__(self, runner: asyncio.Runner, backend: Backend, strength: int, pictures: list[Part]) -> None:
        self.runner, self.backend, self.strength = runner, backend, strength
        self.pictures = pictures  # for the next question
        self.trace = Trace()

    def talk(self) -> None:
        prompt = ""
        if sys.stdin.isatty():
            with suppress(ImportError):
                import readline  # noqa: F401 (gives `input` a history and the arrow keys)
            print(f"{self.backend.name}. {HELP}")
            prompt = "> "
        while True:
            try:
                line = input(prompt).strip()
                if line == "/quit":
                    return
                self._take(line)
            except EOFError:
                return
            except KeyboardInterrupt:
                print()
            except ValueError as error:
                complain(error)

    def _take(self, line: str) -> None:
        """A command or a question. Raises ValueError for one that cannot be followed."""
        command, _, value = line.partition(" ")
        if command == "/image":
            self.pictures.append(Part.image_of(Path(value.strip()).expanduser()))
        elif command == "/strength":
            self.strength = strength_number(value)
        elif command == "/reset":
            self.trace, self.pictures = Trace(), []
        elif line.startswith("/"):
            raise ValueError(f"There is no command {command}. {HELP}")
        elif line:
            self._ask(line)

    def _ask(self, text: str) -> None:
        """One turn. It is remembered as far as it got, unless it got to no answer at all."""
        question = user_message(text, self.pictures)
        printer = Printer()
        turn = Turn(printer.show)
        request = Request(messages=[*self.trace, question], strength=self.strength, temperature=0)
        try:
            self.runner.run(turn.run(self.backend, request))
        finally:
            said = turn.close()
            printer.end()
            if said.answer:
                self.trace.append(question)
                self.trace.append(said.message())
                self.pictures = []
