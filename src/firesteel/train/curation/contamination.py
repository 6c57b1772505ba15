"""Nothing that an evaluation asks may be learnt from: n-gram overlap with every evaluation set that the project knows.

- The sets: our text families and those of reasoning-gym that a source draws, at the seeds that `firesteel.evals` asks,
  and the user's files of public questions.
- A document is dropped when it has 13 words in a row in common with a question (GPT-3: Brown et al. 2020, arXiv
  2005.14165, appendix C), or a whole question of 8 to 12 words. Shorter ones prove nothing in prose.
- Generated problems share the wording of their family on purpose; there a held-out question must be the whole question,
  of any length. Sets from files are searched in them like in prose.
- Words are compared in lower case without signs; numbers count as they are, since they tell one problem from another.
- One look-up a word: the first 8 words of every 13 lead to how they must go on.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.writers.disk_base import DiskWriter

from firesteel.tasks import get, make
from firesteel.tasks.base import held_out
from firesteel.train.corpus import open_text
from firesteel.train.curation.recipe import Recipe
from firesteel.train.curation.sources import objects, text_families

LONGEST, SHORTEST = 13, 8
FAMILY = "family "  # how the sets of families are named: their wording is not theirs alone
_FIELDS = ("question", "prompt", "problem", "query", "instruction", "input", "text")
_WORD = re.compile(r"\w+")


def questions(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yields (set, question) of everything that is kept out. Raises ValueError for a file that shows no questions."""
    drawn = [name for source in recipe.active if source.generated for name in source.families]
    for name in dict.fromkeys([*text_families(), *(name for name in drawn if name.startswith("gym:"))]):
        for level in range(1, get(name).levels + 1):
            for seed in range(recipe.evaluation_seeds):
                for number in range(recipe.evaluation_problems):
                    yield f"{FAMILY}{name}", make(name, held_out(seed, number), level).question
    for file in recipe.evaluation_files:
        path = Path(recipe.root) / file
        yield from ((path.name, question) for question in _asked(path))


def _asked(path: Path) -> Iterator[str]:
    if ".json" not in path.name:
        with open_text(path) as stream:
            yield from (line for line in stream if line.strip())
        return
    for row in objects(path):
        field = next((name for name in _FIELDS if isinstance(row.get(name), str)), None)
        if field is None:
            raise ValueError(f"{path} shows no questions: its objects need one of the fields {', '.join(_FIELDS)}")
        yield row[field]


class Questions(PipelineStep):
    """Writes the evaluation questions as JSON lines, each once."""

    type = "🦠 - DECONT"
    name = "evaluation questions"

    def __init__(self, recipe: Recipe, out: Path) -> None:
        super().__init__()
        self.recipe, self.out = recipe, out

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> None:
        """Writes `out`."""
        with self.out.open("w", encoding="utf-8") as stream:
            for pair in dict.fromkeys(questions(self.recipe)):
                stream.write(json.dumps(pair, ensure_ascii=False) + "\n")


class Contamination(BaseFilter):
    """Drops documents that hold an evaluation's question; the reason names the set."""

    name = "contamination"

    def __init__(self, asked: Path, generated: bool, exclusion_writer: DiskWriter | None = None) -> None:
        super().__init__(exclusion_writer)
        self.asked, self.generated = asked, generated

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        found = self._wholes.get(words(doc.metadata["question"])) if self.generated else None
        found = found or self._overlap(words(doc.text))
        return found is None or (False, f"asked by {found}")

    def _overlap(self, text: tuple[str, ...]) -> str | None:
        index = self._index
        for start in range(len(text) - SHORTEST + 1):
            endings = index.get(text[start : start + SHORTEST])
            if endings is None:
                continue
            for length in range(SHORTEST, LONGEST + 1):
                if found := endings.get(text[start + SHORTEST : start + length]):
                    return found
        return None

    @cached_property
    def _pairs(self) -> Sequence[tuple[str, tuple[str, ...]]]:
        with self.asked.open(encoding="utf-8") as stream:
            return [(name, words(question)) for name, question in map(json.loads, stream)]

    @cached_property
    def _wholes(self) -> dict[tuple[str, ...], str]:
        return {question: name for name, question in reversed(self._pairs)}

    @cached_property
    def _index(self) -> dict[tuple[str, ...], dict[tuple[str, ...], str]]:
        """The first `SHORTEST` words of an n-gram -> the words that follow them -> the set that asks it."""
        index: dict[tuple[str, ...], dict[tuple[str, ...], str]] = defaultdict(dict)
        for name, question in self._pairs:
            if self.generated and name.startswith(FAMILY):
                continue
            length = min(len(question), LONGEST)
            if length >= SHORTEST:
                for start in range(len(question) - length + 1):
                    gram = question[start : start + length]
                    index[gram[:SHORTEST]].setdefault(gram[SHORTEST:], name)
        return dict(index)


def words(text: str) -> tuple[str, ...]:
    """What is compared."""
    return tuple(_WORD.findall(text.lower()))
