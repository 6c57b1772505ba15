"""`data pictures`, `eval pictures` and `bench zoom` as their user meets them."""

import json

import pytest
from PIL import Image

from tests.cli.program import refused


@pytest.fixture(autouse=True)
def says_cup(backend):
    backend.script = lambda request: [" to=user<|message|>cup<|eot|>"]


@pytest.fixture
def photographs(tmp_path):
    for name in ("cup", "hat", "ox", "ship", "trash"):
        for index in range(25):
            path = tmp_path / "photos" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (index, 9, 9)).save(path)
    return tmp_path / "photos"


def test_photographs_become_an_album_that_is_judged(run, photographs, tmp_path):
    (tmp_path / "names.json").write_text('{"trash": null, "ox": "cow"}')
    album = tmp_path / "a.zip"
    _, made, _ = run(
        *("data", "pictures", "photographs", photographs, "--out", album),
        *("--names", tmp_path / "names.json", "--licence", "CC0"),
    )
    told = json.loads(made)
    assert (told["pictures"], told["names"], told["licence"]) == (100, 4, "CC0")
    judged = json.loads(run("eval", "pictures", album, "--kind", "name,choose", "--n", 8, "--json")[1])
    assert [kind["kind"] for kind in judged["kinds"]] == ["name", "choose"]
    assert judged["kinds"][1]["chance"] == 0.25 and judged["album"]["licence"] == "CC0"
    table = run("eval", "pictures", album, "--kind", "choose", "--n", 8, "--blank-images")[1]
    assert "grey pictures" in table and "25.0%" in table


def test_zoom_prints_its_four_conditions(run):
    out = run("bench", "zoom", "--n", 2, "--level", 1)[1]
    assert all(condition in out for condition in ("at once", "zoom", "region given", "crop alone"))
    rows = json.loads(run("bench", "zoom", "--n", 2, "--level", 1, "--json")[1])["conditions"]
    assert [row["accuracy"] for row in rows] == [0, 0, 0, 0]


def test_what_cannot_be_made_or_judged_is_one_sentence(run, tmp_path):
    (tmp_path / "names.json").write_text('{"x": 3}')
    for arguments, said in (
        (("data", "pictures", "photographs", "--out", tmp_path / "a.zip"), "Say: photographs"),
        (("data", "pictures", "videos", tmp_path, "--out", tmp_path / "a.zip"), "Say: photographs"),
        (
            ("data", "pictures", "photographs", tmp_path, "--out", "x.zip", "--names", tmp_path / "names.json"),
            "one JSON object",
        ),
        (("eval", "pictures", tmp_path / "none.zip"), "There is no album"),
        (("bench", "zoom", "--level", 9), "levels 1 to 3"),
    ):
        assert said in refused(run(*arguments))
