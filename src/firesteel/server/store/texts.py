"""The search of what was said: one row of `texts` for each turn and each title, and an index over their words.

Choices:
- Words are made here, so that every database finds the same: letters and digits, without case and accents (NFKD), each
  character a word where a script has no spaces. They are all that a query becomes, so it cannot hold any syntax.
- A text matches when each word of the query begins one of its words: people search while they type.
- The index is the database's own: FTS5 on SQLite, a GIN index over `tsvector` on PostgreSQL. It follows the rows by
  itself; a text goes with its response or thread.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, delete, insert, text

from firesteel.server.store import tables

START, END = "\u0002", "\u0003"  # around a hit in a snippet
_MOST = 100_000  # characters of one text
_WORDS = 16  # of a query
_LONGEST = 64  # characters of a word
_BEFORE, _SHOWN = 48, 200  # characters of a snippet: before the first hit, all
# Thai to Lao, Burmese, Khmer, Kana, Han.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"(?=[^\W_])[{_ALONE}]|(?:(?![{_ALONE}])[^\W_])+")


class Read(NamedTuple):
    """A text and its words. To make it takes 50 ms at most: not in the thread in which all writes wait."""

    text: str
    words: str

    @classmethod
    def of(cls, said: str) -> Read:
        shown = unicodedata.normalize("NFC", said[:_MOST]).replace(START, " ").replace(END, " ")
        return cls(shown, " ".join(words_of(shown)))


def keep(connection: Connection, owner: str, thread: str, response: str | None, read: Read) -> None:
    """Puts a text in the place of the one that its response (None: the thread's title) had."""
    table = tables.texts
    mine = (table.c.owner == owner, table.c.thread == thread, table.c.response == response)
    connection.execute(delete(table).where(*mine))
    if read.words:
        connection.execute(insert(table), {"owner": owner, "thread": thread, "response": response} | read._asdict())


def query_of(said: str) -> list[str]:
    """The words that are looked for."""
    return words_of(said[:_MOST])[:_WORDS]


def matching(connection: Connection, words: Sequence[str]) -> TextClause:
    """The condition that a row of `texts` has them all."""
    if connection.dialect.name == "sqlite":
        clause = "texts.number IN (SELECT rowid FROM texts_words WHERE texts_words MATCH :match)"
        return text(clause).bindparams(match=" ".join(f'"{word}"*' for word in words))
    clause = "array_to_tsvector(string_to_array(texts.words, ' ')) @@ CAST(:match AS tsquery)"
    return text(clause).bindparams(match=" & ".join(f"'{word}':*" for word in words))


def words_of(said: str) -> list[str]:
    """Each word once, in the order of their first places."""
    return list(dict.fromkeys(word[:_LONGEST] for word in _WORD.findall(_folded(said)[:_MOST])))


def snippet(said: str, words: Sequence[str]) -> str:
    """The surroundings of the first hit, on one line, hits between `START` and `END`."""
    beginnings, hits = tuple(words), list[re.Match[str]]()
    for match in _WORD.finditer(said):
        if hits and match.end() > hits[0].start() + _SHOWN:
            break
        if any(word.startswith(beginnings) for word in words_of(match[0])):
            hits.append(match)
    begin = max(hits[0].start() - _BEFORE, 0) if hits else 0
    if begin:
        begin = said.find(" ", begin, hits[0].start()) + 1 or begin
    end = max(begin + _SHOWN, hits[-1].end() if hits else 0)
    pieces, at = [], begin
    for hit in hits:
        pieces += [said[at : hit.start()], START, hit[0], END]
        at = hit.end()
    shown = " ".join("".join([*pieces, said[at:end]]).split())
    return ("…" if begin else "") + shown + ("…" if end < len(said) else "")


def _folded(said: str) -> str:
    whole = unicodedata.normalize("NFKD", said.casefold()).casefold()
    return whole if whole.isascii() else "".join(each for each in whole if unicodedata.category(each)[0] != "M")
