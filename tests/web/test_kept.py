"""What outlives a reload, other languages, and the operator's page."""

import re

import pytest

from tests.agent.scripted import says
from tests.server.serving import live
from tests.web.driving import CHART, Held, asked, expect, opened


def test_a_draft_and_what_waits_outlive_a_reload_with_their_pictures(page):
    backend = Held(says("one"), says("seen"))
    with live(backend=backend) as (url, _):
        opened(page, url)
        asked(page, "first", wait=False)
        expect(page.locator("article .prose")).to_contain_text("one")
        page.locator("input[type=file][accept='image/*']").set_input_files(CHART)
        expect(page.locator(".previews img")).to_have_count(1)
        page.locator("#composer").fill("second")
        page.keyboard.press("Enter")
        expect(page.get_by_text("1 message waits")).to_be_visible()
        page.locator("input[type=file][accept='image/*']").set_input_files(CHART)
        expect(page.locator(".previews img")).to_have_count(1)
        page.locator("#composer").fill("a draft")
        page.reload()
        expect(page.get_by_text("1 message waits")).to_be_visible()
        expect(page.locator(".previews img")).to_have_count(1)
        expect(page.locator("#composer")).to_have_value("a draft")
        backend.held = False
        expect(page.locator("article")).to_have_count(2)
        expect(page.locator(".prose").last).to_have_text("seen")
    assert len(backend.requests) == 2 and len(backend.requests[1].messages[-1].images) == 1


def test_a_copy_of_the_tab_does_not_send_twice(page, context):
    backend = Held(says("one"), says("seen"), says("too much"))
    with live(backend=backend) as (url, _):
        opened(page, url)
        asked(page, "first", wait=False)
        expect(page.locator("article .prose")).to_contain_text("one")
        page.locator("#composer").fill("second")
        page.keyboard.press("Enter")
        expect(page.get_by_text("1 message waits")).to_be_visible()
        copy = context.new_page()
        name = page.evaluate("sessionStorage['firesteel.tab']")
        copy.add_init_script(f"sessionStorage['firesteel.tab'] = {name!r}")
        copy.goto(page.url)
        expect(copy.get_by_text("1 message waits")).to_be_visible()
        backend.held = False
        for each in (page, copy):
            expect(each.locator(".prose").last).to_have_text("seen")
            expect(each.locator("article")).to_have_count(2)
        page.wait_for_timeout(500)
    assert len(backend.requests) == 2


def late(page, url: str, thread: str) -> list:
    """Has the page ask for the thread as if another tab had changed it, and holds the answer."""
    held = []
    page.route(f"{url}/v1/threads/{thread}", lambda route: held.append((route, route.fetch())), times=1)
    other = page.context.new_page()
    other.goto(f"{url}/#/operator")
    other.evaluate("id => new BroadcastChannel('firesteel').postMessage(id)", thread)
    for _ in range(1500):
        if held:
            return held
        page.wait_for_timeout(20)
    raise AssertionError("the page did not ask for its thread")


def release(page, held: list) -> None:
    ((route, response),) = held
    route.fulfill(response=response)
    page.wait_for_timeout(300)


def test_a_late_answer_takes_no_turn_away_and_brings_none_back(page):
    with live(says("one"), says("two")) as (url, _):
        opened(page, url)
        asked(page, "first")
        thread = page.url.rsplit("/", 1)[1]
        held = late(page, url, thread)
        asked(page, "second")
        release(page, held)
        expect(page.locator("article")).to_have_count(2)
        held = late(page, url, thread)
        page.locator("article").last.get_by_role("button", name="Delete from here").click()
        expect(page.locator("article")).to_have_count(1)
        release(page, held)
        expect(page.locator("article")).to_have_count(1)


@pytest.mark.parametrize("context", ["de-DE"], indirect=True)
def test_the_app_speaks_the_language_of_the_browser(page):
    with live(says("ja")) as (url, _):
        page.goto(url)
        expect(page.get_by_role("radio", name="Denkend")).to_be_checked()
        assert page.evaluate("document.documentElement.lang") == "de"
        page.locator("#composer").fill("hallo")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Neu antworten")).to_be_visible()


def test_the_operator_makes_a_key_with_limits_and_sees_usage_and_health(page):
    with live(says("yes")) as (url, _):
        opened(page, url)
        asked(page, "hi")
        page.goto(f"{url}/#/operator")
        expect(page.locator("figcaption").get_by_text("1 request,")).to_be_visible()
        assert page.locator("figure rect:not(.ground)").last.evaluate("bar => bar.height.baseVal.value") > 0
        expect(page.get_by_text("0 of 8")).to_be_visible()
        expect(page.locator("tr", has_text="To the end")).to_contain_text(re.compile(r"\d s"))
        page.get_by_label("Name").fill("boss")
        page.get_by_role("button", name="Make a key").click()
        expect(page.locator("tr", has_text="boss")).to_contain_text("may operate this server; no tools")
        page.get_by_label("Name").fill("ci")
        page.get_by_label("Tokens a month").fill("5000")
        page.get_by_label("Requests a minute").fill("6")
        page.get_by_label("Valid until").fill("2040-01-02")
        page.get_by_label("Instant").check()
        page.get_by_label("Run Python").check()
        page.get_by_role("button", name="Make a key").click()
        row = page.locator("tr", has_text="ci")
        expect(row).to_contain_text("Instant; Run Python")
        expect(row).to_contain_text("6 requests a minute, 5,000 tokens a month, until 1/2/2040")
        row.get_by_role("button", name="Revoke").click()
        expect(row).to_contain_text("revoked")
