import io
import json
import sys
import tarfile

import pytest

from firesteel.tasks.albums import Album
from firesteel.train.pictures import icons

pytest.importorskip("resvg_py", reason="drawing icons needs resvg: pip install resvg-py")

SET = {
    "prefix": "test",
    "width": 24,
    "height": 24,
    "icons": {
        "square": {"body": '<path fill="currentColor" d="M6 6h12v6H6z"/>'},
        "square-outline": {"body": '<path fill="none" stroke="currentColor" d="M6 6h12v12H6z"/>'},
        "red-circle": {"body": '<circle cx="12" cy="12" r="10" fill="#f00"/>'},
        "wave": {"body": '<circle cx="12" cy="12" r="9" fill="#fc0"/>'},
        "wave-medium-dark-skin-tone": {"body": '<circle cx="12" cy="12" r="9" fill="#840"/>'},
        "a-name-nobody-would-say": {"body": '<path d="M0 0h24v24H0z"/>'},
        "nothing": {"body": ""},
        "wide": {"body": '<path d="M0 0h48v24H0z"/>', "width": 48},
    },
}


def written(path):
    path.write_text(json.dumps(SET))
    return path


def test_icons_are_drawn_and_named(tmp_path):
    told = icons.album([written(tmp_path / "icons.json")], tmp_path / "a.zip", "MIT")
    assert told["licence"] == "test: MIT"
    album = Album(tmp_path / "a.zip")
    found = {record.key: (number, record) for number, record in enumerate(album.records)}
    names = {key: record.name for key, (_, record) in found.items()}
    assert names == {
        "test/square": "square",
        "test/square-outline": "square",
        "test/red-circle": "red circle",
        "test/wave": "wave",
        "test/wide": "wide",
    }
    assert found["test/square"][1].facts == {"tint": True} and found["test/red-circle"][1].facts == {}
    square, circle = (album.image(found[f"test/{key}"][0]) for key in ("square", "red-circle"))
    assert square.size == (48, 24)  # cut to its ink
    assert circle.getpixel((40, 40)) == (255, 0, 0, 255) and circle.getpixel((1, 1))[3] == 0
    assert album.image(found["test/wide"][0]).size == (96, 48)


def test_an_npm_archive_brings_its_licence(tmp_path):
    with tarfile.open(tmp_path / "set.tgz", "w:gz") as tar:
        for name, content in (("icons", SET), ("info", {"license": {"spdx": "ISC"}})):
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(f"package/{name}.json")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert icons.album([tmp_path / "set.tgz"], tmp_path / "a.zip")["licence"] == "test: ISC"


def test_several_sets_share_one_album(tmp_path):
    other = {**SET, "prefix": "other", "icons": {"square": SET["icons"]["square"]}}
    (tmp_path / "other.json").write_text(json.dumps(other))
    told = icons.album([written(tmp_path / "icons.json"), tmp_path / "other.json"], tmp_path / "a.zip")
    assert (told["pictures"], told["names"]) == (6, 4)


def test_other_files_and_a_missing_renderer_are_explained(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text('{"icons": [1]}')
    with pytest.raises(ValueError, match="no icon set"):
        icons.album([tmp_path / "x.json"], tmp_path / "a.zip")
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(ValueError, match=r"firesteel\[pictures\]"):
        icons.album([written(tmp_path / "icons.json")], tmp_path / "a.zip")
