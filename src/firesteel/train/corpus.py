"""Running text for pretraining: files to documents to one array of token ids.

A source is one of
- a directory that `firesteel data build` made: tokens of curated documents in shards, their tokenizer, a manifest;
- a text file (documents separated by NUL bytes, as one file may hold many);
- a JSON-lines file whose objects have a `text` field.
Files may be packed (.xz, .bz2, .gz). Share-alike text stays outside the repository.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np

from firesteel.format import Tokenizer

MANIFEST = "manifest.json"
_CHUNK = 1 << 20
# leftovers of markup removal in public Wikipedia extracts
_NOISE = re.compile(r"formula_\d+|\(\s*[,;]?\s*\)|\[\s*\]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def documents(source: str | Path, megabytes: int | None = None) -> Iterator[str]:
    """Yields the documents of one source, reading at most `megabytes` of it; a built directory's in their mixture.

    A megabyte is 2^20 characters. The document that passes the limit is left out, or cut where it is the first.
    """
    built = is_built(source)
    read, limit = 0, None if megabytes is None else megabytes << 20
    for piece in _built_documents(Path(source)) if built else pieces(Path(source)):
        if limit is not None and read + len(piece) > limit:
            if read:
                return
            piece = piece[:limit]
        read += len(piece)
        text = piece if built else tidy(piece)
        if built or len(text) >= 200:  # shorter ones are stubs, where nothing else judged them
            yield text


def encode_corpus(sources: Sequence[str | Path], tokenizer: Tokenizer, out: Path, megabytes: int) -> None:
    """Writes the sources as one uint16 array, each document opened by the begin-of-text token, in a fixed shuffle.

    `megabytes` (of 2^20 characters) limits each file; a built directory is read whole, and as it lies where it has the
    same tokenizer. Raises ValueError where there is no document.
    """
    temporary = out.with_suffix(".tmp.npy")
    if len(sources) == 1 and is_built(sources[0]) and _same_tokenizer(Path(sources[0]), tokenizer):
        parts = shards(sources[0])
        whole = np.lib.format.open_memmap(temporary, "w+", np.uint16, (sum(map(len, parts)),))
        np.concatenate(parts, out=whole)
        whole.flush()
    else:
        texts = [text for source in sources for text in documents(source, None if is_built(source) else megabytes)]
        if not texts:
            raise ValueError(f"{', '.join(map(str, sources))}: no document of at least 200 characters to learn from")
        order = np.random.default_rng(0).permutation(len(texts))
        begin = tokenizer.id("<|begin_of_text|>")
        ids = [np.array([begin, *tokenizer.encode(texts[i])], dtype=np.uint16) for i in order]
        np.save(temporary, np.concatenate(ids))
    temporary.replace(out)


def is_built(source: str | Path) -> bool:
    """Whether the source is a finished directory of `firesteel data build`."""
    return (Path(source) / MANIFEST).is_file()


def shards(directory: str | Path) -> list[np.ndarray]:
    """The token arrays of a built directory, mapped and not read: (tokens,) uint16 each, cut between documents."""
    manifest = json.loads((Path(directory) / MANIFEST).read_text(encoding="utf-8"))
    return [np.load(Path(directory) / shard["file"], mmap_mode="r") for shard in manifest["shards"]]


def pieces(path: Path) -> Iterator[str]:
    """Yields the documents of one file as they stand. Raises ValueError where there is none, and for a line without."""
    with open_text(path) as stream:
        if ".jsonl" not in path.name:
            yield from _split(stream)
            return
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    text = json.loads(line)["text"]
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{path}, line {number}: not an object with a text ({error!r})") from error
                yield text


def open_text(path: Path) -> IO[str]:
    """A text file for reading, unpacked by its suffix. Raises ValueError where there is none."""
    if not path.is_file():
        raise ValueError(f"no text source at {path}; name existing files with --set sources=…")
    opener = {".xz": lzma.open, ".bz2": bz2.open, ".gz": gzip.open}.get(path.suffix, open)
    return opener(path, "rt", encoding="utf-8", errors="replace")  # type: ignore[operator]


def tidy(text: str) -> str:
    """Composed characters (NFC), no control characters, no leftovers of markup, one empty line at most."""
    text = _NOISE.sub("", _CONTROLS.sub("", unicodedata.normalize("NFC", text)))
    return re.sub(r"\n\s*\n\s*\n", "\n\n", text).strip()


def _built_documents(directory: Path) -> Iterator[str]:
    tokenizer = Tokenizer(directory / "tokenizer" / "tokenizer.json")
    begin = tokenizer.id("<|begin_of_text|>")
    for shard in shards(directory):
        bounds = [*np.flatnonzero(shard == begin).tolist(), len(shard)]
        yield from (tokenizer.decode(shard[a + 1 : b].tolist()) for a, b in pairwise(bounds))


def _same_tokenizer(directory: Path, tokenizer: Tokenizer) -> bool:
    paths = (directory / "tokenizer" / "tokenizer.json", tokenizer.path)
    return len({hashlib.sha256(path.read_bytes()).digest() for path in paths}) == 1


def _split(stream: IO[str]) -> Iterator[str]:
    rest = ""
    while chunk := stream.read(_CHUNK):
        *whole, rest = (rest + chunk).split("\0")
        yield from whole
    if rest:
        yield rest
