"""What is written is not lost, and lands where it was meant, though it is refused, waits, or is left behind."""

import contextlib
import json

from tests.agent.scripted import Scripted, says
from tests.server.serving import live
from tests.web.driving import Held, asked, expect, mode, opened


@contextlib.contextmanager
def slow(page, path, method):
    """Holds the first request of a path until this ends."""
    held = []
    first = lambda request: request.method == method and not held  # noqa: E731
    page.route(path, lambda route: held.append(route) if first(route.request) else route.fallback())
    yield held
    held[0].continue_()
    page.unroute(path)


def write(page, text):
    page.locator("#composer").fill(text)
    page.keyboard.press("Enter")


def refused(route):
    body = json.dumps({"error": {"message": "Later.", "code": None}})
    route.fulfill(status=503, body=body) if route.request.method == "POST" else route.fallback()


def test_the_app_runs_where_the_page_came_over_plain_http(page):
    page.add_init_script("delete Crypto.prototype.randomUUID; delete Navigator.prototype.clipboard")  # as browsers do
    with live(says("one")) as (url, _):
        opened(page, url)
        asked(page, "first")
        page.keyboard.press("Alt+c")
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        page.locator("#composer").press("Control+v")
        expect(page.locator("#composer")).to_have_value("one")


def test_what_is_written_before_there_is_a_conversation_waits(page):
    with live(says("one"), says("two")) as (url, _):
        opened(page, url)
        with slow(page, "**/v1/threads", "POST"):
            asked(page, "first", wait=False)
            write(page, "second")
            expect(page.get_by_text("1 message waits")).to_be_visible()
        expect(page.locator(".prose")).to_have_text(["one", "two"])


def test_what_waits_is_sent_where_the_disk_is_full(page):
    page.add_init_script("IDBObjectStore.prototype.put = function () { this.transaction.abort(); }")
    backend = Held(says("one"), says("two"))
    with live(backend=backend) as (url, _):
        opened(page, url)
        asked(page, "first", wait=False)
        expect(page.locator(".prose")).to_contain_text("one")
        write(page, "second")
        expect(page.get_by_text("1 message waits")).to_be_visible()
        backend.held = False
        expect(page.locator(".prose")).to_have_text(["one", "two"])


def test_what_waits_is_not_lost_when_the_user_leaves_while_it_is_taken(page):
    page.add_init_script("""
        const gone = IDBObjectStore.prototype.delete;
        IDBObjectStore.prototype.delete = function (key) {
            const wait = () => { if (window.slow) this.get("").onsuccess = wait; }; // what asks something stays open
            wait();
            return gone.call(this, key);
        };
    """)
    backend = Held(says("one"), says("two"))
    with live(backend=backend) as (url, _):
        opened(page, url)
        asked(page, "first", wait=False)
        write(page, "second")
        expect(page.get_by_text("1 message waits")).to_be_visible()
        page.evaluate("window.slow = true")
        backend.held = False
        expect(page.get_by_text("1 message waits")).to_have_count(0)
        page.keyboard.press("Alt+n")
        expect(page.locator("article")).to_have_count(0)
        page.evaluate("window.slow = false")
        page.locator("nav li a").click()
        expect(page.locator(".prose")).to_have_text(["one", "two"])


def test_what_is_taken_back_joins_what_has_been_written_since(page):
    with live(backend=Held(says("one"))) as (url, _):
        opened(page, url)
        asked(page, "first", wait=False)
        write(page, "second")
        page.locator("#composer").fill("third")
        page.get_by_role("button", name="Take back").click()
        expect(page.locator("#composer")).to_have_value("second\n\nthird")


def test_a_first_message_that_could_not_be_sent_stays(page):
    with live(says("one")) as (url, _):
        opened(page, url)
        page.route("**/v1/threads", lambda route: route.abort())
        turn = asked(page, "first", wait=False)
        expect(turn.get_by_role("alert")).to_contain_text("cannot be reached")
        expect(page.locator(".gone")).to_be_visible()
        page.unroute("**/v1/threads")
        expect(page.locator(".gone")).to_have_count(0)  # the page has found the server again
        turn.get_by_role("button", name="Try again").click()
        expect(page.locator(".prose")).to_have_text("one")


def test_a_message_whose_settings_were_not_kept_stays_and_takes_them_along(page):
    with live(says("one"), says("two"), says("three")) as (url, _):
        opened(page, url)
        asked(page, "first")
        mode(page, "Instant")
        page.route("**/v1/threads/thread_*", refused)
        turn = asked(page, "second", wait=False)
        expect(turn.get_by_role("alert")).to_contain_text("Later.")
        page.unroute("**/v1/threads/thread_*")
        asked(page, "third")
        expect(page.locator(".prose")).to_have_text(["one", "two"])  # it follows the last that was answered
        page.get_by_label("Previous version").click()
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".prose")).to_have_text(["one", "three"])
        page.reload()
        expect(page.get_by_role("radio", name="Instant")).to_be_checked()


def test_a_first_message_goes_into_its_own_conversation_when_another_is_begun(page):
    with live(says("one")) as (url, _):
        opened(page, url)
        with slow(page, "**/v1/threads", "POST"):
            asked(page, "first", wait=False)
            page.keyboard.press("Alt+n")
        page.locator("nav").get_by_text("first").wait_for()
        expect(page.locator("article")).to_have_count(0)
        assert page.url == f"{url}/"
        page.locator("nav li a").click()
        expect(page.locator(".prose")).to_have_text("one")


def test_the_conversation_that_was_opened_last_is_shown(page):
    with live(says("one"), says("two")) as (url, _):
        opened(page, url)
        asked(page, "first")
        page.keyboard.press("Alt+n")
        asked(page, "second")
        page.goto(url)
        with slow(page, "**/v1/threads/thread_*", "GET") as held:
            with page.expect_request("**/v1/threads/thread_*"):
                page.locator("nav").get_by_text("first").click()
            page.locator("nav").get_by_text("second").click()
            expect(page.locator(".prose")).to_have_text("two")
        held[0].request.response().finished()
        page.wait_for_timeout(100)  # what comes of it would be shown
        expect(page.locator(".prose")).to_have_text("two")


def test_a_file_goes_into_the_conversation_that_it_was_given_to(page, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("a\n1\n")
    with live(tools=("files",)) as (url, _):
        opened(page, url)
        panel = page.get_by_role("dialog", name="Files")
        page.keyboard.press("Alt+p")
        with slow(page, "**/v1/files", "POST") as held:
            with page.expect_request("**/v1/files"):
                panel.get_by_label("Add files").set_input_files(data)
            page.keyboard.press("Escape")
            page.keyboard.press("Alt+n")
        held[0].request.response().finished()
        page.wait_for_timeout(100)
        page.keyboard.press("Alt+p")
        expect(panel).to_contain_text("Pictures and files that you add stand here.")


def test_a_file_that_was_taken_back_is_not_told_and_another_once(page, tmp_path):
    names = ["kept.csv", "back.csv"]
    for name in names:
        (tmp_path / name).write_text("a\n1\n")
    with live(says("one"), tools=("files",)) as (url, _):
        opened(page, url)
        page.keyboard.press("Alt+p")
        panel = page.get_by_role("dialog", name="Files")
        for name in [*names, "kept.csv"]:
            panel.get_by_label("Add files").set_input_files(tmp_path / name)
            expect(panel.get_by_role("status")).to_contain_text(name)
        panel.get_by_label("Take back back.csv").click()
        page.keyboard.press("Escape")
        expect(asked(page, "look")).to_contain_text("(In the working folder: kept.csv)")


def test_a_reader_who_went_back_in_a_thought_stays_there(page):
    thought = "\n".join(f"step {number}" for number in range(150))
    with live(backend=Scripted(says("one", thought=thought), pause=0.01)) as (url, _):
        opened(page, url)
        turn = asked(page, "think", wait=False)
        box = turn.locator("details .text")
        expect(box).to_contain_text("step 30")
        assert box.evaluate("box => box.scrollTop") > 0
        box.evaluate("box => { box.scrollTop = 0; }")
        expect(box).to_contain_text("step 140")
        assert box.evaluate("box => box.scrollTop") == 0
