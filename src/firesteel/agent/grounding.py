"""`container.visual_grounding`: where things are in a picture, asked of the model itself with a prompt of its own.

The published tool returns boxes, points or counts on a grid of 0 to 1000. Models write coordinates in several ways;
fractions, the 0-1000 grid and `x_min`/`x_max` objects are understood, everything is returned as whole numbers 0-1000.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from math import inf
from typing import Any, Literal

from firesteel.agent.events import ABOVE
from firesteel.agent.eyes import GRID, seen
from firesteel.agent.tools import Tool, ToolError, tool
from firesteel.backends import Backend, Request, complete
from firesteel.format import Message, Part, Trace

_PROMPTS = {"bbox": "Box the {}.", "point": "Point to the {}.", "count": "How many {} are there?"}
_FORM = {
    "bbox": 'Reply with JSON only, one object for each that you see: [{"bbox_2d": [left, top, right, bottom]}, …]',
    "point": 'Reply with JSON only, one object for each that you see: [{"point_2d": [x, y]}, …]',
    "count": "Reply with the number only.",
}
_SCALE = " Coordinates are whole numbers from 0 to 1000, from the top left corner."
_MOST = 16  # objects of one call
_KEYS = ("bbox_2d", "point_2d", "box_2d", "bbox", "point", "box")


def visual_grounding(backend: Backend, trace: Trace, *, explain: bool = True, **options: Any) -> Tool:
    """The tool over the pictures of `trace`. `explain` adds the wanted form to the prompt, which kindling knows."""

    @tool(name="container.visual_grounding")
    async def ground(
        object_names: list[str],
        image_path: str = "",
        format_type: Literal["bbox", "point", "count"] = "bbox",
        title: str = "",
    ) -> str:
        """Finds objects in a picture: their boxes, points or number.

        object_names: What to look for, such as: red button.
        image_path: The picture, as img_0; the latest one if left out.
        format_type: bbox, point or count; coordinates are 0 to 1000 from the top left corner.
        title: A heading for the result.
        """
        if not 1 <= len(object_names) <= _MOST:
            raise ToolError(f"object_names must name 1 to {_MOST} things, not {len(object_names)}.")
        known = seen(trace)
        name = image_path or f"img_{max(known, default=0)}"
        number = re.fullmatch(r"(?:img_)?(\d+)", name)
        if number is None or int(number[1]) not in known:
            there = ", ".join(f"img_{n}" for n in sorted(known)) or "none"
            raise ToolError(f"There is no picture {name}; there are: {there}.")
        picture = known[int(number[1])].image
        answers = await asyncio.gather(*(_ask(thing, picture, format_type) for thing in object_names))
        found: list[dict[str, Any]] = []
        for thing, answer in zip(object_names, answers, strict=True):
            if format_type == "count":
                places = _places(answer)
                count = re.search(r"\d+", answer)
                number_of = len(places) if places or count is None else int(count[0])
                found.append({"name": thing, "count": number_of, "locations": places})
            else:
                wanted = "bbox_2d" if format_type == "bbox" else "point_2d"
                found += [place | {"label": thing} for place in _places(answer) if wanted in place]
        head = f"{title}\n" if title else ""
        return f"{head}img_{number[1]}: {json.dumps(found, ensure_ascii=False)}"

    async def _ask(thing: str, picture: Any, kind: str) -> str:
        prompt = _PROMPTS[kind].format(thing)
        if explain:
            prompt += f" {_FORM[kind]}{_SCALE if kind != 'count' else ''}"
        message = Message("user", [Part(image=picture), Part(text=prompt)])
        (sample,) = await complete(backend, Request(messages=[message], **{"temperature": 0.0} | options))
        if above := ABOVE.get():
            above.budget.used(sample.prompt_tokens, sample.cached_tokens, sample.completion_tokens)
        return sample.parse().answer

    return ground


def _places(text: str) -> list[dict[str, list[int]]]:
    """The boxes and points that an answer names, in order."""
    start = re.search(r"[\[{]", text)
    if start is None:
        return []
    try:
        value, _ = json.JSONDecoder().raw_decode(text[start.start() :])
    except (ValueError, RecursionError):
        return []
    items = value if isinstance(value, list) and not _numbers(value) else [value]
    places = []
    for item in items:
        if isinstance(item, Mapping):
            if {"x_min", "y_min", "x_max", "y_max"} <= set(item):
                item = {"bbox_2d": [item[k] for k in ("x_min", "y_min", "x_max", "y_max")]}
            numbers = next((item[key] for key in _KEYS if key in item), None)
        else:
            numbers = item
        if isinstance(numbers, list) and _numbers(numbers) and len(numbers) in (2, 4):
            places.append({"point_2d" if len(numbers) == 2 else "bbox_2d": _on_grid(numbers)})
    return places


def _numbers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < inf for v in value)
    )


def _on_grid(values: list[float]) -> list[int]:
    """Fractions are scaled up; what lies outside is moved to the edge."""
    scale = GRID if max(values) <= 1 and any(isinstance(v, float) for v in values) else 1
    return [min(GRID, max(0, round(v * scale))) for v in values]
