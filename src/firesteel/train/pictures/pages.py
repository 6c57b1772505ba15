"""Pages of a real browser with exact boxes: seeded HTML in headless Chromium, driven by Playwright.

- What is known about a page is asked of the browser after layout: only what stands wholly in the window, is not covered
  and not cut counts. Names that stand twice are not asked for; a kind of item of which one is cut is not counted.
- Windows are whole image tokens (28 pixels) a side, so that a model whose pictures may be so large sees the very pixels
  that the browser drew.
- The browser is offline. Its version and typefaces decide the pixels, so they are written into the album.
"""

from __future__ import annotations

import io
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from firesteel.tasks.albums import Record, webp, write_album
from firesteel.tasks.albums.asked import sentence
from firesteel.train.pictures.templates import Page, page

_SEEN = """() => {
  const seen = e => {
    const r = e.getBoundingClientRect()
    if (r.width < 6 || r.height < 6 || r.left < 0 || r.top < 0) return null
    if (r.right > innerWidth || r.bottom > innerHeight) return null
    const top = document.elementFromPoint((r.left + r.right) / 2, (r.top + r.bottom) / 2)
    if (!top || !e.contains(top) || e.clientWidth && e.scrollWidth > e.clientWidth + 1) return null
    const on = v => Math.round(10000 * v) / 10
    return [on(r.left / innerWidth), on(r.top / innerHeight), on(r.right / innerWidth), on(r.bottom / innerHeight)]
  }
  const all = name => [...document.querySelectorAll(`[data-${name}]`)]
  const text = e => (e.value ?? e.innerText).trim()
  return {
    controls: all('control').map(e => [e.dataset.control, seen(e)]),
    values: all('value').map(e => [e.dataset.value, seen(e) && text(e)]),
    items: all('item').flatMap(e => e.dataset.item.split('|').map(name => [name, seen(e) !== null])),
  }
}"""


def album(count: int, out: Path, seed: int = 0, on_progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Renders `count` pages into an album at `out`; returns what it holds. Page i of a seed is always the same page.

    Raises ValueError where Playwright or a Chromium is missing.
    """
    with browser() as chromium:
        window = chromium.new_context(offline=True).new_page()
        about = {"source": f"generated, seed {seed}", "licence": "own", "browser": f"Chromium {chromium.version}"}
        return write_album(out, "pages", about, rendered(window, count, seed, on_progress))


def rendered(
    window: Any, count: int, seed: int, on_progress: Callable[[int], None] | None = None
) -> Iterator[tuple[Record, bytes]]:
    """The first `count` pages of a seed, rendered in a Playwright page."""
    for number in range(count):
        key = f"pages/{seed}/{number}"
        drawn = page(random.Random(key))
        image, facts = render(window, drawn)
        yield Record(key, drawn.kind, facts), webp(image)
        if on_progress:
            on_progress(number + 1)


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium: the one on the path, else Playwright's own. Raises ValueError where there is none."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError as error:
        raise ValueError("Rendering pages needs Playwright: pip install 'firesteel[pictures]'.") from error
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome")
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium has no sandbox for root
        try:
            chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"] if root else [])
        except Error as error:
            raise ValueError("Rendering pages needs a Chromium: run playwright install chromium.") from error
        yield chromium
        chromium.close()


def render(window: Any, drawn: Page) -> tuple[Image.Image, dict[str, Any]]:
    """The picture of a page in a Playwright page, and what can be seen on it (see `firesteel.tasks.albums`)."""
    width, height = drawn.size
    window.set_viewport_size({"width": width, "height": height})
    window.set_content(drawn.html)
    seen = window.evaluate(_SEEN)
    image = Image.open(io.BytesIO(window.screenshot(type="png"))).convert("RGB")
    controls, values = _once(seen["controls"]), _once(seen["values"])
    counts: dict[str, int] = {}
    cut = {name for name, whole in seen["items"] if not whole}
    for name, _ in seen["items"]:
        if name not in cut:
            counts[name] = counts.get(name, 0) + 1
    facts = {"title": drawn.title, "controls": controls, "values": values, "counts": counts}
    return image, {**facts, "caption": _caption(drawn, facts)}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What is seen, under the names that stand only once, whether seen or not."""
    names = [name for name, _ in pairs]
    return {name: seen for name, seen in pairs if seen and names.count(name) == 1}


def _caption(drawn: Page, facts: dict[str, Any]) -> str:
    """The page in words: its kind and title, some of what it says, how many things, what can be clicked."""
    told = [f'{drawn.kind} "{drawn.title}"']
    told += [f"{name}: {value}" for name, value in facts["values"].items() if name != "title"][:3]
    told += [f"{number} {name}" for name, number in facts["counts"].items()][:2]
    told += list(facts["controls"])[:3]
    return sentence(", ".join(told))
