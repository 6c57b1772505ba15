"""Words spelled out, because tokens hide letters, and letters joined to words: who reads "h a i r" shall say "hair".

Words are those of the task families, also turned around, single tokens of the vocabulary, so that any word can be
spelled from its pieces, and no words at all. A letter stands alone or behind its number, as in the worked solutions.
"""

from __future__ import annotations

import random
from functools import lru_cache
from string import ascii_lowercase, digits

from firesteel.format import Message, Tokenizer
from firesteel.tasks.lexicon import LONG_WORDS, WORDS

_SPELL = ("Spell: {}", "Letters of: {}")
_NUMBER = ("Number the letters: {}", "Spell with numbers: {}")
_JOIN = ("Join the letters: {}", "Which words are these: {}", "Put together: {}")


def conversation(rng: random.Random, tokenizer: Tokenizer) -> list[Message]:
    """One to eight words to be spelled, and their letters; or letters of up to sixteen that are to be joined."""
    join = rng.random() < 0.5
    words = [_word(rng, tokenizer) for _ in range(rng.randint(1, 16 if join else 8))]
    spelled = [" ".join(word) for word in words]
    if join:
        return _exchange(rng.choice(_JOIN), spelled, words)
    if rng.random() < 0.5:
        return _exchange(rng.choice(_SPELL), words, spelled)
    numbered = [" ".join(f"{k} {letter}" for k, letter in enumerate(word, 1)) for word in words]
    return _exchange(rng.choice(_NUMBER), words, numbered)


def _exchange(form: str, asked: list[str], said: list[str]) -> list[Message]:
    return [Message("user", form.format(", ".join(asked))), Message("assistant", ", ".join(said))]


def _word(rng: random.Random, tokenizer: Tokenizer) -> str:
    """Of the families, also turned around, or of the vocabulary, or no word at all, as signs in pictures are."""
    kind, pieces = rng.random(), _pieces(tokenizer)
    if kind < 0.15:
        return "".join(rng.choices(ascii_lowercase + digits, k=rng.randint(3, 6)))
    word = rng.choice(pieces if pieces and kind < 0.5 else WORDS + LONG_WORDS)
    return word[::-1] if kind > 0.75 else word


@lru_cache(1)
def _pieces(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The words of at least three small letters that are one token behind a space."""
    texts = (tokenizer.token_bytes(number).decode("utf-8", "replace") for number in range(tokenizer.vocab_size))
    return tuple(
        text[1:]
        for text in texts
        if len(text) > 3 and text[0] == " " and text[1:].isascii() and text[1:].isalpha() and text.islower()
    )
