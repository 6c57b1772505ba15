"""The app with the packaged model: a question about a chart, and minds that think at once."""

import re

from tests.server.serving import kindling, live
from tests.web.driving import asked, expect, mode, opened


def test_the_examples_of_the_first_page_are_answered(page):
    with live(backend=kindling) as (url, _):
        opened(page, url)
        page.get_by_text("Read a chart").click()
        expect(page.locator(".previews img")).to_have_count(1)
        page.keyboard.press("Enter")
        expect(page.locator("article .prose")).to_have_text("40")
        expect(page.get_by_text("Thought", exact=True)).to_be_visible()
        page.keyboard.press("Alt+n")
        page.get_by_text("Find things in a picture").click()
        expect(page.locator(".previews img")).to_have_count(1)
        page.keyboard.press("Enter")
        expect(page.locator("figure rect")).to_have_count(1)
        page.keyboard.press("Alt+n")
        mode(page, "Contemplating")
        page.get_by_label("Agents", exact=True).select_option("4")
        turn = asked(page, "Order 40, 85, 79, 26 from largest to smallest.")
        expect(turn.locator(".lane").nth(1)).to_be_attached()
        # What wins is chance: four samples of a small mind. That it is told, with its votes, and answered, is not.
        winner = turn.locator(".clusters li.won")
        expect(winner).to_contain_text(re.compile(r"\d+, \d+.* votes?"))
        expect(turn.locator(".prose").last).to_have_text(re.sub(r"\s*[\d.]+ votes?.*", "", winner.inner_text()).strip())
        # Two think first, and the others only if these disagree.
        told = turn.locator(".ledger").inner_text()
        expect(turn.locator(".lane")).to_have_count(2 if "not needed" in told else 4)
