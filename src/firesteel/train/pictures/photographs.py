"""Photographs with a name, from a tar file or a folder of `class/picture` files.

- The class folder is the name, in words; NAMES corrects those of Caltech-101 (Fei-Fei et al. 2004) that nobody says,
  and a `--names` file (a JSON object: folder to name, or to null for a class to leave out) corrects any others.
- Pictures are made small (SIDE pixels), because a small mind reads a row of some hundred image tokens; a WebP file
  that is small already is kept as it is, byte for byte.
- Whoever trains on them names the licence: it is written into the album.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from firesteel.format.images import load_image
from firesteel.tasks.albums import Record, webp, write_album

SIDE = 168  # pixels of the long side: six image tokens
_SUFFIXES = (".webp", ".jpg", ".jpeg", ".png", ".gif")

NAMES: Mapping[str, str | None] = {
    "airplanes": "airplane",
    "bass": "fish",
    "car_side": "car",
    "cougar_body": "cougar",
    "cougar_face": "cougar",
    "crocodile_head": "crocodile",
    "flamingo_head": "flamingo",
    "inline_skate": "roller skate",
    "leopards": "leopard",
    "motorbikes": "motorbike",
    "water_lilly": "water lily",
    "windsor_chair": "chair",
    "background_google": None,
    "faces": "face",
    "faces_easy": "face",
}


def album(source: Path, out: Path, names: Mapping[str, str | None] | None = None, licence: str = "") -> dict[str, Any]:
    """Packs the photographs of `source` into an album at `out`; returns what it holds.

    Raises ValueError for a source without pictures in class folders, and for a damaged picture.
    """
    said = {key.lower(): name for key, name in {**NAMES, **(names or {})}.items()}

    def records() -> Iterator[tuple[Record, bytes]]:
        for path, data in _files(source):
            folder = path.parent.name
            name = said.get(folder.lower(), folder.replace("_", " ").replace("-", " ").lower())
            if name is not None:
                yield Record(f"{folder}/{path.stem}", name), _small(data, path)

    return write_album(out, "photographs", {"source": source.name, "licence": licence}, records())


def _files(source: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The pictures that lie in a folder of their class, in the order of their names."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            inside = PurePosixPath(path.relative_to(source).as_posix())
            if path.suffix.lower() in _SUFFIXES and len(inside.parts) > 1:
                yield inside, path.read_bytes()
        return
    try:
        with tarfile.open(source) as tar:
            for member in sorted(tar.getmembers(), key=lambda member: member.name):
                inside = PurePosixPath(member.name)
                if member.isfile() and inside.suffix.lower() in _SUFFIXES and inside.parent.name:
                    stream = tar.extractfile(member)
                    assert stream is not None
                    yield inside, stream.read()
    except tarfile.TarError as error:
        raise ValueError(f"{source} is neither a folder nor a tar file of class/picture files.") from error


def _small(data: bytes, path: PurePosixPath) -> bytes:
    """The picture as WebP, no side longer than SIDE."""
    try:
        image = load_image(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if path.suffix.lower() == ".webp" and max(image.size) <= SIDE:
        return data
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return webp(image, 85)
