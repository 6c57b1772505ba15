"""Words spelled out, because tokens hide letters.

Half of the words are those of the task families, half single tokens of the vocabulary, so that any word can be spelled
from its pieces. A letter stands alone or behind its number, as in the worked solutions.
"""

from __future__ import annotations

import random
from functools import lru_cache

from firesteel.format import Message, Tokenizer
from firesteel.tasks.lexicon import LONG_WORDS, WORDS


def conversation(rng: random.Random, tokenizer: Tokenizer) -> list[Message]:
    """One to eight words to be spelled, and their letters."""
    pieces = _pieces(tokenizer)
    words = [
        rng.choice(pieces if pieces and rng.random() < 0.5 else WORDS + LONG_WORDS) for _ in range(rng.randint(1, 8))
    ]
    numbered = rng.random() < 0.5
    question = rng.choice(
        ("Number the letters: {}", "Spell with numbers: {}") if numbered else ("Spell: {}", "Letters of: {}")
    )
    told = [" ".join(f"{k} {letter}" if numbered else letter for k, letter in enumerate(word, 1)) for word in words]
    return [Message("user", question.format(", ".join(words))), Message("assistant", ", ".join(told))]


@lru_cache(1)
def _pieces(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The words of at least three small letters that are one token behind a space."""
    texts = (tokenizer.token_bytes(number).decode("utf-8", "replace") for number in range(tokenizer.vocab_size))
    return tuple(
        text[1:]
        for text in texts
        if len(text) > 3 and text[0] == " " and text[1:].isascii() and text[1:].isalpha() and text.islower()
    )
