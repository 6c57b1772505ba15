"""The tools of a conversation's working folder: run Python, view and edit files, search them, make a web artifact.

Names and parameters are those of the published harness; view, insert and str_replace have the shape of the well known
text editor. Python is there only if a sandbox is: without a tier there is no tool. Pictures that the code made or
changed come back as pictures, a few and not large. Paths are told as the code sees them.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from firesteel.agent.files import CONTAINER, locate, read_file, write_file
from firesteel.agent.sandbox import Limits, Result, Sandbox
from firesteel.agent.sandbox.supervise import DEEPEST, hidden, survey
from firesteel.agent.tools import Reply, Tool, tool
from firesteel.format import Part, load_image

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
MOST_PICTURES, MAX_SIDE, MAX_PIXELS = 4, 1024, 16_000_000
PICTURE_BYTES, TEXT_BYTES = 32 << 20, 2 << 20
SHOWN_CHARS, LINE_CHARS = 16_000, 2_000
EXCERPT_LINES, EXCERPT_CHARS, SEARCHED_BYTES = 20, 1_200, 32 << 20


class Workspace:
    """The working folder of one conversation, and the tools on it. The folder is made if it is not there."""

    def __init__(self, folder: Path, sandbox: Sandbox | None, limits: Limits | None = None) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self.sandbox, self.limits = folder.resolve(), sandbox, limits or Limits()
        self._changing = asyncio.Lock()  # one run or edit at a time: no edit is lost, what a run wrote is its own

    def tools(self) -> list[Tool]:
        """The tools; without `python_execution` if there is no sandbox."""
        reading = [_tool(method) for method in (self.view, self.file_search)]
        writing = [self._alone(method) for method in (self.insert, self.str_replace, self.create_web_artifact)]
        return [*([self._python(self.sandbox)] if self.sandbox else []), *reading, *writing]

    def _alone(self, method: Callable[..., str]) -> Tool:
        made = _tool(method)

        async def wait_and_write(**arguments: Any) -> Reply:
            async with self._changing:
                return await made.handler(**arguments)

        return replace(made, handler=wait_and_write, parallel_safe=False)

    def _python(self, sandbox: Sandbox) -> Tool:
        places = f"in {sandbox.sees}" if sandbox.sees else "in the working directory (use relative paths)"

        async def python_execution(code: str) -> Reply:
            return await self.python(sandbox, code)

        python_execution.__doc__ = (
            f"Runs Python code and returns what it prints, the value of a last expression and its figures. "
            f"Each run is a new process; files stay, {places}. No network, no other files, no subprocesses; "
            f"{self.limits.wall_s:g} s, {self.limits.memory_mib} MiB. Sandbox: {sandbox.name}."
            "\n\ncode: the code of one run"
        )
        return tool(name="container.python_execution")(python_execution)

    async def python(self, sandbox: Sandbox, code: str) -> Reply:
        async with self._changing:
            result = await sandbox.run(code, self.folder, self.limits)
        return await asyncio.to_thread(self._told, result)

    def view(self, path: str, view_range: list[int] | None = None) -> Reply:
        """Shows a text file with line numbers, a picture, or the names in a folder.

        path: the file or folder
        view_range: the first and last line, counted from 1; -1 is the end
        """
        inside = locate(path, self.folder)
        if (self.folder / inside).is_dir():
            return self._listing(inside)
        if inside.lower().endswith(PICTURES):
            return self._picture(inside)
        lines = self._text(inside).splitlines()
        first, last = view_range if view_range and len(view_range) == 2 else (1, -1)
        last = len(lines) if last == -1 else min(last, len(lines))
        if (view_range and len(view_range) != 2) or first < 1 or (lines and first > last):
            raise ValueError(f"view_range must be two line numbers from 1 to {len(lines)}, the second may be -1.")
        return _numbered(lines[first - 1 : last], first) or f"{inside} is empty."

    def insert(self, path: str, insert_line: int, new_str: str = "", insert_text: str = "") -> str:
        """Inserts text after a line of a text file. At line 0 it may be a file that does not exist yet.

        path: the file
        insert_line: the number of the line after which the text goes; 0 is the beginning
        new_str: the text
        insert_text: another name of new_str
        """
        inside, text = locate(path, self.folder), new_str or insert_text
        new = insert_line == 0 and not (self.folder / inside).exists()
        lines = [] if new else self._text(inside).splitlines(keepends=True)
        if not 0 <= insert_line <= len(lines):
            raise ValueError(f"insert_line must be from 0 to {len(lines)}, the number of lines of {inside}.")
        if insert_line and not lines[insert_line - 1].endswith("\n"):
            lines[insert_line - 1] += "\n"
        text += "" if text.endswith("\n") else "\n"
        lines.insert(insert_line, text)
        self._write(inside, "".join(lines))
        return _around("".join(lines), insert_line + 1, text.count("\n"))

    def str_replace(self, path: str, old_str: str, new_str: str = "") -> str:
        """Replaces a piece of a text file that occurs exactly once.

        path: the file
        old_str: the piece, with as much around it as makes it unique
        new_str: what takes its place; empty to delete it
        """
        inside = locate(path, self.folder)
        text = self._text(inside)
        found = [match.start() for match in re.finditer(re.escape(old_str), text)] if old_str else []
        if len(found) != 1:
            lines = ", ".join(str(text.count("\n", 0, start) + 1) for start in found[:10])
            often = f"occurs {len(found)} times, in the lines {lines}" if found else "does not occur"
            raise ValueError(f"old_str must occur exactly once in {inside}; it {often}.")
        text = text[: found[0]] + new_str + text[found[0] + len(old_str) :]
        self._write(inside, text)
        return _around(text, text.count("\n", 0, found[0]) + 1, new_str.count("\n") + 1)

    def file_search(self, queries: list[str], top_k: int = 8) -> str:
        """Searches the text files of the conversation and returns the excerpts that fit the queries best.

        queries: one or several; words, not patterns
        top_k: how many excerpts
        """
        excerpts = list(self._excerpts())
        index = sqlite3.connect(":memory:")
        index.execute("CREATE VIRTUAL TABLE texts USING fts5(words, tokenize='porter')")
        rows = ((row, " ".join(_words(f"{path} {text}"))) for row, (path, _, text) in enumerate(excerpts))
        index.executemany("INSERT INTO texts (rowid, words) VALUES (?, ?)", rows)
        best: dict[int, float] = {}
        for words in filter(None, map(_words, queries)):
            wanted = " OR ".join(f'"{word}"' for word in dict.fromkeys(words))
            for row, rank in index.execute("SELECT rowid, rank FROM texts WHERE texts MATCH ?", (wanted,)):
                best[row] = min(rank, best.get(row, 0.0))
        index.close()
        ranked = [excerpts[row] for row in sorted(best, key=best.__getitem__)[: max(1, min(top_k, 32))]]
        shown = [f"{self._shown(path)}, from line {start}:\n{text}" for path, start, text in ranked]
        return "\n\n".join(shown) or f"Nothing in {len({path for path, *_ in excerpts})} text files fits the queries."

    def create_web_artifact(
        self, kind: Literal["html", "svg"], title: str, content: str = "", filename: str = ""
    ) -> str:
        """Makes a page or drawing that the user sees in a closed frame, from `content` or from a file that is there.

        kind: html or svg
        title: what the user reads above it
        content: the whole document; leave it out to show the file `filename`
        filename: its name in the working folder; by default made from the title
        """
        name = filename or re.sub(r"\W+", "-", title.lower()).strip("-")[:60] or "artifact"
        inside = locate(name if name.lower().endswith(f".{kind}") else f"{name}.{kind}", self.folder)
        text = content or self._text(inside)
        if ("<svg" if kind == "svg" else "<") not in text.lower():
            raise ValueError(f"{inside} holds no {kind}.")
        if content:
            self._write(inside, content)
        return f"[{re.sub(r'[][]', '', ' '.join(title.split()))}](container://{CONTAINER}/{urllib.parse.quote(inside)})"

    def _told(self, result: Result) -> Reply:
        """A run as the model reads it."""
        pieces = [result.stdout.rstrip(), result.stderr.rstrip()]
        if result.stopped:
            pieces.append(f"The run was stopped. {result.stopped}")
        elif result.exit_code:
            pieces.append(f"Exit status {result.exit_code}.{_why(result.exit_code, self.limits)}")
        if result.changed:
            names = [self._shown(path) for path in result.changed]
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            pieces.append(f"Files written: {', '.join(names[:20])}{more}.")
        pictures = []
        for path in [path for path in result.changed if path.lower().endswith(PICTURES)][:MOST_PICTURES]:
            try:
                pictures.append(self._picture(path))
            except ValueError as error:
                pieces.append(_one_line(str(error)))
        return ["\n".join(piece for piece in pieces if piece) or "It ran without output.", *pictures]

    def _shown(self, inside: str) -> str:
        return _one_line(f"{self.sandbox.sees}/{inside}" if self.sandbox and self.sandbox.sees else inside)

    def _listing(self, inside: str) -> str:
        files = sorted(survey(self.folder, self.limits.files).files.items())
        start = f"{inside}/" if inside else ""
        kept = [(path, about) for path, about in files if path.startswith(start) and not hidden(path)]
        lines = [f"{self._shown(path)} ({size:,} bytes)" for path, (_, size, _) in kept]
        return "\n".join(lines)[:SHOWN_CHARS] or "There are no files."

    def _picture(self, inside: str) -> Part:
        """Raises ValueError for a file that is no picture, or a huge one."""
        data = read_file(self.folder, inside, PICTURE_BYTES)
        try:
            image = load_image(data, MAX_PIXELS)
        except ValueError as error:
            raise ValueError(f"{inside}: {error}") from error
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        return Part(image=image)

    def _text(self, inside: str) -> str:
        data = read_file(self.folder, inside, TEXT_BYTES)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{inside} is not a text file (UTF-8).") from error

    def _write(self, inside: str, text: str) -> None:
        data = text.encode("utf-8", errors="replace")
        if len(data) > TEXT_BYTES:
            raise ValueError(f"{inside} would have {len(data):,} bytes, more than {TEXT_BYTES:,}.")
        above = inside.count("/")
        if above > DEEPEST:
            raise ValueError(f"{inside} lies more than {DEEPEST} folders deep.")
        if survey(self.folder, self.limits.files - above - 1).size + len(data) > self.limits.folder_mib << 20:
            raise ValueError(f"The working folder is full: it may hold {self.limits.folder_mib} MiB.")
        write_file(self.folder, inside, data)

    def _excerpts(self) -> Iterator[tuple[str, int, str]]:
        """(path, first line, text) of pieces of all text files, as many as are read in reasonable time."""
        budget = SEARCHED_BYTES
        for path, (_, size, _) in sorted(survey(self.folder, self.limits.files).files.items()):
            if hidden(path) or size > min(TEXT_BYTES, budget):
                continue
            try:
                lines = self._text(path).splitlines()
            except ValueError:  # a link, or no text: not something to search
                continue
            budget -= size
            for start in range(0, len(lines), EXCERPT_LINES):
                yield path, start + 1, "\n".join(lines[start : start + EXCERPT_LINES])[:EXCERPT_CHARS]


def _tool(method: Callable[..., Reply]) -> Tool:
    return tool(name=f"container.{method.__name__}")(method)


def _one_line(text: str) -> str:
    """A name as it can be shown: it may hold line ends, a terminal's control characters, bytes that are no UTF-8."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def _words(text: str) -> list[str]:
    """Words in small letters; Chinese and Japanese, written without spaces, character by character."""
    return re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+", text.lower())


def _numbered(lines: list[str], first: int) -> str:
    """Lines with their numbers, as many as fit."""
    shown, room = [], SHOWN_CHARS
    for number, line in enumerate(lines, start=first):
        cut = line if len(line) <= LINE_CHARS else f"{line[:LINE_CHARS]} [… {len(line) - LINE_CHARS:,} characters]"
        room -= len(cut) + 8
        if room < 0:
            shown.append(f"[… the lines {number} to {first + len(lines) - 1}: use view_range]")
            break
        shown.append(f"{number:6}\t{cut}")
    return "\n".join(shown)


def _around(text: str, first: int, count: int, margin: int = 3) -> str:
    """What an edit made, with a few lines around it."""
    start = max(1, first - margin)
    return "The file now reads:\n" + _numbered(text.splitlines()[start - 1 : first + count - 1 + margin], start)


def _why(exit_code: int, limits: Limits) -> str:
    if exit_code in (-9, 137):
        return f" It was killed: it used more than {limits.cpu_s} s of CPU time, or the machine ran out of memory."
    if exit_code in (-31, 159):
        return " It was killed: it made a system call that the sandbox refuses."
    return " It crashed." if exit_code < 0 or exit_code > 128 else ""
