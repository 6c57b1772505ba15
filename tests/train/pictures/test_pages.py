"""The templates without a browser, and what a real one says of them."""

import random
import re
import shutil

import pytest

from firesteel.tasks.albums import Album, families, write_album
from firesteel.train.pictures import pages
from firesteel.train.pictures.templates import KINDS, Page, page


@pytest.fixture(scope="module")
def window():
    pytest.importorskip("playwright.sync_api", reason="rendering pages needs playwright: pip install playwright")
    if shutil.which("chromium") is None and shutil.which("google-chrome") is None:
        pytest.skip("rendering pages needs a chromium on the path (Debian: apt-get install chromium)")
    with pages.browser() as chromium:
        yield chromium.new_context(offline=True).new_page()


def test_a_seed_is_a_page_and_every_kind_comes():
    drawn = [page(random.Random(f"pages/0/{i}")) for i in range(120)]
    assert drawn[5] == page(random.Random("pages/0/5"))
    assert {one.kind for one in drawn} == set(KINDS)
    assert len({one.html for one in drawn}) == 120
    assert len({re.search("<style>.*</style>", one.html, re.S)[0] for one in drawn}) > 100
    for one in drawn:
        assert one.size[0] % 28 == one.size[1] % 28 == 0 and one.size[0] * one.size[1] <= 170 * 28 * 28
        assert "data-control" in one.html and "://" not in one.html


BODY = """<style>*{{margin:0}} div,button{{position:absolute}}</style>
<button data-control="Save button" style="left:28px;top:14px;width:56px;height:28px">Save</button>
<button data-control="Half button" style="left:250px;top:100px;width:80px;height:28px">Half</button>
<button data-control="Under button" style="left:28px;top:60px;width:56px;height:28px">Under</button>
<div style="left:20px;top:55px;width:90px;height:40px;background:#ccc"></div>
<button data-control="Twice button" style="left:150px;top:14px">A</button>
<button data-control="Twice button" style="left:150px;top:60px">B</button>
<div data-value="price" style="left:28px;top:150px;width:80px">$9.50</div>
<div data-value="story" style="left:28px;top:180px;width:40px;white-space:nowrap;overflow:hidden">too long to fit</div>
<div data-item="rows|red rows" style="left:150px;top:150px;width:20px;height:20px"></div>
<div data-item="rows" style="left:150px;top:200px;width:20px;height:20px"></div>
<div data-item="cuts" style="left:200px;top:150px;width:20px;height:20px"></div>
<div data-item="cuts" style="left:200px;top:270px;width:20px;height:20px"></div>"""


def test_only_what_is_wholly_seen_and_named_once_counts(window):
    image, facts = pages.render(window, Page(BODY.format(), (280, 280), "form", "T"))
    assert image.size == (280, 280) and image.mode == "RGB"
    assert facts["controls"] == {"Save button": [100, 50, 300, 150]}
    assert facts["values"] == {"price": "$9.50"}
    assert facts["counts"] == {"rows": 2, "red rows": 1}
    assert facts["caption"] == 'Form "T", price: $9.50, 2 rows, 1 red rows, Save button.'


def test_a_box_is_the_pixels_of_its_control(window):
    style = "<style>body{margin:0;background:#fff} button{position:absolute;border:0;background:#f00}</style>"
    html = f'{style}<button data-control="x" style="left:56px;top:84px;width:70px;height:42px"></button>'
    image, facts = pages.render(window, Page(html, (308, 252), "form", "T"))
    left, top, right, bottom = facts["controls"]["x"]
    red = image.point(lambda v: 255 - v).getchannel("G").getbbox()
    found = (left * 0.308, top * 0.252, right * 0.308, bottom * 0.252)
    assert red == pytest.approx(found, abs=0.2)


def test_generated_pages_ask_something_of_every_kind(window, tmp_path):
    told = write_album(tmp_path / "a.zip", "pages", {}, pages.rendered(window, 24, seed=3))
    assert told["pictures"] == 24
    album = Album(tmp_path / "a.zip")
    assert all(record.facts["controls"] and record.facts["caption"].endswith(".") for record in album.records)
    assert sum(bool(record.facts["values"]) for record in album.records) > 18
    assert sum(bool(record.facts["counts"]) for record in album.records) > 18
    assert list(families(album)) == ["name", "point", "box", "value", "count"]
