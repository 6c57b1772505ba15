"""The four conditions against minds that read only what is shown large, look in the wrong place, or not at all."""

import asyncio
import json
import random

import pytest

from firesteel.agent.eyes import NATIVE
from firesteel.evals.zoom import ONCE, measure, summary
from firesteel.tasks.base import HELD_OUT
from firesteel.tasks.tiny import Tiny
from tests.agent.scripted import Scripted, calls, says

N = 3
FAMILY = Tiny()
PROBLEMS = [FAMILY.generate(random.Random(f"tiny/1/{HELD_OUT + i}"), 1) for i in range(N)]


def large(image):
    """Whether it is what zoom shows; thousandths of a picture are not whole pixels, so it is not quite a square."""
    return min(image.size) == NATIVE and max(image.size) < 1.05 * NATIVE


def reader(region):
    """Says the answer once something is shown large; else zooms into `region(problem)`, or has to pass."""

    def line(request):
        images = [image for message in request.messages for image in message.images]
        question = request.messages[0].text
        problem = next((p for p in PROBLEMS if p.image.tobytes() == images[0].tobytes()), None)
        problem = problem or next(p for p in PROBLEMS if p.question == question)
        if large(images[-1]):
            return says(problem.answer)
        if request.tools:
            return calls(("zoom", {"img": "0", "bbox_2d": json.dumps(region(problem))}))
        return says("?")

    return line


def found(region, n=N):
    backend = Scripted(*[reader(region)] * 30)
    return asyncio.run(measure(backend, n, level=1)), backend


def test_zooming_in_reads_what_one_look_cannot():
    results, _ = found(lambda problem: problem.facts["region"])
    rows = {row.condition: row for row in summary(results)}
    assert list(rows) == [ONCE, "zoom", "region given", "crop alone"]
    assert rows[ONCE].accuracy == 0 and rows["zoom"].accuracy == rows["region given"].accuracy == 1
    assert rows["zoom"].gain.low > 0.5 and rows["zoom"].looked == 1 and rows[ONCE].looked == 0
    assert rows["zoom"].tokens > rows[ONCE].tokens > 0


def test_looking_elsewhere_is_told_apart_from_not_reading():
    def elsewhere(problem):
        left, top, _, _ = problem.facts["region"]
        x, y = 0 if left > 450 else 700, 0 if top > 450 else 700
        return [x, y, x + 300, y + 300]

    results, _ = found(elsewhere)
    assert not any(outcome.looked for outcome in results["zoom"])
    assert all(outcome.looked for outcome in results["region given"])


def test_the_given_region_is_shown_by_the_tool_itself():
    _, backend = found(lambda problem: problem.facts["region"], n=1)
    given = next(r for r in backend.requests if len(r.messages) == 3 and r.messages[1].tool_calls[0].id == "call_0")
    assert given.messages[2].text.startswith("img_1 = crop of img_0") and large(given.messages[2].images[0])
    alone = backend.requests[-1]
    assert [large(image) for image in alone.messages[0].images] == [True] and not alone.tools


def test_one_look_has_no_tools_and_looking_for_ever_ends():
    backend = Scripted(says("?"), *[calls(("zoom", {"img": "0", "bbox_2d": "[0, 0, 500, 500]"}))] * 8, says("?"))
    results = asyncio.run(measure(backend, 1, level=1))
    assert not backend.requests[0].tools and backend.requests[1].tools
    assert [results[c][0].correct for c in ("zoom", "region given")] == [False, False]


def test_a_level_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="levels 1 to 3"):
        asyncio.run(measure(Scripted(), 1, level=4))


def test_agents_that_look_together_are_compared_with_one_that_looks():
    """One thinker looks elsewhere; of three agents two look at the right place, and the vote follows them."""
    (problem,) = PROBLEMS[:1]
    wrong = {"img": "0", "bbox_2d": "[0, 0, 100, 100]"}
    right = {"img": "0", "bbox_2d": json.dumps(problem.facts["region"])}

    def reads(request):
        asked = next(call for message in request.messages for call in message.tool_calls)
        return says(problem.answer if asked.arguments["bbox_2d"] == problem.facts["region"] else "no")

    alone = [calls(("zoom", wrong)), reads]
    backend = Scripted(
        says("?"),
        *alone,
        says("?"),
        says("?"),
        *alone,
        *[calls(("zoom", one)) for one in (wrong, right, right)],
        *[reads] * 3,
    )
    rows = {row.condition: row for row in summary(asyncio.run(measure(backend, 1, level=1, agents=3)))}
    assert [rows[name].accuracy for name in ("zoom", "zoom, longer", "zoom, 3 agents")] == [0, 0, 1]
    assert rows["zoom, 3 agents"].over_zoom.mean == 1 and rows["zoom, 3 agents"].looked == 1
    assert backend.requests[6].strength == 512 and backend.requests[6].max_tokens == 3 * backend.requests[0].max_tokens
