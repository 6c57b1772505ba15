"""Pages that a model made: they run, and no byte leaves them.

Chromium may open a connection ahead of a navigation that it then refuses; nothing is sent on it.
"""

import contextlib
import socket
import threading
import urllib.request

import pytest

from tests.agent.scripted import calls, says
from tests.server.serving import live
from tests.web.driving import asked, expect, opened, tool

WAYS = {
    "fetch": "<script>fetch('http://HOST/fetch').catch(() => {})</script>",
    "xhr": "<script>const x = new XMLHttpRequest(); x.open('GET', 'http://HOST/xhr'); x.send()</script>",
    "picture": "<img src='http://HOST/picture'>",
    "script": "<script src='http://HOST/script'></script>",
    "style sheet": "<link rel=stylesheet href='http://HOST/style'>",
    "imported style": "<style>@import 'http://HOST/import'; body { background: url(http://HOST/background) }</style>",
    "font": "<style>@font-face { font-family: x; src: url(http://HOST/font) } p { font-family: x }</style><p>x</p>",
    "prefetch": "<link rel=prefetch href='http://HOST/prefetch'><link rel=preconnect href='http://HOST'>",
    "beacon": "<script>navigator.sendBeacon('http://HOST/beacon', 'x')</script>",
    "socket": "<script>new WebSocket('ws://HOST/socket')</script>",
    "event source": "<script>new EventSource('http://HOST/events')</script>",
    "frame": "<iframe src='http://HOST/frame'></iframe><object data='http://HOST/object'></object>",
    "form": "<form action='http://HOST/form'><input name=a></form><script>document.forms[0].submit()</script>",
    "navigation": "<script>location = 'http://HOST/navigation'</script>",
    "refresh": "<meta http-equiv=refresh content='0;url=http://HOST/refresh'>",
    "top navigation": "<script>try { top.location = 'http://HOST/top' } catch {}</script>",
    "window": "<script>open('http://HOST/window')</script>",
    "link": "<a href='http://HOST/link' target=_blank ping='http://HOST/ping'>x</a>"
    "<script>document.links[0].click()</script>",
    "worker": "<script>new Worker(URL.createObjectURL(new Blob([\"fetch('http://HOST/worker')\"])))</script>",
    "video": "<video src='http://HOST/video' autoplay></video><audio src='http://HOST/audio' autoplay></audio>",
    "svg": "<svg><image href='http://HOST/image'/><use href='http://HOST/use#a'/></svg>",
    "webrtc": "<script>new RTCPeerConnection({ iceServers: [{ urls: 'stun:HOST' }] }).createDataChannel('x')</script>",
}
RAN = "<script>parent.postMessage('it ' + 'ran', '*')</script>"
PRIED = """<p id=told></p><script>
const tried = (name, read) => {
  try { return `${name}: ${read() ? 'yes' : 'no'}` } catch { return `${name}: refused` }
};
document.getElementById('told').textContent = [
  tried('storage', () => localStorage), tried('cookie', () => document.cookie || true),
  tried('parent', () => parent.document), tried('session', () => sessionStorage),
  tried('origin', () => self.origin !== 'null'),
].join('; ')
</script>"""


@pytest.fixture
def ear():
    """(host, what was heard): a listener on this machine that answers nothing."""
    heard, server = [], socket.create_server(("127.0.0.1", 0))

    def listen():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            if said := connection.recv(200):
                heard.append(said)
            connection.close()

    threading.Thread(target=listen, daemon=True).start()
    yield f"127.0.0.1:{server.getsockname()[1]}", heard
    server.close()


def shown(page, url):
    opened(page, url)
    tool(page, "Make pages and drawings")
    page.evaluate("() => { window.ran = new Promise((done) => addEventListener('message', done)); }")
    asked(page, "make a page")
    assert page.evaluate("ran.then(({ data }) => data)") == "it ran"
    return page.frame_locator("iframe")


def made(content):
    return calls(("container.create_web_artifact", {"kind": "html", "title": "Page", "content": content})), says("made")


def test_a_page_runs_without_an_origin(page):
    with live(*made(RAN + PRIED), tools=("artifacts",)) as (url, _):
        frame = shown(page, url)
        expect(frame.locator("#told")).to_have_text(
            "storage: refused; cookie: refused; parent: refused; session: refused; origin: no"
        )
        sandbox = page.locator("iframe").get_attribute("sandbox")
        assert sandbox == "allow-scripts"
        page.get_by_role("button", name="Source").click()
        expect(page.locator("section pre")).to_contain_text("it ' + 'ran")
        with page.expect_download() as told:
            page.get_by_role("button", name="Download").click()
        assert told.value.suggested_filename == "Page.html"


@pytest.mark.parametrize("way", WAYS)
def test_nothing_leaves_a_page(browser, ear, way):
    host, heard = ear
    context = browser.new_context()
    page = context.new_page()
    with live(*made(RAN + WAYS[way].replace("HOST", host)), tools=("artifacts",)) as (url, _):
        shown(page, url)
        page.wait_for_timeout(700)
        assert page.url.startswith(url)
    context.close()
    assert heard == []


def test_the_ear_hears(ear):
    host, heard = ear
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://{host}/", timeout=5)
    assert heard
