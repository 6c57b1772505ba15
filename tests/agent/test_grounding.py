import asyncio
import json

import pytest
from PIL import Image

from firesteel.agent import ToolError, run
from firesteel.agent.grounding import _places, visual_grounding
from firesteel.format import Message, Part, Trace
from tests.agent.scripted import Scripted, calls, says


def conversation():
    red, blue = (Part(image=Image.new("RGB", (56, 56), colour)) for colour in ("red", "blue"))
    return Trace([Message("user", [red, blue, Part(text="Where?")])])


def ground(backend, **arguments):
    tool = visual_grounding(backend, conversation())
    (part,) = asyncio.run(tool(arguments))
    name, _, found = part.text.partition(": ")
    return name, json.loads(found)


def test_each_object_is_asked_for_with_its_picture():
    backend = Scripted(says('{"bbox_2d": [10, 20, 30, 40]}'), says('[{"bbox_2d": [0.1, 0.2, 0.5, 1.0]}]'))
    name, found = ground(backend, object_names=["cup", "plate"], image_path="img_0")
    assert found == [
        {"bbox_2d": [10, 20, 30, 40], "label": "cup"},
        {"bbox_2d": [100, 200, 500, 1000], "label": "plate"},
    ]
    assert name == "img_0" and [r.messages[0].images[0].getpixel((0, 0)) for r in backend.requests] == [(255, 0, 0)] * 2
    assert "Box the cup." in backend.requests[0].messages[0].text


def test_the_latest_picture_is_meant_if_none_is_named():
    backend = Scripted(says("3"))
    name, found = ground(backend, object_names=["cup"], format_type="count")
    assert name == "img_1" and found == [{"name": "cup", "count": 3, "locations": []}]
    assert backend.requests[0].messages[0].images[0].getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize(
    "answer, places",
    [
        ("none", []),
        ('Here: {"point_2d": [5, 7]}', [{"point_2d": [5, 7]}]),
        ("[0.5, 0.25]", [{"point_2d": [500, 250]}]),
        ("[[1, 2, 3, 4], [5, 6, 7, 8]]", [{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7, 8]}]),
        ('[{"x_min": 0, "y_min": 390, "x_max": 520, "y_max": 1603}]', [{"bbox_2d": [0, 390, 520, 1000]}]),
        ('{"bbox_2d": "left"}', []),
        ("[1, 2", []),
        ("[" * 1200, []),
        ("[1e999, 1]", []),
        ("[NaN, 1]", []),
    ],
)
def test_ways_to_write_a_place(answer, places):
    assert _places(answer) == places


def test_bad_calls_are_told():
    with pytest.raises(ToolError, match="there are: img_0, img_1"):
        ground(Scripted(), object_names=["cup"], image_path="img_7")
    with pytest.raises(ToolError, match="1 to 16"):
        ground(Scripted(), object_names=[])


def test_what_it_takes_is_paid_from_the_budget_of_the_run():
    trace, eye = conversation(), Scripted(says("2"))
    backend = Scripted(
        calls(("container.visual_grounding", {"object_names": '["cup"]', "format_type": "count"})), says("two")
    )

    async def all_of_it():
        return [event async for event in run(trace, backend, [visual_grounding(eye, trace)])]

    events = asyncio.run(all_of_it())
    assert trace.messages[-1].text == "two"
    assert events[-1].data["completion_tokens"] == backend.tokens + eye.tokens
