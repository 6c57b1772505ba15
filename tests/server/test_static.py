import asyncio
import gzip
from urllib.parse import unquote

import pytest

from firesteel.server import static
from tests.server.serving import serving

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PAGE = b"<!doctype html><title>app</title>" * 20


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle, and beside it what must never be served."""
    folder = tmp_path / "static"
    files = {
        "static/index.html": PAGE,
        "static/secret.txt": b"secret",
        "static/assets/app-1a2b.js": b"js " * 99,
        "static/assets/stage.html": b"stage",
        "static/assets/deep/font.woff2": b"font",
        "secret.txt": b"secret",
    }
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    monkeypatch.setattr(static, "FOLDER", folder)
    return folder


def get(*paths, headers=None, keys=False):
    async def main():
        async with serving() as client:
            if keys:
                await client.service.store.create_key(name="k")
            return [await client.get(path, headers=headers) for path in paths]

    answers = asyncio.run(main())
    return answers[0] if len(answers) == 1 else answers


def policy(answer):
    """The directives of a content security policy."""
    parts = [part.split() for part in answer.headers["content-security-policy"].split(";")]
    assert len({part[0] for part in parts}) == len(parts), "a second one of a name is left alone by browsers"
    return {part[0]: set(part[1:]) for part in parts}


def test_without_a_bundle_the_root_is_json_for_everybody(tmp_path, monkeypatch):
    monkeypatch.setattr(static, "FOLDER", tmp_path / "none")
    answer, missing = get("/", "/assets/app.js", headers=HTML)
    assert answer.json()["name"] == "firesteel" and missing.status_code == 404


def test_browsers_get_the_page_and_programs_json(bundle):
    page, program = get("/", headers=HTML), get("/")
    assert page.content == PAGE and page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert program.json()["model"] == "kindling"
    assert "accept" in page.headers["vary"] and "accept" in program.headers["vary"]


def test_the_page_loads_runs_and_is_framed_by_nothing_foreign(bundle):
    rules = policy(get("/", headers=HTML))
    own = {"'self'", "data:", "blob:", "'none'"}
    assert all(sources <= own for name, sources in rules.items() if name != "style-src-attr")
    assert rules["default-src"] == rules["connect-src"] == rules["style-src"] == {"'self'"}
    assert "script-src" not in rules
    assert all(rules[name] == {"'none'"} for name in ("object-src", "base-uri", "form-action", "frame-ancestors"))


def test_the_page_is_protected_as_all_answers_are(bundle):
    headers = get("/", headers=HTML).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer" and headers["cross-origin-opener-policy"] == "same-origin"


def test_assets_are_kept_for_ever_and_have_their_types(bundle):
    script, font = get("/assets/app-1a2b.js", "/assets/deep/font.woff2")
    assert script.content == b"js " * 99 and script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert font.content == b"font" and font.headers["content-type"] == "font/woff2"
    for answer in (script, font):
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_text_is_packed_for_who_unpacks(bundle):
    async def main():
        async with serving() as client:
            plain = await client.get("/assets/app-1a2b.js", headers={"accept-encoding": "identity"})
            async with client.stream("GET", "/assets/app-1a2b.js") as answer:
                raw = b"".join([piece async for piece in answer.aiter_raw()])
            font = await client.get("/assets/deep/font.woff2")
            return plain, answer, raw, font

    plain, answer, raw, font = asyncio.run(main())
    assert plain.content == gzip.decompress(raw) == b"js " * 99 and len(raw) < len(plain.content)
    assert answer.headers["content-encoding"] == "gzip" and "content-encoding" not in {**plain.headers, **font.headers}
    assert "accept-encoding" in plain.headers["vary"]


def test_another_page_of_the_bundle_is_a_stage_from_which_nothing_leaves(bundle):
    answer = get("/assets/stage.html")
    rules = policy(answer)
    assert rules["default-src"] == {"'none'"} and rules["sandbox"] == {"allow-scripts"}
    assert rules["frame-ancestors"] == {"'self'"} and answer.headers["x-frame-options"] == "SAMEORIGIN"
    for name, sources in rules.items():
        if name not in ("frame-ancestors", "sandbox"):
            assert sources <= {"'none'", "'unsafe-inline'", "data:", "blob:"}, name
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "../../secret.txt", "%2e%2e%2f%2e%2e%2fsecret.txt",
        "..\\secret.txt", "/etc/passwd", "%2fetc%2fpasswd", "deep/../../secret.txt", "./app-1a2b.js", "deep", "deep/",
        "", "app-1a2b.js%00", "app-1a2b.js/", "APP-1A2B.JS",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_assets(bundle, path):
    """Sent as it is written: clients tidy paths up."""

    async def main():
        async with serving() as client:
            sent, target = [], f"/assets/{path}"
            scope = {
                "type": "http", "method": "GET", "path": unquote(target), "raw_path": target.encode(),
                "query_string": b"", "headers": [(b"host", b"localhost")], "scheme": "http", "http_version": "1.1",
                "root_path": "",
            }  # fmt: skip

            async def receive():
                return {"type": "http.request"}

            async def send(message):
                sent.append(message)

            await client._transport.app(scope, receive, send)
            return sent

    start, _ = asyncio.run(main())
    assert start["status"] == 404


def test_a_file_that_was_put_there_later_is_not_served(bundle):
    async def main():
        async with serving() as client:
            await client.get("/assets/app-1a2b.js")
            (bundle / "assets" / "late.js").write_bytes(b"late")
            return await client.get("/assets/late.js")

    assert asyncio.run(main()).status_code == 404


def test_the_app_needs_no_key_and_everything_else_does(bundle):
    opened = get("/assets/app-1a2b.js", "/v1/app", keys=True)
    assert [answer.status_code for answer in opened] == [200, 200]
    assert get("/", headers=HTML, keys=True).status_code == 200
    closed = get("/v1/threads", "/v1/models", "/assets", "/v1/app/", "/v1/admin/keys", keys=True)
    assert [answer.status_code for answer in closed] == [401] * 5


def test_the_app_learns_what_the_server_can():
    told = get("/v1/app").json()
    assert told["default_model"] == "kindling" and "kindling-instant" in told["models"]
    assert told["modes"] == ["instant", "thinking", "contemplating"] and "high" in told["strengths"]
    assert told["limits"]["images"] == 50 and told["keys"] is False and told["context"] is None
    assert {"zoom", "mark", "container.view", "container.create_web_artifact"} < set(told["replays"])
    assert not {"browser.search", "browser.open", "subagents.spawn_agents"} & set(told["replays"])
    stranger = get("/v1/app", keys=True).json()
    assert "python" in told["tools"] and stranger["keys"] is True and stranger["replays"] == []


def test_the_address_of_a_tool_is_told_to_holders_of_a_key_alone():
    async def main():
        async with serving(tools=("zoom", "mcp:server --token 5")) as client:
            _, secret = await client.service.store.create_key(name="k")
            shown = [{}, {"x-api-key": "fs-wrong"}, {"authorization": f"Bearer {secret}"}]
            return [(await client.get("/v1/app", headers=headers)).json()["tools"] for headers in shown]

    assert asyncio.run(main()) == [["zoom"], ["zoom"], ["zoom", "mcp:server --token 5"]]


def test_without_python_there_is_no_sandbox_to_tell_of():
    async def main():
        async with serving(tools=("zoom",)) as client:
            return (await client.get("/v1/app")).json()

    told = asyncio.run(main())
    assert told["sandbox"] is None and told["tools"] == ["zoom"]
