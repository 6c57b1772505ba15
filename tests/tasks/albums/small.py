"""Albums of a few drawn pictures."""

import random
from pathlib import Path

from PIL import Image, ImageDraw

from firesteel.tasks.albums import Record, webp, write_album

NAMES = ("cup", "hat", "red apple", "ox", "ship")


def photographs(path: Path, each: int = 12) -> Path:
    def pictures():
        for number, name in enumerate(NAMES):
            for index in range(each):
                shade = (40 * number, 20 * index % 256, 90)
                yield Record(f"{name}/{index}", name), webp(Image.new("RGB", (120, 60 + 10 * number), shade))

    write_album(path, "photographs", {"source": "drawn"}, pictures())
    return path


def icons(path: Path) -> Path:
    """Black squares on nothing, to be given a colour."""
    ink = Image.new("RGBA", (40, 40))
    ImageDraw.Draw(ink).rectangle((10, 10, 29, 29), fill="black")
    records = (Record(f"set/{name}/{i}", name, {"tint": True}) for name in NAMES for i in range(12))
    write_album(path, "icons", {"source": "drawn"}, ((record, webp(ink)) for record in records))
    return path


def pages(path: Path) -> Path:
    rng = random.Random(0)

    def pictures():
        for number in range(40):
            controls = {"Save button": [100, 100, 300, 200], "Name field": [100, 500, 800, 650]}
            values = {"text of the Name field": rng.choice(NAMES)} if number % 2 else {}
            facts = {"title": "T", "controls": controls, "values": values, "counts": {"fields": 3}, "caption": "Form."}
            record = Record(f"pages/0/{number}", rng.choice(("form", "list")), facts)
            yield record, webp(Image.new("RGB", (56, 84), (number, 9, 9)))

    write_album(path, "pages", {"source": "drawn"}, pictures())
    return path
