import asyncio
import random

import pytest
from PIL import Image

from firesteel.backends import Delta
from firesteel.evals.pictures import Score, chance, measure
from firesteel.tasks.albums import Album, Record, families, webp, write_album
from tests.agent.scripted import says

SHADES = {"cup": 40, "hat": 90, "ship": 160, "tree": 220}


class Looks:
    """Names a photograph by its shade."""

    name = "looks"
    tokenizer = None
    context = None
    slots, parallel = 4, True

    def __init__(self):
        self.requests, self.most, self.inside = [], 0, 0

    async def stream(self, request):
        self.requests.append(request)
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0)
        image = request.messages[0].images[0]
        shade = image.getpixel((image.width // 2, image.height // 2))[0]
        known = next((name for name, value in SHADES.items() if abs(value - shade) < 8), "nothing")
        self.inside -= 1
        yield Delta(text=says(known, "hm"), finish_reason="stop", token_ids=(1,))

    async def close(self):
        pass


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    path = tmp_path_factory.mktemp("album") / "a.zip"
    pictures = (
        (Record(f"{name}/{i}", name), webp(Image.new("RGB", (90, 60), (shade, shade, shade))))
        for name, shade in SHADES.items()
        for i in range(60)
    )
    write_album(path, "photographs", {}, pictures)
    return Album(path)


def test_who_sees_is_right_and_who_is_shown_grey_is_not(album):
    backend, seen = Looks(), []
    scores = asyncio.run(
        measure(backend, album, ["name", "choose"], 20, on_progress=lambda *done: seen.append(done), concurrency=3)
    )
    assert [(score.kind, score.n, score.accuracy) for score in scores] == [("name", 20, 1.0), ("choose", 20, 1.0)]
    assert scores[1].chance == 0.25 and scores[0].chance < 0.6 and scores[1].margin > 0.5
    assert seen[-1] == (40, 40) and backend.most == 3
    blank = asyncio.run(measure(Looks(), album, ["name"], 20, blank_images=True))[0]
    assert blank.correct == 0 and blank.margin < 0 and blank.low == 0


def test_only_held_out_pictures_are_asked_about_and_always_the_same(album):
    def asked(seed):
        backend = Looks()
        asyncio.run(measure(backend, album, ["name"], 8, seed))
        return [(request.messages[0].text, request.messages[0].images[0].tobytes()) for request in backend.requests]

    assert asked(0) == asked(0) != asked(1)


def test_chance_is_the_best_fixed_answer(album):
    family = families(album, held_out=True)["name"]
    problems = [family.generate(random.Random(i), 1) for i in range(40)]
    best = max(sum(p.answer == name for p in problems) for name in SHADES) / 40
    assert chance(family, problems) == best


def test_an_unknown_kind_names_the_known_ones(album):
    with pytest.raises(ValueError, match="name, choose, side, box, count"):
        asyncio.run(measure(Looks(), album, ["smell"]))


def test_a_refused_request_ends_the_evaluation_with_its_own_error(album):
    class Refuses(Looks):
        async def stream(self, request):
            raise ValueError("The prompt is too long.")
            yield

    with pytest.raises(ValueError, match="too long"):
        asyncio.run(measure(Refuses(), album, ["name"], 5))


def test_the_margin_counts_from_the_lower_end():
    assert Score("name", 100, 60, 0.5, 0.7, 0.25).margin == 0.25
