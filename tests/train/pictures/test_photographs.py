import io
import tarfile

import pytest
from PIL import Image

from firesteel.tasks.albums import Album
from firesteel.train.pictures import photographs


def written(folder, size=(300, 200), suffix=".png"):
    for number, name in enumerate(("airplanes", "sea_horse", "Faces", "junk")):
        for index in range(3):
            path = folder / name / f"image_{index:04d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, (60 * number, 99, 10 * index)).save(path, lossless=True)
    return folder


def tarred(folder, path):
    with tarfile.open(path, "w") as tar:
        tar.add(folder, arcname="set")
    return path


def test_a_folder_and_its_tar_make_the_same_album(tmp_path):
    folder = written(tmp_path / "photos")
    names = {"junk": None, "Faces": "person"}
    first = photographs.album(folder, tmp_path / "a.zip", names, "CC0")
    second = photographs.album(tarred(folder, tmp_path / "b.tar"), tmp_path / "b.zip", names, "CC0")
    assert {**first, "source": ""} == {**second, "source": ""} and first["licence"] == "CC0"
    albums = [Album(tmp_path / name) for name in ("a.zip", "b.zip")]
    assert albums[0].records == albums[1].records
    assert sorted({record.name for record in albums[0].records}) == ["airplane", "person", "sea horse"]
    assert albums[0].image(0).size == (photographs.SIDE, 112)


def test_a_small_webp_is_kept_byte_for_byte(tmp_path):
    folder = written(tmp_path / "photos", (90, 60), ".webp")
    photographs.album(folder, tmp_path / "a.zip")
    kept = (folder / "Faces" / "image_0000.webp").read_bytes()
    assert kept in (tmp_path / "a.zip").read_bytes()


def test_what_holds_no_photographs_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tar").write_text("no tar")
    Image.new("RGB", (9, 9)).save(tmp_path / "empty" / "without_a_class.png")
    with pytest.raises(ValueError, match="No picture"):
        photographs.album(tmp_path / "empty", tmp_path / "a.zip")
    with pytest.raises(ValueError, match="neither a folder nor a tar"):
        photographs.album(tmp_path / "text.tar", tmp_path / "a.zip")


def test_a_damaged_picture_is_named(tmp_path):
    folder = written(tmp_path / "photos")
    broken = io.BytesIO()
    Image.new("RGB", (99, 99), "red").save(broken, "PNG")
    (folder / "Faces" / "image_0001.png").write_bytes(broken.getvalue()[:90])
    with pytest.raises(ValueError, match="Faces/image_0001"):
        photographs.album(folder, tmp_path / "a.zip")
