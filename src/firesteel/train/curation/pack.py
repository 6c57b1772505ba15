"""Documents to token shards: the tokenizer, the encoding, the mixture.

- The vocabulary is learnt from a random sample of the mixture, each source by its weight, or given.
- Every document begins with `<|begin_of_text|>`; control strings in a text are spelt out in ordinary tokens, so that no
  document can forge one.
- Documents are repeated by their source's weight, shuffled once over all sources and cut into shards between documents.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.tokens import DocumentTokenizer
from tokenizers.processors import TemplateProcessing

from firesteel.format import Tokenizer
from firesteel.train.curation.recipe import Recipe
from firesteel.train.tokenizer import train_tokenizer, write_companions

BEGIN = "<|begin_of_text|>"


class Vocabulary(PipelineStep):
    """Writes `out/tokenizer`; `files` are the kept documents, `recipe.tasks` of each active source in turn."""

    type = "🔢 - TOKENIZER"
    name = "vocabulary"

    def __init__(self, recipe: Recipe, out: Path, files: list[str]) -> None:
        super().__init__()
        self.recipe, self.out, self.files = recipe, out, files

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> None:
        """Learns or copies."""
        folder = self.out / "tokenizer"
        if not self.recipe.tokenizer:
            train_tokenizer(self._sample(), self.recipe.vocab_size, out=folder)
            return
        given = given_tokenizer(self.recipe)
        folder.mkdir(exist_ok=True)
        (folder / "tokenizer.json").write_bytes(given.path.read_bytes())
        write_companions(folder, first_special=given.id(BEGIN))

    def _sample(self) -> Iterator[str]:
        paths = [self.out / "scratch" / file for file in self.files]
        weights = [source.weight for source in self.recipe.active for _ in range(self.recipe.tasks)]
        there = [(path, weight) for path, weight in zip(paths, weights, strict=True) if path.exists()]
        share = (self.recipe.tokenizer_megabytes << 20) / max(1, sum(p.stat().st_size * w for p, w in there))
        rng = random.Random(f"{self.recipe.seed}/vocabulary")
        for path, weight in there:
            with path.open(encoding="utf-8") as stream:
                yield from (json.loads(line)["text"] for line in stream if rng.random() < share * weight)


class Encode(DocumentTokenizer):
    """Writes a task's documents as 16-bit ids, with the ends of the documents beside them."""

    name = "encode"

    def __init__(self, out: Path) -> None:
        path = str(out / "tokenizer" / "tokenizer.json")
        super().__init__(
            str(out / "scratch" / "tokens"), path, shuffle_documents=False, save_final_metadata=False, batch_size=1000
        )

    @cached_property
    def tokenizer(self) -> tokenizers.Tokenizer:
        tokenizer = tokenizers.Tokenizer.from_file(self.tokenizer_name_or_path)
        tokenizer.encode_special_tokens = True
        begin = (BEGIN, tokenizer.token_to_id(BEGIN))
        tokenizer.post_processor = TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[begin])
        return tokenizer


@dataclass(frozen=True)
class Encoded:
    """The tokens of one part of one source: (tokens,) ids, (documents,) where each document ends."""

    ids: np.ndarray
    ends: np.ndarray


def encoded(out: Path, part: int) -> Encoded:
    """What task `part` of the stage "encode" wrote."""
    path = out / "scratch" / "tokens" / f"{part:05d}_unshuffled.ds"
    return Encoded(np.fromfile(path, "<u2"), np.fromfile(f"{path}.index", "<u8").astype(np.int64))


@dataclass(frozen=True)
class Packed:
    """A shard as the manifest describes it."""

    file: str
    documents: int
    tokens: int
    sha256: str


@dataclass(frozen=True)
class Mixture:
    """(n,) arrays over the documents of the corpus in their order: source, part file, first token, past the last."""

    source: np.ndarray
    part: np.ndarray
    start: np.ndarray
    end: np.ndarray


def mixture(recipe: Recipe, parts: list[Encoded]) -> Mixture:
    """Every source's documents as often as its weight says, in one shuffle that only the recipe's seed decides."""
    rng = np.random.default_rng(recipe.seed)
    columns: list[np.ndarray] = []
    for number, source in enumerate(recipe.active):
        rows = []
        for part in range(number * recipe.tasks, (number + 1) * recipe.tasks):
            ends = parts[part].ends
            starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
            rows.append(np.stack([np.full_like(ends, number), np.full_like(ends, part), starts, ends]))
        own = np.concatenate(rows, axis=1)
        passes, rest = divmod(source.weight, 1)
        some = rng.permutation(own.shape[1])[: round(rest * own.shape[1])]
        columns += [own] * int(passes) + [own[:, some]]
    table = np.concatenate(columns, axis=1)
    return Mixture(*table[:, rng.permutation(table.shape[1])])


def write_shards(recipe: Recipe, mix: Mixture, parts: list[Encoded], out: Path) -> list[Packed]:
    """Writes `tokens-00000.npy`, …: (tokens,) uint16, whole documents.

    A shard holds at most `recipe.shard_tokens`, unless one document is longer.
    """
    packed: list[Packed] = []
    rows: list[np.ndarray] = []
    size = 0
    for part, start, end in zip(mix.part.tolist(), mix.start.tolist(), mix.end.tolist(), strict=True):
        if rows and size + end - start > recipe.shard_tokens:
            packed.append(_write(out / f"tokens-{len(packed):05d}.npy", rows))
            rows, size = [], 0
        rows.append(parts[part].ids[start:end])
        size += end - start
    if rows:
        packed.append(_write(out / f"tokens-{len(packed):05d}.npy", rows))
    return packed


def given_tokenizer(recipe: Recipe) -> Tokenizer:
    """The tokenizer that the recipe names. Raises ValueError where it is none or its ids do not fit 16 bits."""
    tokenizer = Tokenizer(Path(recipe.root) / recipe.tokenizer)
    if tokenizer.vocab_size > 1 << 16:
        raise ValueError(
            f"{tokenizer.path} has {tokenizer.vocab_size:,} ids; shards hold 16-bit tokens, at most 65,536"
        )
    return tokenizer


def _write(path: Path, rows: list[np.ndarray]) -> Packed:
    ids = np.concatenate(rows)
    np.save(path, ids)
    return Packed(path.name, len(rows), len(ids), hashlib.sha256(path.read_bytes()).hexdigest())
