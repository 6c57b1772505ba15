"""Albums: many pictures and what is known about each, packed in one file that training and evaluation draw from.

- An album is an uncompressed zip: `album.json` says what it is and where it comes from, `index.jsonl` has a line for
  each picture, the pictures are WebP. Any tool opens it, and a worker reads one picture without reading the others.
- The split is a hash of a record's key, so it is the same for everyone and stays when an album is made anew or grows.
- Making one is `firesteel.train.pictures`; what is asked about its pictures is in the files beside this one.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

KINDS = ("photographs", "icons", "pages")
HELD_OUT_SHARE = 0.15  # of the pictures: those that training never sees
_EPOCH = (1980, 1, 1, 0, 0, 0)  # every file's time, so that equal albums are equal bytes


@dataclass(frozen=True)
class Record:
    """One picture. `name` says in words what it shows; pictures of one `key` are on the same side of the split.

    `facts`: of an icon `tint` (a black drawing that takes any colour); of a page its title, caption, controls with
    boxes in thousandths, values and counts (`firesteel.train.pictures.pages`).
    """

    key: str
    name: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def held_out(self) -> bool:
        """Whether the picture is for evaluation alone."""
        return int(sha256(self.key.encode()).hexdigest()[:8], 16) < HELD_OUT_SHARE * 2**32


class Album:
    """An album on disk: `kind` (one of KINDS), `about` (the whole of `album.json`) and the records.

    Raises ValueError, with one sentence, for a file that is none.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self._zip = zipfile.ZipFile(self.path)
            self.about: dict[str, Any] = json.loads(self._zip.read("album.json"))
            lines = self._zip.read("index.jsonl").decode().split("\n")
        except FileNotFoundError:
            raise ValueError(f"There is no album {path}: make one with firesteel data pictures.") from None
        except (zipfile.BadZipFile, KeyError, IsADirectoryError) as error:
            raise ValueError(f"{path} is no album: make one with firesteel data pictures.") from error
        self.kind: str = self.about["kind"]
        assert self.kind in KINDS
        self.records = [Record(**json.loads(line)) for line in lines]

    @cached_property
    def trained(self) -> list[int]:
        """The numbers of the records that training may draw."""
        return [number for number, record in enumerate(self.records) if not record.held_out]

    @cached_property
    def held_out(self) -> list[int]:
        """The numbers of the records that are kept for evaluation."""
        return [number for number, record in enumerate(self.records) if record.held_out]

    def image(self, number: int) -> Image.Image:
        """The picture of a record: RGB, or RGBA where something can be seen through it."""
        image = Image.open(io.BytesIO(self._zip.read(_file(number))))
        image.load()
        return image


@lru_cache(maxsize=16)
def open_album(path: str) -> Album:
    """The album at `path`, opened once in a process."""
    return Album(path)


def write_album(
    out: Path, kind: str, about: Mapping[str, Any], pictures: Iterable[tuple[Record, bytes]]
) -> dict[str, Any]:
    """Packs records with their WebP pictures into `out` (atomically); returns `album.json`, with the counts in it.

    Raises ValueError where there is no picture at all.
    """
    assert kind in KINDS
    lines, names, held_out = [], set(), 0
    temporary = out.with_name(out.name + ".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as album:
        for number, (record, data) in enumerate(pictures):
            album.writestr(zipfile.ZipInfo(_file(number), _EPOCH), data)
            lines.append(json.dumps(asdict(record), ensure_ascii=False))
            names.add(record.name)
            held_out += record.held_out
        if not lines:
            temporary.unlink()
            raise ValueError("No picture was found there, so no album was written.")
        told = {"kind": kind, **about, "pictures": len(lines), "held_out": held_out, "names": len(names)}
        album.writestr(zipfile.ZipInfo("album.json", _EPOCH), json.dumps(told, indent=1, ensure_ascii=False))
        album.writestr(zipfile.ZipInfo("index.jsonl", _EPOCH), "\n".join(lines))
    temporary.replace(out)
    return told


def webp(image: Image.Image, quality: int | None = None) -> bytes:
    """A picture as the bytes of a WebP file, lossless unless a quality (0-100) is given."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=quality is None, quality=80 if quality is None else quality, method=4)
    return buffer.getvalue()


def _file(number: int) -> str:
    return f"{number:06d}.webp"
