"""Who answers a search: a keyless metasearch library, or an operator's SearXNG. Local folders are in `files.py`.

Results of several queries and providers are fused by reciprocal rank (Cormack, Clarke, Büttcher 2009), which needs no
scores. SearXNG is the operator's own and may stand on a loopback address, so it has a client of its own that never
leaves the given origin; what it finds is opened through the guard like everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import httpx

RANK_OFFSET = 60  # of the fusion, as in its paper
SECONDS = 10
_SPANS = {"day": 1, "week": 7, "month": 31, "year": 366}
# ddgs wants a country with each language; most languages are spelled like a country where they are spoken.
_COUNTRIES = {"cs": "cz", "da": "dk", "el": "gr", "en": "us", "et": "ee", "he": "il", "hi": "in", "ja": "jp"} | {
    "ko": "kr", "sl": "si", "sv": "se", "uk": "ua", "vi": "vn", "zh": "cn", "ar": "xa", "fa": "ir"}  # fmt: skip


@dataclass(frozen=True)
class Query:
    """`language` is a code such as de or pt-BR, or empty; `news` asks for news only."""

    text: str
    language: str = ""
    since: date | None = None
    news: bool = False
    count: int = 10


@dataclass(frozen=True)
class Hit:
    """`date` is an ISO date, with or without a time, or empty."""

    url: str
    title: str
    text: str = ""
    date: str = ""


class SearchProvider(Protocol):
    async def search(self, query: Query) -> list[Hit]:
        """The best hits first. Raises ValueError with a reason if it cannot search."""


class MetaSearch:
    """The web through ddgs, which asks several public search engines and needs no key."""

    def __init__(self) -> None:
        try:
            import ddgs  # noqa: F401
        except ImportError as error:
            raise ValueError("Searching the web needs the web extra: pip install 'firesteel[web]'.") from error

    async def search(self, query: Query) -> list[Hit]:
        return await asyncio.to_thread(self._search, query)

    def _search(self, query: Query) -> list[Hit]:
        from ddgs import DDGS
        from ddgs.exceptions import DDGSException

        language, _, country = (query.language or "en").lower().partition("-")
        span = span_since(query.since)
        engines = DDGS(timeout=SECONDS)
        try:
            found = (engines.news if query.news else engines.text)(
                query.text,
                region=f"{country or _COUNTRIES.get(language, language)}-{language}",
                timelimit=span[0] if span else None,  # d, w, m or y
                max_results=query.count,
            )
        except DDGSException as error:
            if str(error) == "No results found.":
                return []
            raise ValueError(f"The search engines did not answer: {str(error)[:200]}") from error
        return [
            Hit(hit.get("href") or hit.get("url") or "", hit["title"], hit.get("body") or "", hit.get("date") or "")
            for hit in found
        ]


class SearXNG:
    """A SearXNG server at `url`, with the JSON format switched on in its settings (`search.formats`)."""

    def __init__(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"The address of a SearXNG server, {url!r}, cannot be read: {error}.") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"The address of a SearXNG server begins with http:// or https://, not {url!r}.")
        self._url = str(parsed.copy_with(query=None, fragment=None)).rstrip("/") + "/search"

    async def search(self, query: Query) -> list[Hit]:
        span = span_since(query.since)
        asked = {
            "q": query.text,
            "format": "json",
            "categories": "news" if query.news else "general",
            "language": query.language or "all",
            "time_range": "month" if span == "week" else span or "",  # older servers know no week
        }
        try:
            async with httpx.AsyncClient(timeout=SECONDS, trust_env=False, follow_redirects=False) as client:
                answer = await client.get(self._url, params=asked)
        except httpx.HTTPError as error:
            raise ValueError(f"The SearXNG server at {self._url} could not be reached: {error}") from error
        if answer.status_code == 403:
            raise ValueError("The SearXNG server refuses JSON: add json to search.formats in its settings.")
        found: Any = None
        if answer.status_code == 200 and "json" in answer.headers.get("content-type", ""):
            found = answer.json().get("results")
        if not isinstance(found, list):
            raise ValueError(f"The SearXNG server answered with the status {answer.status_code} and no results.")
        return [
            Hit(hit["url"], hit.get("title") or "", hit.get("content") or "", hit.get("publishedDate") or "")
            for hit in found[: query.count]
            if hit.get("url")
        ]


def span_since(since: date | None) -> str | None:
    """The shortest of day, week, month and year that reaches back to `since`; None if none does."""
    if since is None:
        return None
    days = (date.today() - since).days
    return next((span for span, length in _SPANS.items() if days <= length), None)


def fuse(rankings: Iterable[Sequence[Hit]]) -> list[Hit]:
    """One ranking of several; an address counts once, with its first title and text."""
    scores: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, 1):
            hits.setdefault(hit.url, hit)
            scores[hit.url] = scores.get(hit.url, 0.0) + 1 / (RANK_OFFSET + rank)
    return sorted(hits.values(), key=lambda hit: -scores[hit.url])
