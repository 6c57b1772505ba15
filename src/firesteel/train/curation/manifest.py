"""`manifest.json`: what a corpus is made of, counted.

- Counts come from the figures that datatrove keeps of every finished task, so they survive a build in several sittings.
- It holds no time, host or output path: the same recipe writes the same bytes.
- "in" is counted in documents and characters only: tokens exist for what was kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from firesteel.format import Tokenizer
from firesteel.train.corpus import MANIFEST
from firesteel.train.curation.pack import Encoded, Mixture, Packed
from firesteel.train.curation.recipe import Recipe, Source
from firesteel.train.curation.sources import files, label

_PACKAGES = ("firesteel", "datatrove", "mwparserfromhell", "numpy", "py3langid", "tokenizers")


def inputs(source: Source, root: Path) -> list[dict[str, Any]]:
    """Name, size and hash of every file that a source reads."""
    return [
        {"file": label(path, source, root), "bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in files(source, root)
    ]


def counts(logs: Path, tasks: range) -> list[Counter[str]]:
    """The summed figures of each block of a stage over some of its tasks; `logs` is the stage's."""
    summed: list[Counter[str]] = []
    for task in tasks:
        blocks = json.loads((logs / "stats" / f"{task:05d}.json").read_text(encoding="utf-8"))
        summed = summed or [Counter() for _ in blocks]
        for counter, block in zip(summed, blocks, strict=True):
            for key, value in block["stats"].items():
                counter[key] += int(value["total"] if isinstance(value, dict) else value)
    return summed


def dropped(figures: list[Counter[str]], labels: list[str]) -> dict[str, dict[str, int]]:
    """Filter -> reason -> documents; `labels` name the blocks."""
    found: dict[str, dict[str, int]] = {}
    for name, block in zip(labels, figures, strict=True):
        reasons = {key[8:]: n for key, n in block.items() if key.startswith("dropped_") and n}
        if not reasons and block.get("dropped"):
            reasons = {"duplicate": block["dropped"]}
        if reasons:
            found[name] = dict(sorted(reasons.items()))
    return found


def kept(mix: Mixture, parts: list[Encoded], number: int, tasks: int) -> dict[str, Any]:
    """What source `number` gives: documents and tokens that were kept, and what the mixture makes of them."""
    own = parts[number * tasks : (number + 1) * tasks]
    mine = mix.source == number
    tokens = int((mix.end - mix.start)[mine].sum())
    return {
        "documents": sum(len(part.ends) for part in own),
        "tokens": sum(len(part.ids) for part in own),
        "mixture": {
            "documents": int(np.count_nonzero(mine)),
            "tokens": tokens,
            "share": round(tokens / max(1, int((mix.end - mix.start).sum())), 4),
        },
    }


def evaluation_sets(asked: Path) -> list[dict[str, Any]]:
    """How many questions of each set were kept out, and how many are too short to be looked for in prose."""
    from firesteel.train.curation.contamination import SHORTEST, words

    sets: dict[str, Counter[str]] = {}
    with asked.open(encoding="utf-8") as stream:
        for name, question in map(json.loads, stream):
            sets.setdefault(name, Counter()).update(questions=1, short=int(len(words(question)) < SHORTEST))
    return [{"set": name, "questions": n["questions"], "too_short_for_prose": n["short"]} for name, n in sets.items()]


def write(recipe: Recipe, sources: list[dict[str, Any]], shards: list[Packed], out: Path) -> None:
    """Writes the manifest, last of all: where it stands the corpus is complete."""
    tokenizer = out / "tokenizer" / "tokenizer.json"
    asked = out / "scratch" / "asked.jsonl"
    described = {
        "name": recipe.name,
        "documents": sum(shard.documents for shard in shards),
        "tokens": sum(shard.tokens for shard in shards),
        "sources": sources,
        "evaluation": {"sha256": sha256(asked), "sets": evaluation_sets(asked)},
        "tokenizer": {
            "sha256": sha256(tokenizer),
            "vocabulary": Tokenizer(tokenizer).vocab_size,
            "origin": recipe.tokenizer or "learnt from the mixture",
        },
        "shards": [dataclasses.asdict(shard) for shard in shards],
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        "recipe": settings(recipe),
    }
    temporary = out / "manifest.tmp"
    temporary.write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(out / MANIFEST)


def settings(recipe: Recipe) -> dict[str, Any]:
    """The recipe without what changes no byte: where the files lie and where the stages run."""
    return {key: value for key, value in dataclasses.asdict(recipe).items() if key not in ("root", "executor")}


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
