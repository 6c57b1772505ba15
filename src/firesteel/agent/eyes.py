"""Visual chain of thought: `zoom` and `mark`, and where every picture of a conversation comes from.

Pictures are numbered img_0, img_1, … in the order in which the conversation shows them. What a tool makes of a picture
says so in words, `img_3 = crop of img_1 [120, 40, 480, 400]`, and these words are the only record: the map from any
picture to the root picture is worked out from the trace, so it survives a restart. Coordinates are whole numbers from 0
to 1000 of the named picture, from its top left corner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from PIL import Image, ImageDraw

from firesteel.agent.events import ABOVE
from firesteel.agent.tools import Tool, ToolError, tool
from firesteel.format import Message, Part, Trace

GRID = 1000
SMALLEST = 28  # pixels a side of the smallest crop: one image token
NATIVE = 448  # a crop is enlarged until its short side has this many pixels, or its long side twice as many
_ASPECT = 20
_MADE = re.compile(
    r"img_(\d{1,9}) = (crop|drawing) of img_(\d{1,9})(?: \[(\d{1,9}), (\d{1,9}), (\d{1,9}), (\d{1,9})\])?"
)
_INK = ((214, 40, 40), (40, 90, 215), (40, 150, 60), (245, 140, 20), (130, 50, 170))


@dataclass(frozen=True)
class View:
    """A picture and its place in the root picture, as fractions (left, top, right, bottom) of it."""

    image: Image.Image
    root: int
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def to_root(self, x: float, y: float) -> tuple[int, int]:
        """A point of this picture (0..1000) as one of the root picture."""
        left, top, right, bottom = self.box
        return round(left * GRID + x * (right - left)), round(top * GRID + y * (bottom - top))


def views(trace: Trace) -> dict[int, View]:
    """Every picture of the conversation by its number."""
    found: dict[int, View] = {}
    named = {int(made[1]) for message in trace for made in _made(message)}
    free = (number for number in range(len(named) + sum(len(m.images) for m in trace) + 1) if number not in named)
    for message in trace:
        made = _made(message)
        for place, image in enumerate(message.images):
            if place >= len(made):
                number = next(free)
                found[number] = View(image, number)
                continue
            number, source = int(made[place][1]), int(made[place][3])
            parent = found.get(source) or View(image, number)
            box = parent.box
            if made[place][2] == "crop" and made[place][4] is not None:
                box = _within(parent.box, *(int(made[place][i]) / GRID for i in range(4, 8)))
            found[number] = View(image, parent.root, box)
    return found


def _made(message: Message) -> list[re.Match[str]]:
    """What a tool says of its pictures. Without pictures it can only quote what is said of others."""
    return list(islice(_MADE.finditer(message.text), len(message.images))) if message.role == "tool" else []


def _within(outer: tuple[float, float, float, float], *inner: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = outer
    width, height = right - left, bottom - top
    return left + inner[0] * width, top + inner[1] * height, left + inner[2] * width, top + inner[3] * height


def seen(trace: Trace) -> dict[int, View]:
    """The pictures of a conversation and of the agent whose tool one is; its own come first where numbers are equal."""
    above = ABOVE.get()
    return views(trace) | (views(above.trace) if above else {})


class Eyes:
    """The two tools over one conversation. Agents that think about it at once each see its pictures and their own."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._promised: dict[int, int] = {}  # by id of a trace: the last number of a result that may not be there yet

    def tools(self) -> list[Tool]:
        @tool
        async def zoom(img: int, bbox_2d: list[int], label: str = "") -> list[str | Part]:
            """Looks closer at a part of a picture of this conversation.

            img: The number of the picture; the first one shown is 0.
            bbox_2d: [left, top, right, bottom] of the part, each from 0 to 1000.
            label: What is looked at.
            """
            view = self._view(img)
            left, top, right, bottom = _box(bbox_2d)
            size = view.image.size
            pixels = _grown((left * size[0], top * size[1], right * size[0], bottom * size[1]), size)
            crop = view.image.crop(pixels)
            scale = max(1.0, min(NATIVE / min(crop.size), 2 * NATIVE / max(crop.size)))
            crop = crop.resize((round(crop.width * scale), round(crop.height * scale)), Image.Resampling.LANCZOS)
            inner = [round(v * GRID / size[i % 2]) for i, v in enumerate(pixels)]
            name = f"img_{self._next()} = crop of img_{img} [{', '.join(map(str, inner))}]"
            return [f"{name}{': ' + label if label else ''}", Part(image=crop)]

        @tool
        async def mark(img: int, items: list[dict]) -> list[str | Part]:  # type: ignore[type-arg]
            """Draws on a copy of a picture: points, boxes, lines and words.

            img: The number of the picture; the first one shown is 0.
            items: Objects with point_2d [x, y], bbox_2d [x1, y1, x2, y2] or line [x1, y1, x2, y2], and label.
            """
            view = self._view(img)
            if not 1 <= len(items) <= 64:
                raise ToolError(f"items must name 1 to 64 things, not {len(items)}.")
            copy = view.image.copy()
            pen = ImageDraw.Draw(copy)
            for number, item in enumerate(items):
                _draw(pen, copy.size, item, _INK[number % len(_INK)])
            return [f"img_{self._next()} = drawing of img_{img}", Part(image=copy)]

        return [zoom, mark]

    def _view(self, number: int) -> View:
        known = seen(self._trace)
        if number not in known:
            there = ", ".join(f"img_{n}" for n in sorted(known)) or "none"
            raise ToolError(f"There is no picture img_{number}; there are: {there}.")
        return known[number]

    def _next(self) -> int:
        """A number for a new picture; two calls of one turn get two."""
        above = ABOVE.get()
        calling = id(above.trace if above else self._trace)
        self._promised[calling] = max(self._promised.get(calling, -1), max(seen(self._trace), default=-1)) + 1
        return self._promised[calling]


def _numbers(values: Any, count: int, name: str) -> list[float]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        raise ToolError(f"{name} must be a list of {count} numbers from 0 to {GRID}.")
    if not all(isinstance(v, int | float) and 0 <= v <= GRID for v in values):
        raise ToolError(f"{name} must be numbers from 0 to {GRID}, got {list(values)}.")
    return [v / GRID for v in values]


def _box(values: Any) -> tuple[float, float, float, float]:
    left, top, right, bottom = _numbers(values, 4, "bbox_2d")
    if left >= right or top >= bottom:
        raise ToolError("bbox_2d must be [left, top, right, bottom] with left < right and top < bottom.")
    return left, top, right, bottom


def _grown(box: tuple[float, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels around `box`, at least SMALLEST a side where the picture allows, and not too thin."""
    edges = []
    need = max(SMALLEST, (box[2] - box[0]) / _ASPECT, (box[3] - box[1]) / _ASPECT)
    for axis in (0, 1):
        low, high = box[axis], box[axis + 2]
        lack = max(0.0, need - (high - low)) / 2
        low, high = low - lack, high + lack
        shift = max(0.0, -low) - max(0.0, high - size[axis])
        edges.append((max(0, int(low + shift)), min(size[axis], round(high + shift + 0.499))))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]


def _draw(pen: ImageDraw.ImageDraw, size: tuple[int, int], item: Mapping[str, Any], ink: tuple[int, int, int]) -> None:
    width, height = size
    stroke = max(2, min(size) // 150)

    def at(values: Sequence[float]) -> list[float]:
        return [v * (width if i % 2 == 0 else height) for i, v in enumerate(values)]

    if not isinstance(item, Mapping):
        raise ToolError("Each item must be an object with point_2d, bbox_2d or line.")
    if "bbox_2d" in item:
        place = at(_box(item["bbox_2d"]))
        pen.rectangle(place, outline=ink, width=stroke)
    elif "line" in item:
        place = at(_numbers(item["line"], 4, "line"))
        pen.line(place, fill=ink, width=stroke)
    elif "point_2d" in item:
        x, y = at(_numbers(item["point_2d"], 2, "point_2d"))
        radius = 3 * stroke
        place = [x - radius, y - radius, x + radius, y + radius]
        pen.ellipse(place, outline=ink, width=stroke)
    else:
        raise ToolError("Each item needs point_2d, bbox_2d or line.")
    if label := str(item.get("label") or item.get("text") or ""):
        size_px = max(10, min(size) // 28)
        left, top = min(place[0], place[2]), min(place[1], place[3])
        box = pen.textbbox((0, 0), label, font_size=size_px)
        x, y = min(max(0.0, left), max(0.0, width - box[2] - 2)), max(0.0, top - box[3] - 3)
        pen.rectangle((x, y, x + box[2] + 2, y + box[3] + 2), fill=(255, 255, 255))
        pen.text((x + 1, y), label, fill=ink, font_size=size_px)
