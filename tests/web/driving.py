"""What a person does with the app."""

import asyncio
from pathlib import Path

import pytest

from tests.agent.scripted import Scripted

api = pytest.importorskip("playwright.sync_api", reason="the app's tests need playwright: pip install playwright")
expect = api.expect
expect.set_options(timeout=30_000)  # machines of tests are busy
CHART = Path(__file__).parents[2] / "examples" / "chart.png"


class Held(Scripted):
    """Ends its first answer when it is told to go on."""

    held = True

    async def stream(self, request):
        first = len(self.requests) == 0
        async for delta in super().stream(request):
            while first and self.held and delta.finish_reason:
                await asyncio.sleep(0.02)
            yield delta


def opened(page, url: str):
    page.goto(url)
    expect(page.get_by_role("radio", name="Thinking")).to_be_checked()
    return page


def asked(page, text: str, wait: bool = True):
    """Sends a message; returns its turn, by default when its answer is whole."""
    page.locator("#composer").fill(text)
    page.keyboard.press("Enter")
    turn = page.locator("article").last
    expect(turn).to_contain_text(text)
    if wait:
        expect(turn.locator("[data-action=copy]")).to_be_visible()
    return turn


def mode(page, name: str) -> None:
    page.get_by_text(name, exact=True).click()


def tool(page, label: str) -> None:
    page.locator("summary", has_text="Tools").click()
    page.get_by_label(label).check()
    page.locator("summary", has_text="Tools").click()


def menu(page, title: str, entry: str) -> None:
    """Does something with a conversation in the list."""
    page.get_by_label(f"More about “{title}”").click()
    page.locator("nav .sheet").get_by_role("button", name=entry).locator("visible=true").click()
