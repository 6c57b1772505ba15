"""`firesteel chat`: a conversation on one trace."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from itertools import count
from os.path import expanduser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from firesteel.agent.mind import Mind
from firesteel.agent.toolbox import toolbox
from firesteel.backends import Backend, resolve
from firesteel.cli.ask import user_message
from firesteel.cli.terminal import Printer, complain
from firesteel.format import Part, Trace

if TYPE_CHECKING:
    from firesteel.agent.mcp import Servers

_FAR = "mcp:"
HELP = "/image FILE shows a picture with the next question, /strength X, /mode X, /reset, /quit."


def chat(model: str, mind: Mind, images: Sequence[Path], tools: Sequence[str] = (), file: Path | None = None) -> None:
    """Reads lines from stdin until it ends or says /quit. With `file` the conversation in it goes on.

    Files lie beside it, else in a temporary folder; /reset begins another conversation, with a file and files of its
    own.
    """
    with asyncio.Runner() as runner, TemporaryDirectory(prefix="firesteel-") as folder:
        pictures = [Part.image_of(path) for path in images]
        trace = Trace.open(file) if file else Trace()
        far = [tool.removeprefix(_FAR) for tool in tools if tool.startswith(_FAR)]
        servers = _servers(far) if far else None
        backend = resolve.open_backend(model, slots=mind.plan.agents)
        try:
            near = [tool for tool in tools if not tool.startswith(_FAR)]
            _Chat(runner, backend, mind, near, servers, trace, pictures, Path(folder)).talk()
        finally:
            try:
                if servers:
                    runner.run(servers.close())
            finally:
                runner.run(backend.close())


def _servers(addresses: Sequence[str]) -> Servers:
    from firesteel.agent.mcp import Servers  # only where it is wanted: it takes a while

    return Servers(*addresses)


class _Chat:
    def __init__(
        self,
        runner: asyncio.Runner,
        backend: Backend,
        mind: Mind,
        tools: list[str],
        servers: Servers | None,
        trace: Trace,
        pictures: list[Part],
        folder: Path,
    ) -> None:
        self.runner, self.backend, self.mind, self.trace = runner, backend, mind, trace
        self.tools, self.servers = tools, servers
        self.pictures = pictures  # for the next question
        self.file, self.folder = trace.path, folder
        self.number = 1  # of the conversation

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
            self.pictures.append(Part.image_of(Path(expanduser(value.strip()))))
        elif command == "/strength":
            self.mind = replace(self.mind, strength=value.strip())
        elif command == "/mode":
            self.mind = replace(self.mind, mode=value.strip())
        elif command == "/reset":
            self._reset()
        elif line.startswith("/"):
            raise ValueError(f"There is no command {command}. {HELP}")
        elif line:
            self._ask(line)

    def _reset(self) -> None:
        """Another conversation. A trace is one conversation, so what is in a file stays there."""
        self.number += 1
        path = self.trace.path
        if self.file and path and path.exists():
            others = (self.file.with_stem(f"{self.file.stem}-{number}") for number in count(2))
            path = next(other for other in others if not other.exists())
            complain(f"{self.trace.path} keeps what was said; what follows goes to {path}.")
        self.trace, self.pictures = Trace(path=path), []

    def _ask(self, text: str) -> None:
        """One answer. It is remembered as far as it got, unless it got to no answer at all."""
        trial = Trace([*self.trace, user_message(text, self.pictures)])
        printer = Printer()
        try:
            self.runner.run(self._answer(trial, printer))
        finally:
            printer.end()
            last = trial.messages[-1]
            if last.role == "assistant" and last.text:
                for message in trial.messages[len(self.trace) :]:
                    self.trace.append(message)
                self.pictures = []

    async def _answer(self, trace: Trace, printer: Printer) -> None:
        """The tools are opened for each question: a browser trusts what the user has written by then, and strength and
        mode may have changed. Files and MCP servers stay."""
        path = self.trace.path
        folder = path.with_suffix(".files") if path else self.folder / str(self.number)
        far = await self.servers.tools() if self.servers else []
        async with (
            toolbox(self.tools, trace, self.backend, self.mind, complain, folder, far) as tools,
            aclosing(self.mind.answer(trace, self.backend, tools)) as events,
        ):
            async for event in events:
                printer.show(event)
