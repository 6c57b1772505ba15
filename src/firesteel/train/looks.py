"""Conversations in which a picture is looked at closer: `zoom`, called by the harness that serves users.

- A third of them look: the target is too small to read at once, the thought says where it is, and zoom shows the window
  that it lies in. What comes back is what `agent.eyes` really makes.
- The others: what zoom would show, to be read at once; the same pictures with no tool at hand, or asked where the
  labels are, because who looks at the wrong place learns nothing from looking; everyday pictures with a tool that is
  not needed.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from firesteel.agent.eyes import Eyes
from firesteel.format import Message, Part, ToolCall, Trace
from firesteel.tasks import FAMILIES, make
from firesteel.tasks.albums.asked import grounded
from firesteel.tasks.base import HELD_OUT, Problem, thought
from firesteel.tasks.interface import Point
from firesteel.tasks.tiny import Tiny

_LOOKS, _CLOSE, _AT_ONCE, _PLACES = 0.35, 0.35, 0.03, 0.15  # shares; the rest needs no tool
_STEP = 125  # half a window of pictures of level 1, in thousandths of their side


def conversation(rng: random.Random, strength: int) -> tuple[list[Message], list[dict[str, Any]]]:
    """Messages that end with the assistant's answer, and the schemas of the tools that are there."""
    kind = rng.random()
    if kind < _LOOKS:
        return _looked(rng, Tiny().generate(rng, 1), strength)
    if kind < _LOOKS + _CLOSE:
        return _close(Tiny().generate(rng, 1), strength), []
    if kind < _LOOKS + _CLOSE + _AT_ONCE:
        return _answered(Tiny().generate(rng, 1), strength), []
    if kind < _LOOKS + _CLOSE + _AT_ONCE + _PLACES:
        problem = Tiny().generate(rng, 1)
        return (_pointed(rng, problem, strength) if rng.random() < 0.5 else _described(problem)), []
    visual = [name for name, family in FAMILIES.items() if family.visual]
    messages = _answered(make(rng.choice(visual), rng.randrange(HELD_OUT), 1), strength)
    return messages, _schemas(rng, Eyes(Trace(messages[:1])))


def _answered(problem: Problem, strength: int) -> list[Message]:
    return [problem.message, Message("assistant", problem.answer, thought(problem, strength))]


def _close(problem: Problem, strength: int) -> list[Message]:
    """The window that zoom would show, as the picture that is asked about."""
    assert problem.image is not None
    place = problem.full.partition(". ")[0]
    eyes = Eyes(Trace([problem.message]))
    where = {"img": 0, "bbox_2d": _around(place)}
    shown = [part for part in asyncio.run(eyes.tools()[0](where)) if isinstance(part, Part) and part.image]
    asked = Message("user", [*shown, Part(text=problem.question)])
    return [asked, Message("assistant", problem.answer, _spelled(problem, strength))]


def _pointed(rng: random.Random, problem: Problem, strength: int) -> list[Message]:
    """Where the one label is, asked and answered as in the family `point`."""
    assert problem.image is not None
    side = 1000 / problem.image.width
    left, top, right, bottom = (edge * side for edge in problem.facts["box"])
    frame = (left, top, right, bottom)
    asked = grounded(Point(), rng, problem.image, [problem.facts["label"]], [frame], problem.caption)
    return _answered(asked, strength)


def _described(problem: Problem) -> list[Message]:
    """Where each label is: what a look begins with, for all of them."""
    assert problem.image is not None
    asked = Message("user", [Part(image=problem.image), Part(text="Where are the labels?")])
    return [asked, Message("assistant", problem.caption)]


def _looked(rng: random.Random, problem: Problem, strength: int) -> tuple[list[Message], list[dict[str, Any]]]:
    assert problem.image is not None
    trace = Trace([problem.message])
    eyes = Eyes(trace)
    place = problem.full.partition(". ")[0]  # "orange 80 370", as the family's own working has it
    where = {"img": 0, "bbox_2d": _around(place)}
    call = ToolCall("zoom", where, "call_0")
    trace.append(Message("assistant", "", _thought(strength, f"{place}.", f"{place}. Look there."), tool_calls=[call]))
    shown = asyncio.run(eyes.tools()[0](where))
    trace.append(
        Message(
            "tool",
            [part if isinstance(part, Part) else Part(text=part) for part in shown],
            name="zoom",
            tool_call_id="call_0",
        )
    )
    trace.append(Message("assistant", problem.answer, _spelled(problem, strength)))
    return list(trace), _schemas(rng, eyes)


def _around(place: str) -> list[int]:
    """The window that zoom should show for a place "colour x y": windows overlap by half, the nearest one is taken.

    A few windows can be told apart by a glance, while a square right around a place would take sums.
    """
    middles = map(int, place.split()[-2:])
    starts = [min(max(0, round(middle / _STEP) - 1), 1000 // _STEP - 2) * _STEP for middle in middles]
    return [*starts, *(start + 2 * _STEP for start in starts)]


def _schemas(rng: random.Random, eyes: Eyes) -> list[dict[str, Any]]:
    """zoom, sometimes with mark beside it, as users offer them."""
    tools = eyes.tools()
    return [tool.schema for tool in (tools if rng.random() < 0.3 else tools[:1])]


def _spelled(problem: Problem, strength: int) -> str:
    spelled = " ".join(problem.answer)
    return _thought(strength, spelled, f"{spelled}. So {problem.answer}.")


def _thought(strength: int, terse: str, full: str) -> str:
    return thought(Problem(family="look", level=1, question="", answer="", terse=terse, full=full), strength)
