import asyncio
import importlib
import inspect
import json
from datetime import date, timedelta

import pytest

from firesteel.agent.web import Hit, MetaSearch, Query, SearXNG
from firesteel.agent.web.search import fuse, span_since
from tests.agent.web.internet import answer, serving

FOUND = {
    "results": [
        {"url": "https://a.example/", "title": "A", "content": "about a", "publishedDate": "2026-01-02T00:00:00"},
        {"title": "no address"},
        {"url": "https://b.example/", "title": "B", "content": None},
    ]
}


async def ask_searxng(query: Query, reply: bytes, path: str = "/search"):
    async with serving({path: reply}) as wire:
        hits = await SearXNG(f"http://127.0.0.1:{wire.port}{path.removesuffix('/search')}").search(query)
        return hits, wire.requests


def test_searxng_is_asked_for_json_on_its_own_address_even_on_loopback():
    query = Query("flint & steel", "de", date.today() - timedelta(days=5), news=True)
    hits, requests = asyncio.run(ask_searxng(query, answer(json.dumps(FOUND), "application/json"), "/x/search"))
    assert hits == [Hit("https://a.example/", "A", "about a", "2026-01-02T00:00:00"), Hit("https://b.example/", "B")]
    line = requests[0].split("\r\n")[0]
    assert line.startswith("GET /x/search?")
    for part in ("q=flint+%26+steel", "format=json", "categories=news", "language=de", "time_range=month"):
        assert part in line


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answer("no", status="403 Forbidden"), r"search\.formats"),
        (answer("<html>", "text/html"), "no results"),
        (answer("{}", "application/json"), "no results"),
        (answer("{", "application/json"), "line 1"),
        (answer(status="302 Found", location="http://127.0.0.1:1/"), "302"),
        (b"", "could not be reached"),
    ],
)
def test_searxng_that_does_not_answer_is_told(reply, why):
    with pytest.raises(ValueError, match=why):
        asyncio.run(ask_searxng(Query("x"), reply))


@pytest.mark.parametrize("url", ["file:///x", "searx.example", "", "ftp://searx.example"])
def test_searxng_needs_an_http_address(url):
    with pytest.raises(ValueError, match="begins with http"):
        SearXNG(url)
    with pytest.raises(ValueError, match="cannot be read"):
        SearXNG("http://a:b")


def test_the_metasearch_library_is_asked_as_it_expects(monkeypatch):
    ddgs = pytest.importorskip("ddgs")
    asked = []

    class Engines:
        def __init__(self, timeout):
            pass

        def text(self, query, **options):
            asked.append(("text", query, options))
            return [{"title": "A", "href": "https://a.example/", "body": "about a"}]

        def news(self, query, **options):
            asked.append(("news", query, options))
            return [{"title": "N", "url": "https://n.example/", "body": "b", "date": "2026-01-02"}]

    monkeypatch.setattr(ddgs, "DDGS", Engines)
    search = MetaSearch().search
    assert asyncio.run(search(Query("flint", count=5))) == [Hit("https://a.example/", "A", "about a")]
    news = Query("flint", "ja", date.today(), news=True)
    assert asyncio.run(search(news)) == [Hit("https://n.example/", "N", "b", "2026-01-02")]
    asyncio.run(search(Query("flint", "pt-BR")))
    assert asked[0] == ("text", "flint", {"region": "us-en", "timelimit": None, "max_results": 5})
    assert asked[1] == ("news", "flint", {"region": "jp-ja", "timelimit": "d", "max_results": 10})
    assert asked[2][2]["region"] == "br-pt"


def test_the_metasearch_library_takes_these_options():
    pytest.importorskip("ddgs")
    library, results = importlib.import_module("ddgs.ddgs"), importlib.import_module("ddgs.results")
    taken = inspect.signature(library.DDGS._search_sync).parameters
    assert {"region", "timelimit", "max_results"} <= set(taken)
    assert {"href", "title", "body"} <= set(results.TextResult.__dataclass_fields__)
    assert {"url", "title", "body", "date"} <= set(results.NewsResult.__dataclass_fields__)


@pytest.mark.parametrize(("error", "found"), [("No results found.", True), ("all engines failed", False)])
def test_nothing_found_is_not_a_failure(monkeypatch, error, found):
    ddgs = pytest.importorskip("ddgs")
    exceptions = importlib.import_module("ddgs.exceptions")

    class Engines:
        def __init__(self, timeout):
            pass

        def text(self, query, **options):
            raise exceptions.DDGSException(error)

    monkeypatch.setattr(ddgs, "DDGS", Engines)
    if found:
        assert asyncio.run(MetaSearch().search(Query("x"))) == []
    else:
        with pytest.raises(ValueError, match="all engines failed"):
            asyncio.run(MetaSearch().search(Query("x")))


@pytest.mark.parametrize(
    ("days", "span"), [(0, "day"), (1, "day"), (2, "week"), (7, "week"), (8, "month"), (300, "year"), (900, None)]
)
def test_a_span_reaches_back_far_enough(days, span):
    assert span_since(date.today() - timedelta(days=days)) == span


def test_fusion_prefers_what_several_rankings_have():
    a, b, c = (Hit(f"https://{name}.example/", name) for name in "abc")
    assert fuse([[a, b], [c, b]]) == [b, a, c]
    assert fuse([[a, b, c]]) == [a, b, c]
    assert fuse([[], []]) == []
