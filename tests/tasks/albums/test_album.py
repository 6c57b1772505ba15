import json
import zipfile

import pytest
from PIL import Image

from firesteel.tasks.albums import Album, Record, families, open_album, webp, write_album
from tests.tasks.albums import small


def test_what_is_packed_comes_back(tmp_path):
    picture = Image.new("RGB", (30, 20), (10, 200, 30))
    told = write_album(
        tmp_path / "a.zip", "photographs", {"licence": "CC0"}, [(Record("cup/1", "cup", {"x": [1]}), webp(picture))]
    )
    album = Album(tmp_path / "a.zip")
    assert album.about == told and told["licence"] == "CC0" and told["pictures"] == told["names"] == 1
    assert album.records == [Record("cup/1", "cup", {"x": [1]})]
    assert album.image(0).tobytes() == picture.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_equal_albums_are_equal_bytes(tmp_path):
    assert small.pages(tmp_path / "a.zip").read_bytes() == small.pages(tmp_path / "b.zip").read_bytes()


def test_the_split_goes_by_the_key_alone_and_holds_back_a_seventh():
    held_out = sum(Record(f"class/{i}", "x").held_out for i in range(4000)) / 4000
    assert 0.13 < held_out < 0.17
    assert all(Record(f"k{i}", "x").held_out == Record(f"k{i}", "y", {"z": 1}).held_out for i in range(50))


def test_training_and_evaluation_never_share_a_picture(tmp_path):
    album = open_album(str(small.photographs(tmp_path / "a.zip")))
    assert not set(album.trained) & set(album.held_out)
    assert len(album.trained) + len(album.held_out) == len(album.records)


def test_an_album_without_pictures_or_of_one_side_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No picture"):
        write_album(tmp_path / "a.zip", "icons", {}, [])
    assert not list(tmp_path.iterdir())
    key = next(f"k{i}" for i in range(100) if not Record(f"k{i}", "x").held_out)
    write_album(tmp_path / "a.zip", "icons", {}, [(Record(key, "x"), webp(Image.new("RGBA", (9, 9), "red")))])
    with pytest.raises(ValueError, match="held out"):
        families(Album(tmp_path / "a.zip"), held_out=True)


def test_other_files_are_no_albums(tmp_path):
    (tmp_path / "a.zip").write_text("no")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as other:
        other.writestr("x.json", json.dumps({}))
    for name, message in (
        ("a.zip", "no album"),
        ("b.zip", "no album"),
        ("c.zip", "There is no album"),
        (".", "no album"),
    ):
        with pytest.raises(ValueError, match=message):
            Album(tmp_path / name)
