"""The README's pictures of the app, taken of the real app with the packaged model: `python web/shots.py`.

Needs playwright and a chromium on the path.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).resolve().parents[1] / "docs"
LARGEST = 200_000  # bytes of one picture
MINUTE = 60_000


@contextmanager
def served() -> Iterator[str]:
    """The URL of a server with a fresh store."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [Path(sys.executable).with_name("firesteel"), "serve", "--port", str(port)]
        server = subprocess.Popen(
            command, env=os.environ | {"XDG_DATA_HOME": folder}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(240):
                time.sleep(0.25)
                try:
                    urllib.request.urlopen(f"{url}/ready", timeout=5).close()
                    break
                except OSError:
                    continue
            yield url
        finally:
            server.terminate()
            server.wait(30)


def taken(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    picture.save(DOCS / name, optimize=True)
    assert (DOCS / name).stat().st_size <= LARGEST, f"{name} is too large"


def asked(page: Page, example: str, pictures: bool) -> None:
    page.get_by_text(example).click()
    if pictures:
        page.wait_for_selector(".previews img")
    page.keyboard.press("Enter")
    page.wait_for_selector("article [data-action=copy]", timeout=MINUTE)


def main() -> None:
    chromium = shutil.which("chromium")
    assert chromium, "a chromium is needed on the path"
    with served() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
        page.goto(url)
        page.wait_for_selector("#composer")
        asked(page, "Read a chart", pictures=True)
        page.keyboard.press("Alt+n")
        asked(page, "Let eight minds agree", pictures=False)
        page.locator(".agents details").first.locator("summary").click()
        page.locator(".page").evaluate("page => { page.scrollTop = 0; }")
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)
        taken(page, "app-contemplating.png")
        page.set_viewport_size({"width": 1280, "height": 1000})
        page.keyboard.press("Alt+n")
        asked(page, "Find things in a picture", pictures=True)
        page.locator(".page").evaluate("page => { page.scrollTop = 0; }")
        page.wait_for_timeout(300)
        taken(page, "app.png")
        browser.close()


if __name__ == "__main__":
    main()
