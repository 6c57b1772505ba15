"""Looks that are taught are real: the harness made them, and they show what is asked for."""

import random

import pytest

from firesteel.agent.eyes import Eyes, views
from firesteel.format import Trace, render
from firesteel.tasks.tiny import Tiny
from firesteel.train import looks


def drawn(count=120, strength=256):
    rng = random.Random(5)
    return [looks.conversation(rng, strength) for _ in range(count)]


def test_all_kinds_are_drawn_and_end_with_an_answer():
    kinds = {(bool(messages[1].tool_calls), bool(schemas)) for messages, schemas in drawn()}
    assert kinds == {(True, True), (False, True), (False, False)}
    assert all(messages[-1].role == "assistant" and messages[-1].text for messages, _ in drawn())
    assert {len(schemas) for _, schemas in drawn()} == {0, 1, 2}


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_crop_shows_the_label_and_its_working_names_the_place(level):
    rng = random.Random(level)
    for _ in range(30):
        problem = Tiny().generate(rng, level)
        messages, _ = looks._looked(rng, problem, 256)
        side, (left, top, right, bottom) = problem.image.width, problem.facts["box"]
        x0, y0, x1, y1 = (edge * side for edge in views(Trace(messages))[1].box)
        assert x0 <= left + 4 and right - 4 <= x1 and y0 <= top + 4 and bottom - 4 <= y1  # the code itself
        assert x1 - x0 < side / 2 and x1 <= side
        assert messages[1].reasoning.startswith(problem.full.partition(". ")[0])
        assert messages[-1].text == problem.answer


def test_the_result_is_what_the_harness_gives():
    messages, schemas = next(pair for pair in drawn() if pair[0][1].tool_calls)
    eyes = Eyes(Trace(messages[:1]))
    assert schemas == [tool.schema for tool in eyes.tools()[: len(schemas)]]
    picture = messages[2].images[0]
    (call,) = messages[1].tool_calls
    left, top, right, bottom = (edge * 336 // 1000 for edge in call.arguments["bbox_2d"])
    again = messages[0].images[0].crop((left, top, right, bottom)).resize(picture.size)
    pixels = zip(again.resize((8, 8)).getdata(), picture.resize((8, 8)).getdata(), strict=True)
    assert all(abs(a - b) < 60 for one, other in pixels for a, b in zip(one, other, strict=True))


def test_what_zoom_would_show_is_read_at_once():
    rng = random.Random(3)
    problem = Tiny().generate(rng, 1)
    looked, _ = looks._looked(random.Random(3), problem, 256)
    asked, answered = looks._close(problem, 256)
    (shown,), (zoomed,) = asked.images, looked[2].images
    assert list(shown.getdata()) == list(zoomed.getdata())
    assert answered == looked[-1] and asked.text == problem.question


def test_only_the_assistants_words_are_learnt():
    messages, schemas = next(pair for pair in drawn() if pair[0][1].tool_calls)
    rendered = render(messages, schemas, 256, generation_prompt=False)
    assert len(rendered.images) == 2
    assert 20 < sum(rendered.loss_mask) < len(rendered.ids) / 3
