"""Pictures out of a file: the album that holds them and the families of questions about them.

The families are not of the registry, because they need a file of the user. Training and evaluation draw from the two
sides of the album's split.
"""

from __future__ import annotations

from firesteel.tasks.albums.album import KINDS, Album, Record, open_album, webp, write_album
from firesteel.tasks.albums.named import named
from firesteel.tasks.albums.pages import paged
from firesteel.tasks.base import Family

__all__ = ["KINDS", "Album", "Record", "families", "open_album", "webp", "write_album"]


def families(album: Album, held_out: bool = False) -> dict[str, Family]:
    """What can be asked about the album's pictures, by name: those for training, or those held out from it.

    Raises ValueError where that side of the split is empty.
    """
    numbers = album.held_out if held_out else album.trained
    if not numbers:
        raise ValueError(f"{album.path} has no pictures {'held out from' if held_out else 'for'} training.")
    made = paged if album.kind == "pages" else named
    return {family.name: family for family in made(album, numbers)}
