"""Stop strings: where an answer ends, found while it comes in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Finds the first of several stop strings; empty ones count for nothing."""

    def __init__(self, words: Sequence[str]) -> None:
        self.word = ""  # the one that was found
        self._words = [word for word in words if word]
        self._held = ""  # may be the beginning of one

    @property
    def found(self) -> bool:
        return bool(self.word)

    def feed(self, text: str) -> str:
        """What more stands before any of them for certain."""
        text = self._held + text
        self._held = ""
        places = [(place, word) for word in self._words if (place := text.find(word)) >= 0]
        if places:
            place, self.word = min(places)
            return text[:place]
        beginnings = ((word, n) for word in self._words for n in range(1, min(len(word), len(text) + 1)))
        keep = max((n for word, n in beginnings if text.endswith(word[:n])), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What was held back, where the text ends."""
        text, self._held = self._held, ""
        return text
