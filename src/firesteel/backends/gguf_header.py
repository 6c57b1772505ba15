"""What a GGUF file says about itself, read without the `gguf` package, and two changes to a copy of it.

llama.cpp's server streams text and withholds the ids of tokens that leave a character unfinished. Its copy of the file
therefore calls these tokens unused: their text is then empty to it, so every id comes at once, and whoever holds the
tokenizer puts the bytes together. Their embeddings and the way text is cut into tokens stay as they are. And it serves
no sequence longer than the length that the file gives, so a longer one is written there.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_ARRAY_HEAD = 12  # bytes of an array's type and length
_UNUSED = 5  # a token type
_TYPES_KEY = "tokenizer.ggml.token_type"


@dataclass(frozen=True)
class Header:
    """The metadata of a GGUF file by key, and where in the file each value lies."""

    path: Path
    metadata: dict[str, Any]
    offsets: dict[str, int]

    @property
    def context(self) -> int | None:
        """The tokens of the longest sequence that the model is said to be for."""
        return self.metadata.get(self._context_key)

    def copy(self, target: Path, unused: Sequence[int], context: int) -> None:
        """Copies the file, the tokens `unused` marked as such, fit for sequences of `context` tokens.

        Raises ValueError for a file that does not tell the types of its tokens.
        """
        if _TYPES_KEY not in self.offsets:
            raise ValueError(f"{self.path} does not tell the types of its tokens.")
        shutil.copyfile(self.path, target)
        with target.open("r+b") as file:
            for token in unused:
                file.seek(self.offsets[_TYPES_KEY] + _ARRAY_HEAD + 4 * token)
                file.write(struct.pack("<i", _UNUSED))
            if self.context and context > self.context:
                file.seek(self.offsets[self._context_key])
                file.write(struct.pack("<I", context))

    @property
    def _context_key(self) -> str:
        return f"{self.metadata['general.architecture']}.context_length"


def read_header(path: Path) -> Header:
    """Raises ValueError, with one sentence, for a file that is missing or no GGUF file."""
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise ValueError(f"The model file {path} cannot be read: {error.strerror or error}.") from error
    except (struct.error, KeyError, UnicodeDecodeError, MemoryError, OverflowError) as error:
        raise ValueError(f"The model file {path} is damaged.") from error


def _read(path: Path, file: BinaryIO) -> Header:
    if file.read(4) != b"GGUF":
        raise ValueError(f"{path} is not a GGUF file.")
    version, _, count = struct.unpack("<IQQ", file.read(20))
    if version not in (2, 3):
        raise ValueError(f"{path} is a GGUF file of version {version}, which is not known.")
    metadata: dict[str, Any] = {}
    offsets: dict[str, int] = {}
    for _ in range(count):
        key = _text(file)
        (kind,) = struct.unpack("<I", file.read(4))
        offsets[key] = file.tell()
        metadata[key] = _value(file, kind)
    if "general.architecture" not in metadata:
        raise ValueError(f"{path} does not name its architecture.")
    return Header(path, metadata, offsets)


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        kind, length = struct.unpack("<IQ", file.read(12))
        if kind in (_STRING, _ARRAY):
            return [_value(file, kind) for _ in range(length)]
        code = f"<{length}{_SCALARS[kind]}"
        return struct.unpack(code, file.read(struct.calcsize(code)))
    code = f"<{_SCALARS[kind]}"
    return struct.unpack(code, file.read(struct.calcsize(code)))[0]


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    data = file.read(length)
    if len(data) < length:
        raise struct.error("cut off")
    return data.decode("utf-8")
