"""`firesteel data build`: a `Recipe` in, a directory with token shards, their tokenizer and a manifest out.

    OUT/manifest.json       what it is made of; where it stands the corpus is complete
    OUT/tokens-00000.npy …  uint16 ids, `<|begin_of_text|>` before each document; `corpus.shards` maps them
    OUT/tokenizer/          what made the ids
    OUT/dropped/            the beginning of every dropped document, by source and filter
    OUT/scratch/            what lies between the stages, their logs and figures; may be deleted afterwards

Order: read, tidy, filter, keep evaluations out, exact duplicates, near-duplicates, vocabulary, encode, pack. A
directory belongs to one recipe and one state of its inputs; the same command goes on where a build was stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from datatrove.data import DocumentsPipeline
from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.base import PipelineStep

from firesteel.train.curation import duplicates, filters, manifest, pack
from firesteel.train.curation.contamination import Contamination, Questions
from firesteel.train.curation.duplicates import Parts
from firesteel.train.curation.recipe import Recipe, Source
from firesteel.train.curation.sources import Admit, reader
from firesteel.train.curation.stages import Stage, executor, shown, written

Progress = Callable[[str, int, int], None]


def build(recipe: Recipe, out: Path, on_stage: Progress = lambda name, number, total: None) -> None:
    """Runs every stage that is not finished (Slurm: submits them all). `on_stage(name, number, total)` tells which.

    Raises ValueError when a source does not exist, and when `out` belongs to another recipe or to inputs that changed.
    """
    out = out.resolve()
    recipe = dataclasses.replace(recipe, root=str(Path(recipe.root).resolve()))  # stages may run elsewhere
    out.mkdir(parents=True, exist_ok=True)
    if recipe.tokenizer:
        pack.given_tokenizer(recipe)
    _claim(recipe, out / "recipe.json")
    (out / "scratch").mkdir(exist_ok=True)
    with _logged(out / "scratch" / "log.txt"):
        planned = stages(recipe, out)
        before: PipelineExecutor | None = None
        for number, stage in enumerate(planned, 1):
            on_stage(stage.name, number, len(planned))
            before = executor(recipe.executor, stage, out / "scratch" / "logs", before)
            before.run()


def stages(recipe: Recipe, out: Path) -> list[Stage]:
    """The whole build, in order."""
    names = [source.name for source in recipe.active]
    tasks, scratch = recipe.tasks, out / "scratch"
    gathering = [gather(source, recipe, out) for source in recipe.active]
    files = [f"read/{name}/{part:05d}.jsonl" for name in names for part in range(tasks)]
    planned = [Stage("questions", [Questions(recipe, scratch / "asked.jsonl")], 1), *gathering]
    planned += duplicates.exact(out, names, files)
    files = [f"unique/{number:05d}.jsonl" for number in range(len(files))]
    prose = [number for number in range(len(files)) if not recipe.active[number // tasks].generated]
    if prose:
        planned += duplicates.near(out, [files[number] for number in prose])
        for place, number in enumerate(prose):
            files[number] = f"distinct/{place:05d}.jsonl"
    planned.append(Stage("vocabulary", [pack.Vocabulary(recipe, out, files)], 1))
    planned.append(Stage("encode", [Parts(scratch, files), pack.Encode(out)], len(files)))
    planned.append(Stage("pack", [Pack(recipe, out)], 1))
    return planned


def gather(source: Source, recipe: Recipe, out: Path) -> Stage:
    """The stage that reads and filters one source."""
    scratch = out / "scratch"
    asked = Contamination(scratch / "asked.jsonl", source.generated, shown(out, "evaluation"))
    steps: list[PipelineStep] = [
        reader(source, Path(recipe.root)),
        Admit(source),
        filters.Clean(),
        *(filters.make(name, shown(out, name)) for name in prose_filters(source)),
        asked,
        written(scratch / "read" / source.name),
    ]
    return Stage(f"read-{source.name}", steps, recipe.tasks)


def prose_filters(source: Source) -> tuple[str, ...]:
    """The filters of a source: none for what our programs wrote."""
    return () if source.generated else source.filters


class Pack(PipelineStep):
    """The last stage: shards and manifest, from what all others left."""

    type = "🔢 - TOKENIZER"
    name = "pack"

    def __init__(self, recipe: Recipe, out: Path) -> None:
        super().__init__()
        self.recipe, self.out = recipe, out

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> None:
        """Writes the shards, then the manifest."""
        recipe = self.recipe
        parts = [pack.encoded(self.out, part) for part in range(len(recipe.active) * recipe.tasks)]
        mix = pack.mixture(recipe, parts)
        packed = pack.write_shards(recipe, mix, parts, self.out)
        claimed = json.loads((self.out / "recipe.json").read_text(encoding="utf-8"))["inputs"]
        sources = []
        for number, source in enumerate(recipe.active):
            figures = self._figures(source, number)
            came_out = manifest.kept(mix, parts, number, recipe.tasks)
            lost = sum(sum(reasons.values()) for reasons in figures["dropped"].values())
            assert figures["in"]["documents"] - lost == came_out["documents"], f"{source.name}: counts do not add up"
            described = {key: getattr(source, key) for key in ("name", "kind", "licence", "attribution", "weight")}
            sources.append(described | {"inputs": claimed[source.name]} | figures | {"out": came_out})
        manifest.write(recipe, sources, packed, self.out)

    def _figures(self, source: Source, number: int) -> dict[str, Any]:
        """Documents and characters that came in, and what was dropped by which filter for which reason."""
        recipe, logs = self.recipe, self.out / "scratch" / "logs"
        labels = ["reader", "admit", "clean", *prose_filters(source), "evaluation", "writer"]
        read = manifest.counts(logs / f"read-{source.name}", range(recipe.tasks))
        own = range(number * recipe.tasks, (number + 1) * recipe.tasks)
        drops = manifest.dropped(read, labels)
        block = ["reader", "exact duplicate", "writer"]
        drops |= manifest.dropped(manifest.counts(logs / "exact-drop", own), block)
        if not source.generated:
            place = sum(not other.generated for other in recipe.active[:number]) * recipe.tasks
            block[1] = "near duplicate"
            near = manifest.counts(logs / "near-drop", range(place, place + recipe.tasks))
            drops |= manifest.dropped(near, block)
        came_in = {key: read[1][key] for key in ("documents", "characters")}
        return {"in": came_in, "dropped": drops}


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    """datatrove logs every task to the terminal; here this process and those that it starts write to a file instead."""
    terminal = os.dup(2)
    try:
        with path.open("ab") as log:
            os.dup2(log.fileno(), 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _claim(recipe: Recipe, path: Path) -> None:
    """A directory holds one corpus: stages of two recipes, or of two states of a file, must not meet in it."""
    root = Path(recipe.root)
    named = (*recipe.evaluation_files, *([recipe.tokenizer] if recipe.tokenizer else []))
    claim = {
        "recipe": manifest.settings(recipe),
        "inputs": {source.name: manifest.inputs(source, root) for source in recipe.active},
        "named": {name: manifest.sha256(root / name) for name in named},
    }
    text = json.dumps(claim, indent=1, ensure_ascii=False) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path.parent} belongs to another recipe, or its sources have changed; choose another --out")
    path.write_text(text, encoding="utf-8")
