"""Naming squares: what the tower learns from photographs, icons and pages beside the text.

A question about a photograph tells a small tower one word for a whole conversation. Here each image token names what
stands in its square, by the first letters of its name, with the same linear layer that names characters in a reading
stage (`firesteel.train.glyphs`), so that ten pictures cost what one question does. Two pages in five are such pages of
characters, half of them in small type: who learns to see cats shall not forget digits.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps

from firesteel.tasks.albums import open_album
from firesteel.tasks.albums.named import Pool
from firesteel.tasks.albums.named import scattered as scattered_pictures
from firesteel.tasks.drawing import Box
from firesteel.train.glyphs import SIDE, SLOTS, SQUARE, Page, scattered


def named(rng: random.Random, albums: Sequence[str]) -> Page:
    """A picture of one of the albums, or several on one ground, or a page of characters."""
    if not albums:
        raise ValueError("Naming squares needs albums: name files that firesteel data pictures made.")
    if rng.random() < 0.4:
        return scattered(rng, rng.choice((SIDE, SIDE * 4 // 3)))
    album = open_album(rng.choice(albums))
    if album.kind == "pages":
        number = rng.choice(album.trained)
        controls = album.records[number].facts["controls"]
        # The last word before the thing it belongs to says which kind of control it is: a button, a field.
        kinds = [name.partition(" of the ")[0].split()[-1] for name in controls]
        boxes = [_scaled(tuple(box), 1000, 1000) for box in controls.values()]
        return _page(album.image(number).convert("RGB"), list(zip(kinds, boxes, strict=True)))
    pool = _pool(str(album.path))
    across = rng.choice((1, 1, 2, 3))
    if across == 1:
        name = rng.choice(pool.names)
        image = pool.alone(rng, name)
        if rng.random() < 0.5:
            image = ImageOps.mirror(image)
        return _page(image.crop(_part(rng, image)), [(name, (0, 0, SIDE, SIDE))])
    cells = sorted(rng.sample(range(across**2), rng.randint(across, across**2)))
    names = [rng.choice(pool.names) for _ in cells]
    image, boxes = scattered_pictures(rng, pool, names, cells, across)
    return _page(image, [(name, _scaled(box, *image.size)) for name, box in zip(names, boxes, strict=True)])


@lru_cache
def _pool(path: str) -> Pool:
    album = open_album(path)
    return Pool(album, album.trained)


def _part(rng: random.Random, image: Image.Image) -> tuple[int, int, int, int]:
    """Most of a picture, somewhere in it."""
    width, height = (round(side * rng.uniform(0.65, 1)) for side in image.size)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return left, top, left + width, top + height


def _scaled(box: Box, width: int, height: int) -> Box:
    return (box[0] * SIDE / width, box[1] * SIDE / height, box[2] * SIDE / width, box[3] * SIDE / height)


def _label(sign: str) -> int:
    """The class of a character; what is not printable ASCII is a question mark."""
    return ord(sign if " " <= sign <= "~" else "?") - 32


def _page(image: Image.Image, boxes: Sequence[tuple[str, Box]]) -> Page:
    """The picture at the size of a page; a square has the name in whose box its middle lies, or whose middle it has."""
    across = SIDE // SQUARE
    labels = np.zeros((across**2, SLOTS), np.uint8)
    for name, (left, top, right, bottom) in boxes:
        middle = int((top + bottom) / 2 // SQUARE) * across + int((left + right) / 2 // SQUARE)
        for square in range(across**2):
            x, y = SQUARE * (square % across + 0.5), SQUARE * (square // across + 0.5)
            if square == middle or (left <= x < right and top <= y < bottom):
                labels[square] = [_label(sign) for sign in name[:SLOTS].ljust(SLOTS)]
    return Page(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), labels)
