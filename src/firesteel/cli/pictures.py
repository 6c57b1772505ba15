"""Pictures in the terminals that can show them: the graphics protocol of kitty and the inline images of iTerm2.

Other terminals get the size in words from the caller. Protocols: sw.kovidgoyal.net/kitty/graphics-protocol and
iterm2.com/documentation-images.html.
"""

from __future__ import annotations

import io
import os
from base64 import standard_b64encode
from collections.abc import Mapping

from PIL import Image

_CHUNK = 4096  # the most base64 characters of one kitty command
_LARGEST = 480  # pixels a side of what is shown


def drawn(image: Image.Image, environment: Mapping[str, str] = os.environ) -> str:
    """What to print so that this terminal shows the picture, or nothing where it cannot."""
    program = environment.get("TERM_PROGRAM", "")
    kitty = "KITTY_WINDOW_ID" in environment or program == "ghostty" or environment.get("TERM") == "xterm-kitty"
    if not kitty and program not in ("iTerm.app", "WezTerm"):
        return ""
    shown = image.convert("RGB")
    shown.thumbnail((_LARGEST, _LARGEST))
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    data = standard_b64encode(buffer.getvalue()).decode()
    if not kitty:
        return f"\x1b]1337;File=inline=1;size={len(buffer.getvalue())}:{data}\a\n"
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    head = ["a=T,f=100,", *[""] * (len(chunks) - 1)]
    more = [1] * (len(chunks) - 1) + [0]
    return "".join(f"\x1b_G{h}m={m};{c}\x1b\\" for h, m, c in zip(head, more, chunks, strict=True)) + "\n"
