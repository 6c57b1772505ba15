"""Small Pillow helpers that every visual family draws with: canvas, typefaces, named colours, placed text.

The typefaces are the TrueType files that the matplotlib package ships (found without importing it), so a picture is
the same on every machine that has the same versions. Sizes are pixels; boxes are (left, top, right, bottom).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Rgb = tuple[int, int, int]
Box = tuple[float, float, float, float]

INK: Rgb = (20, 20, 24)

# Far apart from each other and all readable on a light ground; black and white text stands out on each (see `on`).
COLOURS: dict[str, Rgb] = {
    "red": (214, 40, 40),
    "orange": (245, 140, 20),
    "yellow": (245, 212, 40),
    "green": (40, 150, 60),
    "blue": (40, 90, 215),
    "purple": (130, 50, 170),
    "pink": (245, 140, 190),
    "brown": (125, 75, 35),
    "gray": (128, 128, 128),
    "black": (25, 25, 25),
}

_FILES = {
    "sans": "DejaVuSans.ttf",
    "sans-bold": "DejaVuSans-Bold.ttf",
    "serif": "DejaVuSerif.ttf",
    "serif-bold": "DejaVuSerif-Bold.ttf",
    "mono": "DejaVuSansMono.ttf",
    "mono-bold": "DejaVuSansMono-Bold.ttf",
    "stix": "STIXGeneral.ttf",
    "stix-bold": "STIXGeneralBol.ttf",
}
FONTS = tuple(_FILES)
BOLD_FONTS = ("sans-bold", "serif-bold", "mono-bold", "stix-bold")


@lru_cache(maxsize=1)
def _font_folder() -> Path:
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("The pictures need the typefaces of the matplotlib package; install matplotlib.")
    return Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


@lru_cache(maxsize=256)
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """The typeface called `name` (one of FONTS) at `size` pixels, loaded once."""
    assert name in _FILES, f"unknown typeface {name!r}"
    # The basic layout engine is faster than raqm and gives the same picture where raqm is missing.
    return ImageFont.truetype(str(_font_folder() / _FILES[name]), size, layout_engine=ImageFont.Layout.BASIC)


def canvas(rng: random.Random, width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A light RGB ground of slightly random tint, and the pen for it."""
    ground = tuple(rng.randint(236, 255) for _ in range(3))
    image = Image.new("RGB", (width, height), ground)
    return image, ImageDraw.Draw(image)


def vary(rng: random.Random, colour: Rgb, by: int = 10) -> Rgb:
    """`colour` with each channel moved by at most `by`, so that a name covers a range of shades."""
    red, green, blue = (min(255, max(0, channel + rng.randint(-by, by))) for channel in colour)
    return red, green, blue


def on(colour: Rgb) -> Rgb:
    """Black or white, whichever is read more easily on `colour`."""
    red, green, blue = colour
    return (255, 255, 255) if 0.30 * red + 0.59 * green + 0.11 * blue < 140 else (0, 0, 0)


def text_box(xy: Sequence[float], text: str, face: ImageFont.FreeTypeFont, anchor: str = "mm") -> Box:
    """Where `put` with the same arguments would leave ink."""
    left, top, right, bottom = face.getbbox(text, anchor=anchor)
    return (xy[0] + left, xy[1] + top, xy[0] + right, xy[1] + bottom)


def put(
    draw: ImageDraw.ImageDraw,
    xy: Sequence[float],
    text: str,
    face: ImageFont.FreeTypeFont,
    fill: Rgb = INK,
    anchor: str = "mm",
) -> Box:
    """Writes `text` with its anchor (Pillow's two letters; "mm" is the middle) at `xy` and returns its box."""
    at = (round(xy[0]), round(xy[1]))  # whole pixels keep the stems sharp
    draw.text(at, text, font=face, fill=fill, anchor=anchor)
    return text_box(at, text, face, anchor)


def overlaps(box: Box, other: Box, gap: float = 0) -> bool:
    """Whether two boxes come closer than `gap` pixels."""
    return box[0] < other[2] + gap and other[0] < box[2] + gap and box[1] < other[3] + gap and other[1] < box[3] + gap


def clear(box: Box, others: Iterable[Box], size: tuple[int, int], gap: float = 2) -> bool:
    """Whether `box` lies within a picture of `size` (width, height) and `gap` pixels away from all `others`."""
    inside = box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]
    return inside and not any(overlaps(box, other, gap) for other in others)


def crosses(start: Sequence[float], end: Sequence[float], box: Box, gap: float = 1) -> bool:
    """Whether the straight stroke from `start` to `end` comes within `gap` pixels of `box`."""
    near, far = 0.0, 1.0
    for axis in (0, 1):
        low, high = box[axis] - gap, box[axis + 2] + gap
        step = end[axis] - start[axis]
        if abs(step) < 1e-9:
            if not low <= start[axis] <= high:
                return False
            continue
        enter, leave = sorted(((low - start[axis]) / step, (high - start[axis]) / step))
        near, far = max(near, enter), min(far, leave)
    return near <= far


def moved(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture somewhere on a ground, of the colour of its corner, that is up to 1.4 times as wide and as high."""
    width, height = image.size
    wide, high = round(width * rng.choice((1.0, rng.uniform(1, 1.4)))), round(height * rng.uniform(1, 1.4))
    if rng.random() < 0.5:
        wide, high = round(high * width / height), round(wide * height / width)
    ground = Image.new("RGB", (wide, high), image.convert("RGB").getpixel((0, 0)))
    ground.paste(image, (rng.randint(0, wide - width), rng.randint(0, high - height)))
    return ground
