"""What a corpus is made of, as frozen dataclasses; `--set sources.wiki.megabytes=3` changes one value.

- A source without a licence or an attribution is refused: the manifest and the model card need both.
- A mixture weight counts passes: 2 reads every kept document twice, 0.5 a random half, 0 leaves the source out. Passes,
  not shares, because what is at hand is small and the question is how often it may be repeated (Muennighoff et al.
  2023, arXiv 2305.16264: up to four passes lose little).
- `tasks` is how many parts a source is cut into. It belongs to the recipe, for which of two near-duplicates is met
  first depends on it; how many parts run at a time, and where, is the executor's and changes no byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FILES = ("text", "gutenberg", "wikiextractor", "wikipedia", "jsonl")
KINDS = (*FILES, "dataset", "tasks")

# What running prose passes. "c4" is for web pages: it drops pages with a curly bracket and lines without three words.
PROSE = ("language", "repetition", "gopher", "fineweb")
FILTERS = (*PROSE, "c4")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One origin of documents.

    `path` is a file, a folder (all its files) or a glob pattern, from the recipe's `root`; for "dataset" a folder, or
    the name of a Hugging Face dataset, which then needs the `revision` that is meant. `template` makes a document of a
    JSON object or a data set's row. For "tasks": `families` (empty: all of ours without pictures; "gym:NAME" is
    reasoning-gym's), `samples` problems of each, in turn from the `levels` (empty: all that a family has).

    Raises ValueError for settings that make no sense.
    """

    name: str
    kind: str
    licence: str
    attribution: str
    path: str = ""
    weight: float = 1.0
    megabytes: int = 0  # reads about so much text, 0: all
    template: str = "{text}"
    split: str = "train"
    revision: str = ""
    families: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
    samples: int = 0
    filters: tuple[str, ...] = PROSE

    def __post_init__(self) -> None:
        if not self.licence.strip() or not self.attribution.strip():
            raise ValueError(f"source {self.name!r} needs a licence and an attribution: the manifest states both")
        if self.kind not in KINDS:
            raise ValueError(f"source {self.name!r} is of kind {self.kind!r}; there are: {', '.join(KINDS)}")
        if self.generated and self.samples < 1:
            raise ValueError(f"source {self.name!r} is generated: say how many samples of each family")
        if not self.generated and not self.path:
            raise ValueError(f"source {self.name!r} needs a path")
        if unknown := set(self.filters) - set(FILTERS):
            raise ValueError(f"there is no filter {sorted(unknown)[0]!r}; there are: {', '.join(FILTERS)}")
        if self.weight < 0:
            raise ValueError(f"source {self.name!r} has a negative weight; 0 leaves it out")

    @property
    def generated(self) -> bool:
        """Whether our programs wrote it: no prose filter applies, and problems of one family are alike on purpose."""
        return self.kind == "tasks"


@dataclass(frozen=True, kw_only=True)
class Executor:
    """Where the parts run: "local", "slurm" or "ray" (datatrove's executors; the folder must then be a shared one)."""

    kind: str = "local"
    workers: int = 1  # parts at a time
    partition: str = ""  # Slurm's
    hours: int = 24
    memory_gb: int = 4  # of each part

    def __post_init__(self) -> None:
        if self.kind not in ("local", "slurm", "ray"):
            raise ValueError(f"an executor is local, slurm or ray, not {self.kind!r}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A complete corpus. Of two like documents the one of the source named first is kept, as a rule.

    `tokenizer` is a tokenizer.json; empty, one of `vocab_size` is learnt from a sample of the mixture. Problems that an
    evaluation asks are kept out: the first `evaluation_problems` of the first `evaluation_seeds` seeds at every level
    of every text family (of reasoning-gym's, those that a source draws), and whatever stands in `evaluation_files`.
    """

    name: str
    sources: tuple[Source, ...]
    root: str = "."
    tokenizer: str = ""
    vocab_size: int = 16384
    tokenizer_megabytes: int = 40
    evaluation_files: tuple[str, ...] = ()
    evaluation_problems: int = 100
    evaluation_seeds: int = 3
    shard_tokens: int = 1 << 24  # tokens of a shard, at most, unless one document is longer
    seed: int = 0
    tasks: int = 2
    executor: Executor = field(default_factory=Executor)

    def __post_init__(self) -> None:
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("two sources of a recipe have the same name")
        if not self.active:
            raise ValueError("a recipe needs a source with a weight above 0")
        if self.vocab_size > 1 << 16:
            raise ValueError("shards hold 16-bit tokens: a vocabulary has at most 65,536")
        if self.tasks < 1 or self.executor.workers < 1:
            raise ValueError("a recipe needs at least one task and one worker")

    @property
    def active(self) -> tuple[Source, ...]:
        """The sources that are read."""
        return tuple(source for source in self.sources if source.weight > 0)
