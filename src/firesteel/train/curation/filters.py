"""Language and quality filters as datatrove blocks, by the names that a source lists.

- "repetition" and "gopher": Rae et al. 2021 (arXiv 2112.11446); "fineweb": Penedo et al. 2024 (arXiv 2406.17557); "c4":
  Raffel et al. 2020 (arXiv 1910.10683), without its rule on closing punctuation, as FineWeb uses it. All with the
  published thresholds.
- "language" keeps English. py3langid (a naive Bayes model over byte n-grams, 97 languages) carries its model in the
  package; the fastText models that datatrove uses by default would have to be downloaded.
- Words are what stands between spaces, as Gopher counts them, and sentences are cut by a regular expression; spaCy,
  which datatrove loads by default, is a heavy dependency for filters that only count.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import py3langid
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.writers.disk_base import DiskWriter
from datatrove.utils.word_tokenizers import WordTokenizer

from firesteel.train.corpus import tidy

_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|$)", re.S | re.M)
_JUDGED = 3000  # characters that show a document's language


@dataclass(frozen=True)
class Words(WordTokenizer):
    """Cuts text into words; all instances are equal, so that filters share datatrove's cache of cuts."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return _SENTENCE.findall(text)

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in _SENTENCE.finditer(text)]


class Clean(BaseFilter):
    """Tidies a document; drops it where nothing is left."""

    name = "clean"

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        doc.text = tidy(doc.text)
        return bool(doc.text) or (False, "empty")


class English(BaseFilter):
    """Drops what is not English, by the name of the language that it seems to be."""

    name = "language"

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        language = str(py3langid.classify(doc.text[:_JUDGED])[0])
        return language == "en" or (False, f"language {language}")


_MAKE: dict[str, Callable[..., BaseFilter]] = {
    "language": English,
    "repetition": GopherRepetitionFilter,
    "gopher": GopherQualityFilter,
    "c4": C4QualityFilter,
    "fineweb": FineWebQualityFilter,
}


def make(name: str, dropped: DiskWriter) -> BaseFilter:
    """The filter called `name` (one of `recipe.FILTERS`), which shows what it drops to `dropped`."""
    settings: dict[str, Any] = {"exclusion_writer": dropped}
    if name != "language":
        settings["language"] = Words()
    if name == "c4":
        settings["filter_no_terminal_punct"] = False
    return _MAKE[name](**settings)
