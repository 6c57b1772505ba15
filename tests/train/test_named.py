import random

import numpy as np
import pytest
from PIL import Image

from firesteel.tasks.albums import Record, open_album, webp, write_album
from firesteel.train.glyphs import SIDE, SQUARE
from firesteel.train.named import named
from tests.tasks.albums import small


def said(page):
    """The squares of a page as words."""
    return ["".join(chr(sign + 32) for sign in square if sign) for square in page.labels]


def test_a_square_is_named_after_what_stands_in_its_middle(tmp_path):
    """The small album's photographs have one shade each, so a pixel tells which one it is from."""
    path = str(small.photographs(tmp_path / "a.zip"))
    album = open_album(path)
    names = {album.image(number).getpixel((5, 5)): album.records[number].name for number in album.trained}
    held_out = {album.image(number).getpixel((5, 5)) for number in album.held_out}
    rng, found = random.Random(0), set()
    for _ in range(40):
        page = named(rng, [path])
        assert page.image.size == (SIDE, SIDE)
        for square, word in enumerate(said(page)):
            x, y = SQUARE * (square % 6) + SQUARE // 2, SQUARE * (square // 6) + SQUARE // 2
            shade = page.image.getpixel((x, y))
            assert shade not in held_out
            if shade in names:
                assert word == names[shade][:4].strip()
                found.add(word)
    assert found == {name[:4].strip() for name in names.values()}


def test_controls_of_a_page_are_named_by_their_kind(tmp_path):
    path = str(small.pages(tmp_path / "a.zip"))
    words = {word for seed in range(8) for word in said(named(random.Random(seed), [path]))}
    assert "butt" in words


def test_two_pages_in_five_keep_characters_in_mind(tmp_path):
    path = str(small.photographs(tmp_path / "a.zip"))
    rng = random.Random(1)
    kinds = [len({word for word in said(named(rng, [path])) if word}) > 8 for _ in range(200)]
    assert 0.3 < np.mean(kinds) < 0.5


def test_names_in_other_scripts_are_labels_too(tmp_path):
    pictures = [(Record(f"{i}", name), webp(Image.new("RGB", (60, 60)))) for i, name in enumerate(["Äpfel", "猫"] * 20)]
    write_album(tmp_path / "a.zip", "photographs", {}, pictures)
    words = {word for seed in range(30) for word in said(named(random.Random(seed), [str(tmp_path / "a.zip")]))}
    assert {"?pfe", "?"} <= words


def test_no_album_is_explained():
    with pytest.raises(ValueError, match="firesteel data pictures"):
        named(random.Random(0), ())


def test_the_kind_of_a_control_is_not_the_thing_it_belongs_to(tmp_path):
    facts = {"title": "T", "controls": {"Buy button of the lamp": [0, 0, 1000, 1000]}, "values": {}, "counts": {}}
    pictures = [(Record(f"pages/0/{i}", "shop", facts), webp(Image.new("RGB", (56, 84)))) for i in range(20)]
    write_album(tmp_path / "a.zip", "pages", {}, pictures)
    words = {word for seed in range(8) for word in said(named(random.Random(seed), [str(tmp_path / "a.zip")]))}
    assert "butt" in words and "lamp" not in words
