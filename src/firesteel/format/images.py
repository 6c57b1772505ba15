"""Pictures: opened with care, resized to the grid of least distortion, cut into patches as published.

- Sizes are read from the header and checked before a pixel is decoded, so that a small file cannot fill the memory.
- The grid counts merged cells of 28x28 pixels (2x2 patches of 14), at most 4096 of them; LANCZOS; mean and std .5.
- A patch is flattened as (temporal, channel, y, x); a still picture fills both temporal slots. Patches are row-major.

Source of the numbers: the Muse Glimmer image processor in transformers 5.23.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PATCH_SIZE, MERGE, TEMPORAL, MAX_TOKENS = 14, 2, 2, 4096
MAX_PIXELS = 64_000_000
_MOST_SCANS = 100  # of a JPEG: each costs the time of all pixels and takes a few bytes; pictures have ten or twenty
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
# What Pillow's decoders raise on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError, OverflowError)


def load_image(source: Path | str | bytes | Image.Image, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Opens a PNG, JPEG, WebP or GIF (its first frame) as upright RGB, transparency laid on white.

    `source` is a path, the bytes of a file, or a picture already open. Raises ValueError, with one sentence, for a
    missing or damaged file, another format, or more than `max_pixels` pixels.
    """
    if isinstance(source, Image.Image):
        _check_size(source, "The picture", max_pixels)
        return _flatten(source)
    if isinstance(source, bytes):
        name, stream = "The picture", io.BytesIO(source)
    else:
        name = f"The picture {source}"
        try:
            stream = io.BytesIO(Path(source).read_bytes())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(f"{name} cannot be read: {reason}.") from error
    data = stream.getvalue()
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > _MOST_SCANS:
        raise ValueError(f"{name} has more than {_MOST_SCANS} scans: it would take too long to open.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(stream, formats=_FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} has more than {max_pixels:,} pixels.") from error
    except _DAMAGE as error:
        raise ValueError(f"{name} is not a readable PNG, JPEG, WebP or GIF file.") from error
    _check_size(image, name, max_pixels)
    try:
        image.load()
        return _flatten(image)
    except _DAMAGE as error:
        raise ValueError(f"{name} is damaged: {error}.") from error


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(f"{name} is {width}x{height}, more than {max_pixels:,} pixels.")
    if width * height == 0:
        raise ValueError(f"{name} is empty ({width}x{height}).")


def _flatten(image: Image.Image) -> Image.Image:
    """Upright RGB without transparency."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # 16-bit grey: a plain conversion would clip instead of scale
        image = image.convert("I")
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def grid_size(
    height: int, width: int, patch_size: int = PATCH_SIZE, merge: int = MERGE, max_tokens: int = MAX_TOKENS
) -> tuple[int, int, int]:
    """The patch grid (1, rows, columns) that distorts a picture of this height and width least.

    Rows and columns are multiples of `merge`, and there are at most `max_tokens` merged cells.
    """
    assert height > 0 and width > 0 and max_tokens > 0
    cell = patch_size * merge
    rows, columns = height / cell, width / cell
    if rows * columns > max_tokens:
        ratio = columns / rows
        rows = (max_tokens / ratio) ** 0.5
        columns = rows * ratio
    # A set, because the published choice between equally good grids is the set's order; the order of tuples of
    # integers is the same in every process.
    around = {(r, c) for r in (math.floor(rows), math.ceil(rows)) for c in (math.floor(columns), math.ceil(columns))}
    grids = [(r, c) for r, c in around if r >= 1 and c >= 1 and r * c <= max_tokens]
    if not grids:  # a sliver, longer than all cells in one line
        grids = [(1, max_tokens) if width > height else (max_tokens, 1)]
    rows_, columns_ = min(grids, key=lambda grid: abs(grid[0] / grid[1] - height / width))
    return 1, rows_ * merge, columns_ * merge


def resize_to_grid(image: Image.Image, patch_size: int = PATCH_SIZE, **grid: int) -> Image.Image:
    """The picture at exactly the size of its grid (LANCZOS); one that fits already is returned as it is."""
    _, rows, columns = grid_size(image.height, image.width, patch_size, **grid)
    size = (columns * patch_size, rows * patch_size)
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def patchify(
    image: Image.Image,
    patch_size: int = PATCH_SIZE,
    merge: int = MERGE,
    temporal: int = TEMPORAL,
    max_tokens: int = MAX_TOKENS,
) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
    """Pixel values (N, temporal * 3 * patch_size**2) in [-1, 1] and the grid (1, rows, columns), N = rows * columns."""
    import numpy as np

    grid = grid_size(image.height, image.width, patch_size, merge, max_tokens)
    _, rows, columns = grid
    resized = resize_to_grid(image.convert("RGB"), patch_size, merge=merge, max_tokens=max_tokens)
    pixels = (np.asarray(resized, dtype=np.float32) - 127.5) / 127.5  # (H, W, 3)
    patches = pixels.reshape(rows, patch_size, columns, patch_size, 3).transpose(0, 2, 4, 1, 3)  # (R, C, 3, y, x)
    patches = patches.reshape(rows * columns, 1, 3 * patch_size**2)  # (N, 1, 3 * y * x)
    return np.repeat(patches, temporal, axis=1).reshape(rows * columns, -1), grid


def image_tokens(image: Image.Image, **options: Any) -> int:
    """How many `<|patch|>` tokens the picture takes: its merged cells."""
    merge = options.get("merge", MERGE)
    _, rows, columns = grid_size(image.height, image.width, **options)
    return (rows // merge) * (columns // merge)
