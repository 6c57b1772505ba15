import random
import subprocess
import sys

import pytest
from PIL import Image

from firesteel.tasks import drawing


def test_every_typeface_loads_and_is_cached():
    for name in drawing.FONTS:
        face = drawing.font(name, 14)
        assert face is drawing.font(name, 14)
        left, top, right, bottom = face.getbbox("0123456789")
        assert right - left > 50 and bottom - top >= 8
    with pytest.raises(AssertionError):
        drawing.font("papyrus", 14)


def test_typefaces_come_without_importing_matplotlib():
    code = (
        "import sys; from firesteel.tasks import drawing; drawing.font('sans', 12); print('matplotlib' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_canvas_is_light_and_follows_the_seed():
    image, _ = drawing.canvas(random.Random(3), 168, 140)
    again, _ = drawing.canvas(random.Random(3), 168, 140)
    assert image.size == (168, 140) and image.mode == "RGB"
    assert min(image.getpixel((0, 0))) >= 236
    assert image.tobytes() == again.tobytes()


def test_put_inks_exactly_its_box():
    image, pen = drawing.canvas(random.Random(0), 168, 168)
    ground = image.copy()
    left, top, right, bottom = drawing.put(pen, (80.4, 70.6), "47", drawing.font("sans-bold", 18))
    changed = [(x, y) for x in range(168) for y in range(168) if image.getpixel((x, y)) != ground.getpixel((x, y))]
    assert changed
    assert min(x for x, _ in changed) >= left - 1 and max(x for x, _ in changed) <= right
    assert min(y for _, y in changed) >= top - 1 and max(y for _, y in changed) <= bottom


def test_clear_and_overlaps():
    box = (10, 10, 20, 20)
    assert drawing.overlaps(box, (19, 19, 30, 30))
    assert not drawing.overlaps(box, (21, 10, 30, 20))
    assert drawing.overlaps(box, (21, 10, 30, 20), gap=2)
    assert drawing.clear(box, [(30, 30, 40, 40)], (50, 50))
    assert not drawing.clear(box, [(30, 30, 40, 40)], (15, 50))
    assert not drawing.clear(box, [(15, 15, 40, 40)], (50, 50))


def test_crosses_sees_strokes_through_past_and_beside_a_box():
    box = (10, 10, 20, 20)
    assert drawing.crosses((0, 0), (30, 30), box)
    assert drawing.crosses((15, 0), (15, 30), box)
    assert drawing.crosses((12, 12), (13, 13), box)
    assert not drawing.crosses((0, 0), (5, 5), box)
    assert not drawing.crosses((0, 25), (30, 25), box)
    assert not drawing.crosses((0, 30), (8, 0), box)


def test_ink_stands_out_on_every_colour():
    for colour in drawing.COLOURS.values():
        weights = (0.30, 0.59, 0.11)
        ink = sum(w * c for w, c in zip(weights, drawing.on(colour), strict=True))
        ground = sum(w * c for w, c in zip(weights, colour, strict=True))
        assert abs(ink - ground) > 90


def test_a_moved_picture_is_whole_and_its_ground_has_the_colour_of_its_corner():
    image = Image.new("RGB", (40, 20), "red")
    image.paste((0, 0, 255), (1, 1, 39, 19))
    for seed in range(30):
        ground = drawing.moved(image, random.Random(seed))
        assert 40 <= ground.width <= 56 and 20 <= ground.height <= 28
        colours = {colour: count for count, colour in ground.getcolors()}
        assert colours == {(0, 0, 255): 38 * 18, (255, 0, 0): ground.width * ground.height - 38 * 18}
