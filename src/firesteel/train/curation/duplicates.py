"""Exact and near-duplicates, by datatrove's stages: sign, find, drop.

- Exact: one hash of the tidied text; of equal documents the one of the source named first is kept.
- Near: MinHash over 5-grams, 14 buckets of 8 hashes, FineWeb's setting (Penedo et al. 2024, arXiv 2406.17557):
  documents that share 75 % of their n-grams are found with a chance of three in four, at 80 % of nine in ten. Only
  documents that nobody generated: problems of one family resemble each other on purpose.
- Hashes are SHA-1's first 64 bits: datatrove's default, xxhash, refuses text from its version 4 on.
- A task reads one file, which holds one part of one source, so its figures are that source's.
"""

from __future__ import annotations

from pathlib import Path

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.hashing import HashConfig

from firesteel.train.curation.filters import Words
from firesteel.train.curation.stages import Stage, shown, written

_HASH = HashConfig(hash_fc="sha1")
_NEAR = MinhashConfig(hash_config=_HASH)


class Parts(JsonlReader):
    """Task n reads file n of `files`, which are named from `folder`. A part that held nothing has no file."""

    def __init__(self, folder: Path, files: list[str]) -> None:
        super().__init__(str(folder), compression=None, add_file_path=False)
        self.files = files

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """The documents of file `rank`."""
        assert world_size == len(self.files)
        if self.data_folder.isfile(self.files[rank]):
            yield from self.read_files_shard([self.files[rank]])


def exact(out: Path, names: list[str], files: list[str]) -> list[Stage]:
    """The stages that write `scratch/unique`, a file for each of `files`, without equal documents."""
    scratch = out / "scratch"
    order = {name: len(names) - number for number, name in enumerate(names)}
    config = ExactDedupConfig(content_getter=_text, document_priority=_Priority(order), hash_config=_HASH)
    read: list[PipelineStep] = [Parts(scratch, files)]
    signs, found = str(scratch / "exact" / "signs"), str(scratch / "exact" / "found")
    drop = ExactDedupFilter(found, config, exclusion_writer=shown(out, "exact duplicate"))
    return [
        Stage("exact-sign", [*read, ExactDedupSignature(signs, config)], len(files)),
        Stage("exact-find", [ExactFindDedups(signs, found, config)], 1),
        Stage("exact-drop", [*read, drop, written(scratch / "unique")], len(files)),
    ]


def near(out: Path, files: list[str]) -> list[Stage]:
    """The stages that write `scratch/distinct`, a file for each of `files`, without near-duplicates."""
    scratch = out / "scratch"
    read: list[PipelineStep] = [Parts(scratch, files)]
    signs, pairs, found = (str(scratch / "near" / step) for step in ("signs", "pairs", "found"))
    drop = MinhashDedupFilter(found, exclusion_writer=shown(out, "near duplicate"))
    return [
        Stage("near-sign", [*read, MinhashDedupSignature(signs, _NEAR, language=Words())], len(files)),
        Stage("near-pairs", [MinhashDedupBuckets(signs, pairs, config=_NEAR)], _NEAR.num_buckets),
        Stage("near-find", [MinhashDedupCluster(pairs, found, _NEAR)], 1),
        Stage("near-drop", [*read, drop, written(scratch / "distinct")], len(files)),
    ]


def _text(document: Document) -> str:
    return document.text


class _Priority:
    """How early a document's source is named: a class, for it travels to other processes."""

    def __init__(self, order: dict[str, int]) -> None:
        self.order = order

    def __call__(self, document: Document) -> int:
        return self.order[document.metadata["source"]]
