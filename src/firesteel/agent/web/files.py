"""Full-text search over the user's folders: SQLite FTS5 with BM25, brought up to date before every use.

- A file opens as the index holds it. What a model asks for is looked up and never made into a path, so there is
  nothing to climb out of; what was not indexed cannot be opened.
- Indexed are ordinary files of known kinds inside the folders. Hidden files and folders (`.ssh`, `.env`, `.git`),
  symbolic links and whatever is reached through one are not.
- Words are stemmed as in English (Porter); scripts without spaces between words are found by whole runs only.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from pathlib import Path

from firesteel.agent.web.page import Page, html_page, plain, text_page
from firesteel.agent.web.search import Hit, Query

MOST_BYTES = 2_000_000  # of a file
_KINDS = re.compile(
    r".*\.(txt|md|markdown|rst|tex|html?|csv|json|toml|ya?ml|py|js|ts|jsx|tsx|svelte|css|sql|sh|c|h|cc|cpp|hpp|rs|go|java"
    r"|kt|rb|php|swift|lua|r|jl)",
    re.IGNORECASE | re.DOTALL,
)
_PASSED_BY = frozenset({"node_modules", "__pycache__"})

_TABLES = """
CREATE TABLE IF NOT EXISTS files (id INTEGER PRIMARY KEY, url TEXT UNIQUE, mtime_ns INTEGER, size INTEGER);
CREATE VIRTUAL TABLE IF NOT EXISTS texts USING fts5 (name, body, tokenize = 'porter unicode61 remove_diacritics 2');
"""
_SEARCH = """
SELECT url, name, snippet(texts, 1, '', '', '…', 48), mtime_ns FROM texts JOIN files ON files.id = texts.rowid
WHERE texts MATCH ? AND mtime_ns >= ? ORDER BY bm25(texts, 5.0, 1.0) LIMIT ?
"""


class LocalIndex:
    """The text files in `folders`; the index itself, a copy of their texts, is the file `path`, readable by its owner.

    Raises ValueError for a folder that does not exist.
    """

    def __init__(self, folders: Sequence[Path], path: Path) -> None:
        if missing := [folder for folder in folders if not folder.is_dir()]:
            raise ValueError(f"{missing[0]} is not a folder.")
        self._folders = [folder.resolve() for folder in folders]
        path.touch(mode=0o600)
        self._lock = threading.Lock()  # one connection, used from the threads of several searches
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.executescript(_TABLES)

    async def search(self, query: Query) -> list[Hit]:
        """Files with any of the words, best first; `since` counts from their last change."""
        return await asyncio.to_thread(self._search, query)

    async def open(self, url: str) -> Page:
        """Raises ValueError for an address that is not a file of the index."""
        return await asyncio.to_thread(self._open, url)

    async def close(self) -> None:
        """Waits for a search that still runs in its thread."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            self._database.close()

    def refresh(self) -> None:
        """Reads what is new or changed and forgets what is gone."""
        with self._lock, self._database as database:
            known = {url: rest for url, *rest in database.execute("SELECT url, id, mtime_ns, size FROM files")}
            for path, status in dict(self._files()).items():
                url, stamp = path.as_uri(), [status.st_mtime_ns, status.st_size]
                number, *before = known.get(url, (None,))
                if before != stamp:
                    try:
                        text = _text(path)
                    except (OSError, ValueError):  # gone, not for this user to read, or HTML without lxml
                        continue
                    if number is not None:
                        _forget(database, number)
                    number = database.execute(
                        "INSERT INTO files (url, mtime_ns, size) VALUES (?, ?, ?)", (url, *stamp)
                    ).lastrowid
                    name = os.fsencode(path.name).decode("utf-8", errors="replace")
                    database.execute("INSERT INTO texts (rowid, name, body) VALUES (?, ?, ?)", (number, name, text))
                known.pop(url, None)
            for number, *_ in known.values():
                _forget(database, number)

    def _search(self, query: Query) -> list[Hit]:
        words = re.findall(r"\w+", query.text)
        if not words:
            return []
        self.refresh()
        since = datetime.combine(query.since, time(), UTC).timestamp() if query.since else 0
        match = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            rows = self._database.execute(_SEARCH, (match, int(since * 1e9), query.count)).fetchall()
        return [
            Hit(url, name, text, datetime.fromtimestamp(mtime / 1e9, UTC).isoformat())
            for url, name, text, mtime in rows
        ]

    def _open(self, url: str) -> Page:
        self.refresh()
        with self._lock:
            select = "SELECT body FROM texts JOIN files ON files.id = texts.rowid WHERE url = ?"
            found = self._database.execute(select, (url,)).fetchone()
        if found is None:
            raise ValueError(f"{url} is not a file of the indexed folders.")
        return text_page(url, *found)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in self._folders:
            for here, folders, names in os.walk(folder, followlinks=False):
                folders[:] = [name for name in folders if not name.startswith(".") and name not in _PASSED_BY]
                for name in names:
                    path = Path(here, name)
                    if name.startswith(".") or not _KINDS.fullmatch(name) or path.resolve() != path:
                        continue
                    try:
                        status = path.lstat()
                    except OSError:  # gone since it was listed
                        continue
                    if stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES:
                        yield path, status


def _forget(database: sqlite3.Connection, number: int) -> None:
    database.execute("DELETE FROM files WHERE id = ?", (number,))
    database.execute("DELETE FROM texts WHERE rowid = ?", (number,))


def _text(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix.lower() in (".html", ".htm"):
        return "\n".join(map(plain, html_page(path.as_uri(), data).lines))
    return data.decode("utf-8", errors="replace")
