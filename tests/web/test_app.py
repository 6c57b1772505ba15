"""The app in a browser, on the real server, with a model that says what a test wrote down."""

import base64
import json
import re
import time

from tests.agent.scripted import Scripted, calls, says
from tests.server.serving import live
from tests.web.driving import CHART, Held, asked, expect, menu, mode, opened, tool

LONG = " ".join(f"word{number}" for number in range(150))


def test_a_question_about_an_uploaded_picture_shows_thought_answer_and_cost(page):
    with live(says("It is **40**.", thought="49 minus 9")) as (url, _):
        opened(page, url)
        page.locator("input[type=file][accept='image/*']").set_input_files(CHART)
        expect(page.get_by_alt_text("Picture 1")).to_be_visible()
        turn = asked(page, "how much more is L than M?")
        expect(turn.locator(".prose strong")).to_have_text("40")
        turn.get_by_text("Thought", exact=True).click()
        expect(turn.get_by_text("49 minus 9")).to_be_visible()
        expect(turn.get_by_text("prompt")).to_contain_text("cached")
        page.reload()
        expect(page.get_by_alt_text("Picture 1")).to_be_visible()
        assert page.get_by_alt_text("Picture 1").evaluate("image => image.naturalWidth") == 168
        assert page.get_by_alt_text("Picture 1").get_attribute("src").startswith("/v1/threads/")


def test_several_pictures_are_pasted_dropped_and_removed(page):
    with live() as (url, _):
        opened(page, url)
        give = """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "a.png", { type: "image/png" }));
            const init = { bubbles: true, cancelable: true };
            const event = name === "paste" ? new ClipboardEvent(name, { ...init, clipboardData: transfer })
                                           : new DragEvent(name, { ...init, dataTransfer: transfer });
            document.querySelector("#composer").dispatchEvent(event);
        }"""
        data = base64.b64encode(CHART.read_bytes()).decode()
        page.evaluate(give, ["paste", data])
        page.evaluate(give, ["drop", data])
        expect(page.locator(".previews img")).to_have_count(2)
        page.get_by_label("Remove picture 1").click()
        expect(page.locator(".previews img")).to_have_count(1)


def test_a_reload_and_a_second_tab_lose_nothing_of_a_running_answer(page, context):
    with live(backend=Scripted(says(LONG, thought="so"), pause=0.02)) as (url, _):
        opened(page, url)
        turn = asked(page, "count", wait=False)
        expect(turn).to_contain_text("word9")
        second = context.new_page()
        second.goto(page.url)
        page.reload()
        for each in (page, second):
            expect(each.locator("article [data-action=copy]")).to_be_visible()
            expect(each.locator(".prose")).to_have_text(LONG)  # a tab that nobody sees is not drawn


def test_a_lost_network_is_told_and_made_good(page, context):
    with live(backend=Scripted(says(LONG), pause=0.02)) as (url, _):
        opened(page, url)
        cut = []
        page.route(
            "**/v1/responses/*?stream=true*",
            lambda route: route.abort() if len(cut) < 2 and not cut.append(1) else route.continue_(),
        )
        turn = asked(page, "count", wait=False)
        expect(turn).to_contain_text("word9")
        page.reload()
        expect(page.get_by_text("The connection was lost")).to_be_visible()
        expect(page.locator("article [data-action=copy]")).to_be_visible()
        assert page.locator(".prose").inner_text() == LONG and len(cut) == 2


def test_contemplating_shows_lanes_answers_vote_and_what_it_cost(page):
    minds = [says("Eva", thought="alone"), *(says("Mia", thought=f"mind {number}") for number in range(3))]
    with live(backend=Scripted(*minds, pause=0.01)) as (url, _):
        opened(page, url)
        mode(page, "Contemplating")
        page.get_by_label("Agents", exact=True).select_option("4")
        turn = asked(page, "who?", wait=False)
        expect(turn.locator(".lane")).to_have_count(4)
        expect(turn.locator("[data-action=copy]")).to_be_visible()
        expect(turn.locator(".clusters li").first).to_contain_text("Mia")
        expect(turn.locator(".prose")).to_have_text("Mia")
        expect(turn.locator(".ledger")).to_contain_text("on the longest path")
        turn.get_by_text("What one thinker would have said").click()
        expect(turn.locator(".one p")).to_have_text("Eva")
        page.reload()
        page.get_by_text("Show the agents").click()
        expect(page.locator(".lane")).to_have_count(4)
        expect(page.locator(".lane.won")).to_contain_text("Mia")
        expect(page.get_by_label("Agents", exact=True)).to_have_value("4")  # remembered with the conversation


def test_a_message_waits_for_the_answer_and_an_answer_can_be_stopped(page):
    backend = Held(says("one"), says(LONG), pause=0.02)
    with live(backend=backend) as (url, _):
        opened(page, url)
        asked(page, "first", wait=False)
        page.locator("#composer").fill("second")
        page.keyboard.press("Enter")
        expect(page.get_by_text("1 message waits")).to_be_visible()
        backend.held = False
        expect(page.locator("article")).to_have_count(2)
        expect(page.locator("article").last).to_contain_text("word3")
        page.keyboard.press("Escape")
        expect(page.get_by_text("Stopped.")).to_be_visible()
        assert "word149" not in page.locator("article").last.inner_text()


def test_edits_and_new_answers_are_branches(page):
    with live(*(says(f"answer {number}") for number in range(4))) as (url, _):
        opened(page, url)
        asked(page, "first")
        asked(page, "next")
        page.locator("article").first.get_by_role("button", name="Edit").click()
        page.get_by_label("Edit", exact=True).fill("first, otherwise")
        page.keyboard.press("Enter")
        expect(page.locator(".prose")).to_have_text(["answer 2"])
        page.get_by_role("button", name="Previous version").click()
        expect(page.locator(".prose")).to_have_text(["answer 0", "answer 1"])
        page.locator("article").last.get_by_role("button", name="Answer again").click()
        expect(page.locator(".prose")).to_have_text(["answer 0", "answer 3"])
        expect(page.get_by_label("Version 2 of 2")).to_be_visible()
        page.reload()
        expect(page.locator(".prose")).to_have_text(["answer 0", "answer 3"])


def test_conversations_are_found_renamed_pinned_deleted_and_brought_back(page):
    with live(says("the capital is Quito"), says("nothing of note")) as (url, _):
        opened(page, url)
        asked(page, "about Ecuador")
        page.keyboard.press("Alt+n")
        asked(page, "about nothing")
        side = page.locator("nav")
        expect(side.locator("li")).to_have_count(2)
        page.keyboard.press("Alt+k")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.keyboard.type("quito")
        expect(side.locator("li")).to_have_count(1)
        expect(side.locator("mark")).to_have_text("Quito")
        page.get_by_role("searchbox").fill("")
        expect(side.locator("li")).to_have_count(2)
        menu(page, "about Ecuador", "Pin")
        expect(side.locator("h2").first).to_have_text("Pinned")
        menu(page, "about Ecuador", "Rename")
        expect(page.locator(":focus")).to_have_value("about Ecuador")
        page.keyboard.press("Control+a")
        page.keyboard.type("the Andes")
        page.keyboard.press("Enter")
        expect(side.get_by_text("the Andes")).to_be_visible()
        menu(page, "about nothing", "Delete")
        expect(side.get_by_text("about nothing")).to_have_count(0)
        page.get_by_role("button", name="Undo").click()
        expect(side.get_by_text("about nothing")).to_be_visible()


def test_a_conversation_is_exported_and_imported(page, tmp_path):
    with live(says("the answer")) as (url, _):
        opened(page, url)
        asked(page, "the question")
        with page.expect_download() as told:
            menu(page, "the question", "JSON")
        file = tmp_path / "thread.json"
        told.value.save_as(file)
        assert json.loads(file.read_text())["object"] == "firesteel.thread"
        page.get_by_label("Import a conversation").set_input_files(file)
        expect(page.locator("nav li")).to_have_count(2)
        expect(page.locator(".prose")).to_have_text("the answer")


def test_where_the_model_looked_is_drawn_on_the_picture(page):
    look = calls(("zoom", {"img": "0", "bbox_2d": "[100, 200, 500, 600]", "label": "bar F"}))
    with live(look, says("34")) as (url, _):
        opened(page, url)
        tool(page, "Zoom and mark pictures")
        page.locator("input[type=file][accept='image/*']").set_input_files(CHART)
        turn = asked(page, "how high is F?")
        box = turn.locator("figure rect")
        expect(box).to_have_attribute("width", "405")  # grown by the tool to whole pixels
        turn.get_by_role("button", name="bar F (looked closer)").hover()
        expect(turn.locator("figure g.lit")).to_have_count(1)
        expect(turn.locator(".card.lit")).to_have_count(1)
        turn.get_by_role("button", name="bar F (looked closer)").click()
        expect(page.locator("dialog[open] .window")).to_be_visible()


def test_a_key_is_asked_for_once_and_pictures_come_with_it(page):
    with live(says("seen")) as (url, _):
        secret = page.request.post(f"{url}/v1/admin/keys", data={"name": "me", "admin": True}).json()["secret"]
        while page.request.get(f"{url}/v1/threads").ok:  # it closes within two seconds
            time.sleep(0.1)
        page.goto(url)
        page.get_by_label("Key", exact=True).fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        expect(page.get_by_text("does not accept this key")).to_be_visible()
        page.get_by_label("Key", exact=True).fill(secret)
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("dialog")).to_have_count(0)
        page.locator("input[type=file][accept='image/*']").set_input_files(CHART)
        asked(page, "look")
        page.reload()
        expect(page.get_by_alt_text("Picture 1")).to_have_attribute("src", re.compile("^blob:"))


def test_the_whole_path_goes_by_keyboard(page):
    with live(says("one"), says("two"), says("three")) as (url, _):
        opened(page, url)
        page.keyboard.type("hello")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("there")
        page.keyboard.press("Enter")
        expect(page.locator(".prose")).to_have_text("one")
        page.keyboard.press("Alt+r")
        expect(page.locator(".prose")).to_have_text("two")
        page.keyboard.press("Alt+[")
        expect(page.locator(".prose")).to_have_text("one")
        page.keyboard.press("Alt+e")
        expect(page.locator(":focus")).to_have_value("hello\nthere")
        page.keyboard.press("Control+a")
        page.keyboard.type("otherwise")
        page.keyboard.press("Enter")
        expect(page.locator(".prose")).to_have_text("three")
        page.keyboard.press("Alt+c")
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == "three"
        page.keyboard.press("Alt+m")
        expect(page.get_by_role("radio", name="Contemplating")).to_be_checked()
        page.keyboard.press("Alt+n")
        expect(page.locator("article")).to_have_count(0)
        page.keyboard.press("Alt+ArrowDown")
        expect(page.locator(".prose")).to_have_text("three")
        page.keyboard.press("Tab")
        page.keyboard.press("?")
        expect(page.get_by_role("heading", name="Keyboard")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("dialog[open]")).to_have_count(0)


def test_what_a_model_writes_neither_runs_nor_asks_elsewhere(page):
    corpus = json.loads((CHART.parents[1] / "web" / "tests" / "xss.json").read_text())
    with live(*(says(text) for text in ["\n\n".join(corpus)])) as (url, _):
        opened(page, url)
        page.on("dialog", lambda dialog: (_ for _ in ()).throw(AssertionError(dialog.message)))
        turn = asked(page, "attack")
        assert (
            turn.locator(".prose script, .prose iframe, .prose svg:not(math *), .prose form, .prose style").count() == 0
        )


def test_a_long_conversation_shows_its_end_and_the_rest_on_demand(page):
    with live() as (url, _):
        page.request.post(f"{url}/v1/threads/import", data=thread_of(500))
        opened(page, url)
        page.locator("nav li a").first.click()
        expect(page.get_by_text("answer 499")).to_be_visible()
        assert page.locator("article").count() <= 60
        page.locator(".page").evaluate("page => { page.scrollTop = 0; }")
        expect(page.locator("article").nth(59)).to_be_attached()


def thread_of(count):
    """The file of a conversation of `count` turns."""
    message = lambda role, kind, text: {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}  # noqa: E731
    turns = [
        {
            "id": f"resp_{number:024x}",
            "previous": f"resp_{number - 1:024x}" if number else None,
            "created_at": 1.7e9 + number,
            "status": "completed",
            "model": "kindling",
            "input": [message("user", "input_text", f"question {number}")],
            "output": [message("assistant", "output_text", f"answer {number}\n\n```python\nprint({number})\n```")],
        }
        for number in range(count)
    ]
    return {
        "object": "firesteel.thread",
        "version": 1,
        "created_at": 1.7e9,
        "title": "long",
        "leaf": turns[-1]["id"],
        "turns": turns,
    }
