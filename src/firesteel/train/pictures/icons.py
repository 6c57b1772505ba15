"""Icons and emoji with names: sets in Iconify's JSON form (iconify.design), drawn once with resvg.

- A set is an `icons.json`, its package folder, or the archive that `npm pack @iconify-json/NAME` writes; the last two
  bring the licence with them (`info.json`).
- The name is the icon's own in words. Outlines of a filled drawing bear its name; skin tones of one that is there
  without are left out, and so are names of more than three words, because nobody would say them.
- Several sets in one album draw one thing in several styles: a drawing held out may be known from another set.
- What is drawn in the text's colour is kept as black on nothing with `tint`, and gets a colour when it is shown.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from firesteel.tasks.albums import Record, webp, write_album

SIDE = 96  # pixels a drawing has before it is shown smaller
_TONE = re.compile(r"-(?:medium-light|medium-dark|light|medium|dark)(?:-skin-tone)?(?=-|$)")
_WORDS, _LETTERS = 3, 24  # the most of a name


def album(sources: Sequence[Path], out: Path, licence: str = "") -> dict[str, Any]:
    """Draws the sets into one album at `out`; returns what it holds. `licence` is for sets that do not name theirs.

    Raises ValueError for a file that is no icon set, and where resvg is not installed.
    """
    try:
        import resvg_py  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError("Drawing icons needs resvg: pip install 'firesteel[pictures]'.") from error
    sets = [_read(source) for source in sources]
    licences = {found["prefix"]: info.get("license", {}).get("spdx", licence) for found, info in sets}

    def records() -> Iterator[tuple[Record, bytes]]:
        for found, _ in sets:
            yield from _drawn(found)

    about = {"source": ", ".join(licences), "licence": ", ".join(f"{k}: {v}" for k, v in licences.items())}
    return write_album(out, "icons", about, records())


def spoken(key: str, there: Mapping[str, Any]) -> str | None:
    """The name of an icon in words, or None for one that is not worth a picture; `there` are the set's icons."""
    plain = _TONE.sub("", key)
    if plain != key and plain in there:
        return None  # the same drawing in another tone
    if key.removesuffix("-outline") in there:
        key = key.removesuffix("-outline")
    words = key.replace("_", "-").split("-")
    name = " ".join(words)
    return name if len(words) <= _WORDS and len(name) <= _LETTERS and not name.replace(" ", "").isdigit() else None


def _read(source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A set and what is told about it."""
    try:
        if source.name.endswith((".tgz", ".tar.gz")):
            with tarfile.open(source) as tar:
                texts = [
                    stream.read().decode() if (stream := tar.extractfile(f"package/{name}.json")) else ""
                    for name in ("icons", "info")
                ]
        else:
            path = source / "icons.json" if source.is_dir() else source
            info = path.with_name("info.json")
            texts = [path.read_text(encoding="utf-8"), info.read_text(encoding="utf-8") if info.is_file() else "{}"]
        found, told = (json.loads(text) for text in texts)
        if not isinstance(found["icons"], dict) or not isinstance(found["prefix"], str):
            raise KeyError("icons")
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError, tarfile.TarError) as error:
        raise ValueError(f"{source} is no icon set: name an Iconify icons.json, its folder or npm archive.") from error
    return found, told


def _drawn(found: Mapping[str, Any]) -> Iterator[tuple[Record, bytes]]:
    for key, icon in sorted(found["icons"].items()):
        name = spoken(key, found["icons"])
        if name is None or icon.get("hidden"):
            continue
        image = _draw({**{side: found.get(side, 16) for side in ("width", "height")}, **icon})
        if image is not None:
            facts = {"tint": True} if "currentColor" in icon["body"] else {}
            yield Record(f"{found['prefix']}/{key}", name, facts), webp(image)


def _draw(icon: Mapping[str, Any]) -> Image.Image | None:
    """The drawing, cut to its ink, RGBA; None where there is none."""
    import resvg_py

    view = f"{icon.get('left', 0)} {icon.get('top', 0)} {icon['width']} {icon['height']}"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}">{icon["body"]}</svg>'
    wide, high = icon["width"], icon["height"]
    size = {"width": SIDE, "height": max(1, round(SIDE * high / wide))}
    if high > wide:
        size = {"width": max(1, round(SIDE * wide / high)), "height": SIDE}
    png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, **size)
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    ink = image.getchannel("A").getbbox()
    return image.crop(ink) if ink else None
