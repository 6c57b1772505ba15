import asyncio
import io

import pytest
from PIL import Image

from firesteel.agent.web import Fetcher
from firesteel.server import remote
from firesteel.server.errors import ApiError
from firesteel.server.remote import PICTURES, fetch_image
from tests.agent.scripted import says
from tests.agent.web.internet import PUBLIC, Canned, Names, answer, redirect
from tests.server.serving import serving

URL = "http://site.example/cat.png"


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, "PNG")
    return buffer.getvalue()


def internet(*answers, names=None, most_bytes=10_000, **limits):
    resolve = names or Names(site_example=[PUBLIC], inside_example=["10.0.0.7"])
    return Fetcher(resolve=resolve, network=Canned(*answers), accept=PICTURES, most_bytes=most_bytes, **limits)


def fetch(url, *answers, **limits):
    return asyncio.run(fetch_image(url, 10_000, "image_url", internet(*answers, **limits)))


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_is_fetched(kind):
    assert fetch(URL, answer(png(), kind)) == png()


def test_a_redirect_is_followed():
    assert fetch(URL, redirect("/dog.png"), answer(png(), "image/png")) == png()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/cat.png",
        "http://[::1]/cat.png",
        "http://169.254.169.254/latest/meta-data",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://inside.example/cat.png",
        "http://site.example:8080/cat.png",
        "http://user:secret@site.example/cat.png",
        "file:///etc/passwd",
    ],
)
def test_addresses_that_are_not_public_are_forbidden(url):
    with pytest.raises(ApiError) as refused:
        fetch(url)
    assert (refused.value.status, refused.value.code) == (400, "forbidden_url")
    assert "10.0.0.7" not in refused.value.message


def test_a_redirect_inwards_is_forbidden():
    with pytest.raises(ApiError) as refused:
        fetch(URL, redirect("http://inside.example/secret.png"))
    assert refused.value.code == "forbidden_url"


def test_a_name_that_changes_its_address_is_checked_again():
    names = Names(site_example=[[PUBLIC], ["127.0.0.1"]])
    with pytest.raises(ApiError) as refused:
        fetch(URL, redirect(URL), answer(png(), "image/png"), names=names)
    assert refused.value.code == "forbidden_url"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (answer("<script>", "text/html"), "text/html"),
        (answer("<svg/>", "image/svg+xml"), "svg"),
        (answer(bytes(10_001), "image/png"), "larger than"),
        (answer("", status="404 Not Found"), "404"),
        (b"", "reached"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(page, why):
    with pytest.raises(ApiError, match=why) as refused:
        fetch(URL, page)
    assert (refused.value.status, refused.value.param) == (400, "image_url")


def test_a_resolver_that_hangs_runs_into_the_deadline():
    async def hang(host, port):
        await asyncio.Event().wait()

    with pytest.raises(ApiError, match="longer than"):
        fetch(URL, names=hang, seconds=0.05)


def ask(url, **settings):
    part = {"type": "image_url", "image_url": {"url": url}}

    async def run():
        async with serving(says("red"), **settings) as client:
            body = {"model": "kindling", "messages": [{"role": "user", "content": [part]}]}
            return await client.post("/v1/chat/completions", json=body), client.service.backend.requests

    return asyncio.run(run())


def test_nothing_is_fetched_unless_the_operator_says_so(monkeypatch):
    monkeypatch.setattr(remote, "_fetcher", lambda most: internet(answer(png(), "image/png")))
    refused, asked = ask(URL)
    assert (refused.status_code, refused.json()["error"]["code"], asked) == (400, "remote_images_off", [])
    served, [request] = ask(URL, remote_images=True)
    assert served.status_code == 200 and request.messages[0].images[0].size == (32, 32)


def test_a_fetched_bomb_is_refused_by_its_header(monkeypatch):
    buffer = io.BytesIO()
    Image.new("1", (6000, 6000)).save(buffer, "PNG")
    monkeypatch.setattr(
        remote, "_fetcher", lambda most: internet(answer(buffer.getvalue(), "image/png"), most_bytes=10**6)
    )
    refused, asked = ask(URL, remote_images=True)
    assert (refused.status_code, refused.json()["error"]["code"], asked) == (400, "invalid_image", [])
