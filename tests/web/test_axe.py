"""axe-core finds nothing serious: light and dark, phone and wide screen, in each state of the app."""

from pathlib import Path

import pytest

from tests.agent.scripted import Scripted, calls, says
from tests.server.serving import live
from tests.web.driving import CHART, asked, expect, mode, opened, tool

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RICH = """# Head

Some `code`, [a link](https://example.org) and $x^2$.

```python
print('a')  # b
```

|a|b|
|-|-|
|1|2|

- [x] done

> said"""
PAGE = calls(("container.create_web_artifact", {"kind": "html", "title": "Page", "content": "<p>hello</p>"}))
LOOK = calls(("zoom", {"img": "0", "bbox_2d": "[100, 200, 500, 600]", "label": "bar"}))


def findings(page):
    page.evaluate(AXE.read_text())
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    bad = [each for each in result["violations"] if each["impact"] in ("serious", "critical")]
    return [(each["id"], [node["html"][:160] for node in each["nodes"]][:3]) for each in bad]


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there: run `npm ci` in web/")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_serious_is_found(page, scheme, width):
    minds = [says("Mia", thought="so"), says("Eva"), says("Mia")]
    lines = [LOOK, says(RICH, thought="The bar is high."), PAGE, says("there"), *minds, says("slow " * 100)]
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    with live(backend=Scripted(*lines, pause=0.005), tools=("zoom", "artifacts")) as (url, _):
        opened(page, url)
        assert findings(page) == []
        tool(page, "Zoom and mark pictures")
        tool(page, "Make pages and drawings")
        page.locator("input[type=file][accept='image/*']").set_input_files(CHART)
        expect(page.locator(".previews img")).to_have_count(1)
        assert findings(page) == []
        turn = asked(page, "look")
        turn.locator(".card summary").click()
        turn.get_by_role("button", name="Run again").click()
        expect(turn.locator(".again")).to_be_visible()
        turn.get_by_text("Thought", exact=True).click()
        asked(page, "make a page").locator(".card summary").click()
        mode(page, "Contemplating")
        page.get_by_label("Agents", exact=True).select_option("2")
        page.get_by_label("Rounds", exact=True).select_option("0")
        asked(page, "who").locator(".agents details").first.locator("summary").click()
        page.locator(".page").evaluate("page => { page.scrollTop = 0; }")
        assert findings(page) == []
        page.locator(".page").evaluate("page => { page.scrollTop = page.scrollHeight; }")
        assert findings(page) == []
        page.keyboard.press("Alt+p")
        expect(page.get_by_role("dialog", name="Files")).to_contain_text("Picture 1")
        assert findings(page) == []
        page.keyboard.press("Escape")
        page.keyboard.press("Alt+k")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.get_by_label("More about “look”").click()
        assert findings(page) == []
        page.goto(f"{url}/#/operator")
        expect(page.get_by_role("heading", name="Usage", exact=True)).to_be_visible()
        assert findings(page) == []
        page.get_by_label("Keyboard").click()
        assert findings(page) == []
