"""Tools in the app: run again, ask for permission, leave files; sentences and marks light each other."""

from tests.agent.scripted import Scripted, calls, says
from tests.server.serving import live, sending
from tests.web.driving import CHART, asked, expect, menu, mode, opened, tool

LOOK = calls(("zoom", {"img": "0", "bbox_2d": "[100, 200, 500, 600]", "label": "bar F"}))
THOUGHT = "First a look. The bar F is high.\n\nAt [100, 200, 500, 600] it ends."


def picture(page):
    page.locator("input[type=file][accept='image/*']").set_input_files(CHART)


def test_a_sentence_lights_its_place_and_a_place_its_sentence(page):
    with live(LOOK, says("34", thought=THOUGHT)) as (url, _):
        opened(page, url)
        tool(page, "Zoom and mark pictures")
        picture(page)
        turn = asked(page, "how high is F?")
        turn.get_by_text("Thought", exact=True).click()
        assert turn.locator("details .text").inner_text().split("\n\n") == THOUGHT.split("\n\n")
        named = turn.locator(".named")
        expect(named).to_have_text(["The bar F is high.", "At [100, 200, 500, 600] it ends."])
        named.first.hover()
        expect(turn.locator("figure g.lit")).to_have_count(1)
        expect(turn.locator(".card.lit")).to_have_count(1)
        turn.get_by_role("button", name="bar F (looked closer)").focus()
        expect(turn.locator(".named.lit")).to_have_count(2)


def test_a_call_runs_again_beside_its_first_result(page):
    with live(LOOK, says("34")) as (url, _):
        opened(page, url)
        tool(page, "Zoom and mark pictures")
        picture(page)
        turn = asked(page, "how high is F?")
        turn.locator(".card summary").click()
        turn.get_by_role("button", name="Run again").click()
        expect(turn.locator(".again")).to_contain_text("the same")
        expect(turn.locator(".again pre")).to_have_text(
            turn.locator(".results > div").first.locator("pre").inner_text()
        )
        assert turn.locator(".again img").evaluate("image => image.naturalWidth") > 0
        said = page.locator(".unseen[aria-live]:not(dialog *)")
        expect(said).to_have_text("The tool ran again.")
        page.keyboard.press("Alt+m")
        expect(said).to_have_text("Contemplating")
        turn.get_by_role("button", name="bar F (looked closer)").click()
        expect(page.locator("dialog[open] .unseen[aria-live]")).to_have_text("Contemplating")
        page.keyboard.press("Escape")
        page.route("**/calls/**", lambda route: route.fulfill(status=503, body="no place"))
        turn.get_by_role("button", name="Run again").click()
        expect(page.get_by_role("status")).to_contain_text("no place")
        expect(said).to_have_text("Contemplating")


def test_files_are_given_written_saved_and_taken_back(page, tmp_path):
    page.set_viewport_size({"width": 1280, "height": 900})
    write = calls(("container.insert", {"path": "out/sum.txt", "insert_line": "0", "new_str": "3"}))
    see = calls(("container.view", {"path": "data.csv"}))
    data = tmp_path / "data.csv"
    data.write_text("a,b\n1,2\n")
    with live(see, write, says("the sum is 3"), tools=("files",)) as (url, _):
        opened(page, url)
        page.keyboard.press("Alt+p")
        panel = page.get_by_role("dialog", name="Files")
        panel.get_by_label("Add files").set_input_files(data)
        expect(panel).to_contain_text("data.csv")
        page.keyboard.press("Escape")
        turn = asked(page, "add them")
        expect(turn).to_contain_text("(In the working folder: data.csv)")
        turn.locator(".card summary").first.click()
        expect(turn.locator(".card").first).to_contain_text("a,b")
        page.reload()
        page.get_by_label("Files", exact=True).click()
        with page.expect_download() as told:
            panel.get_by_label("Download out/sum.txt").click()
        assert told.value.suggested_filename == "sum.txt" and told.value.path().read_text() == "3\n"
        panel.get_by_label("Take back data.csv").click()
        expect(panel.get_by_text("data.csv")).to_have_count(0)


def test_files_travel_with_a_conversation(page, tmp_path):
    page.set_viewport_size({"width": 1280, "height": 900})
    write = calls(("container.insert", {"path": "sum.txt", "insert_line": "0", "new_str": "3"}))
    with live(write, says("the sum is 3"), tools=("files",)) as (url, _):
        opened(page, url)
        tool(page, "Working folder")
        asked(page, "add them")
        with page.expect_download() as told:
            menu(page, "add them", "JSON")
        told.value.save_as(tmp_path / "thread.json")
        menu(page, "add them", "Delete")
        page.get_by_label("Import a conversation").set_input_files(tmp_path / "thread.json")
        expect(page.locator(".prose")).to_have_text("the sum is 3")
        page.get_by_label("Files", exact=True).click()
        with page.expect_download() as told:
            page.get_by_label("Download sum.txt").click()
        assert told.value.path().read_text() == "3\n"


def test_a_tool_that_changes_something_asks(page, monkeypatch):
    sent = sending(monkeypatch)
    send = calls(("send", {"what": "news"}))
    with live(send, says("gone"), send, says("not gone"), send, says("gone again"), send, says("and again")) as (
        url,
        _,
    ):
        opened(page, url)
        tool(page, "Run Python")
        turn = asked(page, "send it", wait=False)
        question = turn.get_by_label("May send do this?")
        expect(question).to_contain_text("news")
        page.reload()
        question.get_by_role("button", name="Allow once").click()
        expect(page.locator(".prose").last).to_have_text("gone")
        assert sent == ["news"]
        asked(page, "once more", wait=False)
        question.get_by_role("button", name="Deny").click()
        expect(page.locator(".prose").last).to_have_text("not gone")
        asked(page, "and now", wait=False)
        question.get_by_role("button", name="Allow in this conversation").click()
        expect(page.locator(".prose").last).to_have_text("gone again")
        asked(page, "and then")
        expect(page.locator(".prose").last).to_have_text("and again")
        page.locator(".card summary").last.click()
        expect(page.locator(".card").last).to_contain_text("Input")
        expect(page.get_by_role("button", name="Run again")).to_have_count(0)
        assert sent == ["news"] * 3


def test_lanes_show_tokens_and_pictures(page):
    minds = [LOOK, says("34", thought="it is high"), LOOK, says("34")]
    with live(backend=Scripted(*minds)) as (url, _):
        opened(page, url)
        tool(page, "Zoom and mark pictures")
        picture(page)
        mode(page, "Contemplating")
        page.get_by_label("Agents", exact=True).select_option("2")
        turn = asked(page, "how high is F?")
        turn.locator(".agents details").first.locator("summary").click()
        expect(turn.locator(".lane img")).not_to_have_count(0)
        expect(turn.locator(".lane .count").first).to_contain_text("tokens")
