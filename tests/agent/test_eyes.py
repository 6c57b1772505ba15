import asyncio
from contextlib import aclosing

import pytest
from PIL import Image

from firesteel.agent import ToolError, run
from firesteel.agent.contemplate import Plan, contemplate
from firesteel.agent.eyes import Eyes, views
from firesteel.format import Message, Part, Trace
from tests.agent.scripted import Scripted, calls, says


def picture(width=400, height=200):
    """Red left, blue right, with a green pixel block at (300..310, 100..110)."""
    image = Image.new("RGB", (width, height), "red")
    image.paste((0, 0, 255), (width // 2, 0, width, height))
    image.paste((0, 255, 0), (300, 100, 310, 110))
    return image


def trace_with_picture():
    return Trace([Message("user", [Part(image=picture()), Part(text="What is green?")])])


def follow(trace, *script):
    async def all_of_it():
        return [event async for event in run(trace, Scripted(*script), Eyes(trace).tools())]

    return asyncio.run(all_of_it())


def test_a_crop_shows_the_part_and_knows_its_place():
    trace = trace_with_picture()
    follow(trace, calls(("zoom", {"img": "0", "bbox_2d": "[500, 0, 1000, 1000]", "label": "right"})), says("ok"))
    result = trace.messages[2]
    assert result.text == "img_1 = crop of img_0 [500, 0, 1000, 1000]: right"
    assert result.images[0].getpixel((0, 0)) == (0, 0, 255) and min(result.images[0].size) >= 448
    assert views(trace)[1].to_root(500, 500) == (750, 500)


def test_crops_of_crops_lead_back_to_the_root():
    trace = trace_with_picture()
    follow(
        trace,
        calls(("zoom", {"img": "0", "bbox_2d": "[500, 0, 1000, 1000]"})),
        calls(("zoom", {"img": "1", "bbox_2d": "[400, 400, 700, 700]"})),
        says("ok"),
    )
    view = views(trace)[2]
    assert view.root == 0 and view.box == pytest.approx((0.7, 0.4, 0.85, 0.7), abs=0.01)
    green = [
        (x, y)
        for x in range(0, view.image.width, 4)
        for y in range(0, view.image.height, 4)
        if view.image.getpixel((x, y))[1] > 200
    ]
    x, y = (sum(v) / len(green) for v in zip(*green, strict=True))
    root = view.to_root(1000 * x / view.image.width, 1000 * y / view.image.height)
    assert root == (pytest.approx(762, abs=6), pytest.approx(525, abs=12))  # (305, 105) of 400x200


def test_calls_of_one_turn_get_numbers_of_their_own():
    trace = trace_with_picture()
    boxes = ["[0, 0, 500, 500]", "[500, 500, 1000, 1000]"]
    follow(trace, calls(*[("zoom", {"img": "0", "bbox_2d": b}) for b in boxes]), says("ok"))
    assert [m.text.split(" ")[0] for m in trace.messages[2:4]] == ["img_1", "img_2"]
    assert views(trace)[2].box[:2] == (0.5, 0.5)


def test_tiny_and_thin_crops_are_grown_within_the_picture():
    trace = trace_with_picture()
    follow(
        trace,
        calls(
            ("zoom", {"img": "0", "bbox_2d": "[0, 0, 5, 5]"}), ("zoom", {"img": "0", "bbox_2d": "[0, 990, 1000, 992]"})
        ),
        says("ok"),
    )
    tiny, thin = views(trace)[1], views(trace)[2]
    assert tiny.box == pytest.approx((0, 0, 28 / 400, 28 / 200), abs=0.003)
    assert thin.box[3] == 1.0 and thin.box[3] - thin.box[1] >= 28 / 200 - 0.01


def test_marks_are_drawn_on_a_copy():
    trace = trace_with_picture()
    items = (
        '[{"bbox_2d": [700, 400, 800, 600], "label": "here"}, {"point_2d": [100, 100]}, {"line": [0, 0, 1000, 1000]}]'
    )
    follow(trace, calls(("mark", {"img": "0", "items": items})), says("ok"))
    drawn, original = views(trace)[1], views(trace)[0]
    assert drawn.box == (0, 0, 1, 1) and drawn.root == 0
    assert original.image.tobytes() == picture().tobytes() != drawn.image.tobytes()
    assert drawn.image.getpixel((280, 100)) == (214, 40, 40)  # the box's left edge


@pytest.mark.parametrize(
    "name, arguments, sentence",
    [
        ("zoom", {"img": 5, "bbox_2d": [0, 0, 10, 10]}, "there are: img_0"),
        ("zoom", {"img": 0, "bbox_2d": [10, 0, 10, 10]}, "left < right"),
        ("zoom", {"img": 0, "bbox_2d": [0, 0, 1001, 10]}, "from 0 to 1000"),
        ("zoom", {"img": 0, "bbox_2d": [0, 0, 10]}, "list of 4"),
        ("mark", {"img": 0, "items": []}, "1 to 64"),
        ("mark", {"img": 0, "items": [{"label": "x"}]}, "needs point_2d"),
    ],
)
def test_bad_calls_are_told(name, arguments, sentence):
    tools = {t.name: t for t in Eyes(trace_with_picture()).tools()}
    with pytest.raises(ToolError, match=sentence):
        asyncio.run(tools[name](arguments))


def test_other_tools_pictures_take_free_numbers():
    trace = trace_with_picture()
    trace.append(Message("tool", [Part(text="plot"), Part(image=picture(50, 50))], name="python"))
    eyes = {t.name: t for t in Eyes(trace).tools()}
    text, _ = asyncio.run(eyes["zoom"]({"img": 1, "bbox_2d": [0, 0, 500, 500]}))
    assert text.text.startswith("img_2 = crop of img_1") and set(views(trace)) == {0, 1}


def test_agents_that_contemplate_look_at_their_own_crops():
    """Each zooms into another half, then into its own crop: equal numbers, different pictures."""
    trace = trace_with_picture()

    def next_turn(request):
        """What an agent says depends on what it was shown, whoever of the two is asked first."""
        shown = [message for message in request.messages if message.role == "tool"]
        if len(shown) == 2:
            return says(shown[-1].text)
        return calls(("zoom", {"img": "1", "bbox_2d": "[0, 0, 500, 500]"}))

    first = [calls(("zoom", {"img": "0", "bbox_2d": f"[{left}, 0, {left + 500}, 1000]"})) for left in (0, 500)]
    backend = Scripted(*first, *[next_turn] * 4)

    async def seen_last():
        async with aclosing(contemplate(trace, backend, Plan(agents=2, early=False), Eyes(trace).tools())) as events:
            return [e.message for e in [e async for e in events] if e.kind == "tool_finished"]

    results = asyncio.run(seen_last())
    assert [r.text for r in results].count("img_2 = crop of img_1 [0, 0, 500, 500]") == 2
    assert {r.images[0].getpixel((0, 0)) for r in results[2:]} == {(255, 0, 0), (0, 0, 255)}


@pytest.mark.parametrize("said", ["img_0 = drawing of img_0", f"img_{'9' * 5000} = drawing of img_0"])
def test_what_tools_without_pictures_say_names_none(said):
    trace = trace_with_picture()
    trace.append(Message("tool", said, name="browser.open"))
    assert set(views(trace)) == {0}
