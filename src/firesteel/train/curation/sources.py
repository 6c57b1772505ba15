"""Sources as datatrove blocks: the first of a pipeline, which yields a part's share of a source's documents.

- A part takes every n-th file; where there are fewer files than parts, every part reads all and takes every n-th
  document, so that one big file keeps several workers busy.
- Hugging Face datasets go through datatrove's own reader.
- Generated problems are numbered from 0, below the seeds that evaluations draw (`tasks.base.HELD_OUT`). Families with
  pictures are left out unless a source names them: their questions say nothing without the picture, and training draws
  them anew.
"""

from __future__ import annotations

import bz2
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers import HuggingFaceDatasetReader

from firesteel.tasks import FAMILIES, get, make
from firesteel.train.corpus import open_text, pieces
from firesteel.train.curation import extract
from firesteel.train.curation.recipe import Source

Found = tuple[str, str, dict[str, Any]]  # id, text, metadata


def reader(source: Source, root: Path) -> PipelineStep:
    """The block that reads a source.

    Raises ValueError for a dataset by name without its revision; a missing file is named by `files`.
    """
    if source.kind != "dataset":
        return Read(source, root)
    folder = root / source.path
    adapter = partial(_adapt, template=source.template)
    if (folder / "state.json").exists():
        return HuggingFaceDatasetReader(str(folder), load_from_disk=True, adapter=adapter)
    options = {"split": source.split}
    if not folder.is_dir():
        if not source.revision:
            raise ValueError(
                f"source {source.name!r}: {source.path} is no folder here; to read the dataset of that name, say which "
                f"revision is meant with --set sources.{source.name}.revision=…"
            )
        return HuggingFaceDatasetReader(source.path, options | {"revision": source.revision}, adapter=adapter)
    return HuggingFaceDatasetReader(str(folder), options, adapter=adapter)


def files(source: Source, root: Path) -> list[Path]:
    """The files that a source reads, in order; none for generated ones and for datasets that are named.

    Raises ValueError when the path leads to none.
    """
    if source.generated:
        return []
    path = root / source.path
    if path.is_file():
        return [path]
    pattern = "" if Path(source.path).is_absolute() else source.path
    found = path.rglob("*") if path.is_dir() else root.glob(pattern) if pattern else ()
    listed = sorted(file for file in found if file.is_file() and not file.name.startswith("."))
    if not listed and source.kind != "dataset":
        raise ValueError(
            f"source {source.name!r} finds no file at {path}; name it with --set sources.{source.name}.path=…"
        )
    return listed


def label(path: Path, source: Source, root: Path) -> str:
    """How a file of a source is called: from the source's folder, if it is one."""
    folder = root / source.path
    return path.relative_to(folder).as_posix() if folder.is_dir() else path.name


class Read(PipelineStep):
    """Yields the documents of a source of files or of generated problems."""

    type = "📖 - READER"
    name = "source"

    def __init__(self, source: Source, root: Path) -> None:
        super().__init__()
        self.source, self.root = source, root

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """The share of part `rank` of `world_size`."""
        for identity, text, metadata in self._share(rank, world_size):
            yield Document(text=text, id=identity, metadata=metadata)

    def _share(self, rank: int, world_size: int) -> Iterator[Found]:
        source = self.source
        if source.generated:
            yield from _problems(source, rank, world_size)
            return
        listed = files(source, self.root)
        by_file = len(listed) >= world_size
        number = 0
        for path in listed[rank::world_size] if by_file else listed:
            place = f"{source.name}/{label(path, source, self.root)}"
            for identity, text in _documents(source, path):
                if by_file or number % world_size == rank:
                    yield f"{place}/{identity}", text, {}
                number += 1


class Admit(PipelineStep):
    """Ends a source where its megabytes are read, labels its documents and counts what comes in.

    The document that passes the limit is left out, or cut where it is the first.
    """

    type = "📖 - READER"
    name = "admit"

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """`data` up to this part's share of the source's megabytes (counted in characters)."""
        limit = (self.source.megabytes << 20) // world_size
        read = 0
        for document in data:
            if limit and read + len(document.text) > limit:
                if read:
                    return
                document.text = document.text[:limit]
            read += len(document.text)
            document.metadata["source"] = self.source.name
            self.stat_update("documents")
            self.stat_update("characters", value=len(document.text))
            yield document


def _documents(source: Source, path: Path) -> Iterator[tuple[str, str]]:
    """(id within the file, text) of one file."""
    if source.kind == "wikipedia":
        with bz2.open(path) if path.suffix == ".bz2" else path.open("rb") as stream:
            for identity, title, wikitext in extract.wikipedia_pages(stream):
                yield identity, extract.plain_wikitext(title, wikitext)
    elif source.kind == "wikiextractor":
        with open_text(path) as stream:
            yield from extract.wikiextractor_pages(stream)
    elif source.kind == "jsonl":
        for number, row in enumerate(objects(path)):
            yield str(number), _filled(source.template, row)
    else:
        for number, piece in enumerate(pieces(path)):
            if source.kind == "text":
                yield str(number), piece
            else:
                for cut, passage in enumerate(extract.gutenberg_pieces(piece)):
                    yield f"{number}.{cut}", passage


def objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, or of one JSON array."""
    with open_text(path) as stream:
        first = stream.readline()
        if first.lstrip().startswith("["):
            yield from json.loads(first + stream.read())
            return
        if first.strip():
            yield json.loads(first)
        yield from (json.loads(line) for line in stream if line.strip())


def _filled(template: str, row: dict[str, Any]) -> str:
    """Raises ValueError when the template names a field that the row lacks."""
    try:
        return template.format_map(row)
    except KeyError as error:
        raise ValueError(f"the template {template!r} asks for {error}; a row has: {', '.join(row)}") from error


def _adapt(reader: Any, row: dict[str, Any], path: str, number: int | str, *, template: str) -> dict[str, Any]:
    """A row of a dataset, as datatrove's readers want it."""
    return {"text": _filled(template, row), "id": f"{path}/{number}", "metadata": {}}


def text_families() -> list[str]:
    """Families whose question is all in its words."""
    return [name for name, family in FAMILIES.items() if not family.visual]


def _problems(source: Source, rank: int, world_size: int) -> Iterator[Found]:
    """Worked problems; reasoning-gym's come without their working."""
    for name in source.families or text_families():
        levels = source.levels or tuple(range(1, get(name).levels + 1))
        for number in range(rank, source.samples, world_size):
            problem = make(name, number, levels[number % len(levels)])
            parts = [problem.question, problem.full, f"Answer: {problem.answer}"]
            identity = f"{source.name}/{name}/{number}"
            yield identity, "\n".join(part for part in parts if part), {"question": problem.question}
