"""`browser.search`, `browser.open` and `browser.find`: names and parameters as published for Muse Spark.

- A `Browser` is the memory of one conversation: its pages keep their numbers, from 0, so that `【3†L4-L7】` in an
  answer can always be resolved to the lines that were read. What earlier turns opened keeps its number too (their
  results name it) and is loaded again when it is asked for.
- What comes back is untrusted and says so. Once anything was read, here, by another tool or in an earlier turn, the
  model may open only addresses that a page of this turn linked to or the user wrote: a page that talks it into
  `https://evil.example/?q=<what it has seen>` gets nowhere.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from firesteel.agent.tools import Tool
from firesteel.agent.web.fetch import Fetcher
from firesteel.agent.web.files import LocalIndex
from firesteel.agent.web.page import WIDTH, Page, clean, find, headed, page_of, view, wrapped
from firesteel.agent.web.search import Hit, Query, SearchProvider, fuse
from firesteel.format import Message

VERTICALS = ("news", "sports", "weather", "finance", "datetime", "local")
MOST_ALTERNATIVES = 4
# Hits and characters of each, by verbosity.
VERBOSITY = {"high": (10, 400), "low": (5, 120)}

_NAMES = ("browser.search", "browser.open", "browser.find")
_URL = re.compile(r"https?://[^\s<>\"'`【】\[\](){}|\\]+")
_LANGUAGE = re.compile("([A-Za-z]{2,3}(-[A-Za-z]{2})?)?")

_LINE_START = {"type": "integer", "default": 1, "description": "The first line to look at."}
_SEARCH = {
    "type": "object",
    "properties": {
        "primary_query": {
            "type": "object",
            "description": "What to look for, without dates; language_code such as de is optional.",
            "properties": {"query": {"type": "string"}, "language_code": {"type": "string"}},
            "required": ["query"],
        },
        "alternative_queries": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": f"Up to {MOST_ALTERNATIVES} other wordings.",
        },
        "since": {"type": "string", "description": "Only what is from this day, YYYY-MM-DD, or later."},
        "verbosity_level": {"type": "string", "enum": list(VERBOSITY), "default": "high"},
        "verticals": {
            "type": "array",
            "items": {"type": "string", "enum": list(VERTICALS)},
            "default": [],
            "description": "At most one special kind of results.",
        },
    },
    "required": ["primary_query"],
}
_OPEN = {
    "type": "object",
    "properties": {
        "url_id": {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "description": "The number of a page, or an address.",
        },
        "outlink_idx": {"type": "integer", "description": "Opens this out-link of the page, shown as 【index†text】."},
        "line_start": _LINE_START,
    },
    "required": ["url_id"],
}
_FIND = {
    "type": "object",
    "properties": {
        "pattern": {"type": "string", "description": "The exact text; upper and lower case are one."},
        "url_id": {"type": "integer", "description": "The number of the page."},
        "line_start": _LINE_START,
    },
    "required": ["pattern", "url_id"],
}


class Browser:
    """The pages of one conversation and the tools that open them.

    Each way out is there only if it is given: `search` asks a search provider, `fetch` opens pages of the web, `files`
    searches and opens the user's folders. `heard` tells whether the model has read what others wrote elsewhere.
    `earlier` is the conversation so far.
    """

    def __init__(
        self,
        search: SearchProvider | None = None,
        fetch: Fetcher | None = None,
        files: LocalIndex | None = None,
        heard: Callable[[], bool] = lambda: False,
        earlier: Iterable[Message] = (),
    ) -> None:
        self._search, self._fetch, self._files, self._heard = search, fetch, files, heard
        self.pages: dict[int, Page] = {}
        self._known: set[str] = set()
        self._earlier: dict[int, str] = {}  # addresses of the pages that earlier turns numbered
        for message in earlier:
            if message.role == "tool" and message.name in _NAMES and (found := headed(message.text)):
                self._earlier[found[0]] = found[1]

    def tools(self) -> list[Tool]:
        """The tools of what is there; none if nothing is."""
        tools = []
        if self._search or self._files:
            where = " and ".join(
                name for name, there in (("the web", self._search), ("the user's files", self._files)) if there
            )
            text = f"Searches {where}. The result is a page: its out-links are the hits."
            tools.append(Tool(name="browser.search", description=text, parameters=_SEARCH, handler=self.search))
        if self._fetch or tools:
            text = "Opens a page or one of its out-links, or scrolls in it. Cite what you use as 【url_id†L1-L2】."
            tools.append(Tool(name="browser.open", description=text, parameters=_OPEN, handler=self.open))
            text = "Finds an exact text in a page."
            tools.append(Tool(name="browser.find", description=text, parameters=_FIND, handler=self.find))
        return tools

    def allow(self, text: str) -> None:
        """Lets the model open the addresses in what the user wrote. Give it nothing that others wrote."""
        self._known |= {_key(url.rstrip(".,;:!?")) for url in _URL.findall(text)}

    async def search(
        self,
        primary_query: Mapping[str, Any],
        alternative_queries: list[str] | None = None,
        since: str | None = None,
        verbosity_level: str = "high",
        verticals: list[str] | None = None,
    ) -> str:
        """A page of hits. Raises ValueError for what cannot be asked, or when no provider answers."""
        text, language = primary_query.get("query"), primary_query.get("language_code") or ""
        if not isinstance(text, str) or not text.strip():
            raise ValueError('primary_query must be an object such as {"query": "flint and steel"}.')
        if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
            raise ValueError(f"language_code must be a code such as de or pt-BR, not {language!r}.")
        if len(alternative_queries or []) > MOST_ALTERNATIVES:
            raise ValueError(f"At most {MOST_ALTERNATIVES} alternative queries are asked at once.")
        if len(verticals or []) > 1:
            raise ValueError("At most one vertical can be asked for.")
        try:
            day = date.fromisoformat(since) if since else None
        except ValueError as error:
            raise ValueError(f"since must be a day such as 2026-01-31, not {since!r}.") from error
        count, characters = VERBOSITY[verbosity_level]
        query = Query(text, language, day, verticals == ["news"], count)
        wordings = dict.fromkeys([text, *(alternative_queries or [])])
        hits, notes = await self._ask([replace(query, text=wording) for wording in wordings])
        if verticals and verticals != ["news"]:
            notes.append(f"There is no special search for {verticals[0]} here; these are ordinary results.")
        if day:
            hits = [hit for hit in hits if not hit.date or hit.date[:10] >= day.isoformat()]
        if not hits:
            raise ValueError(" ".join([f"Nothing was found for {text!r}; try other words.", *notes]))
        page = _page_of_hits(text, hits[:count], characters, notes)
        return view(page, self._add(page), 1)

    async def open(self, url_id: int | str, outlink_idx: int | None = None, line_start: int = 1) -> str:
        """A stretch of a page. Raises ValueError for what cannot be opened."""
        if isinstance(url_id, str) and not url_id.strip().isdecimal():
            if outlink_idx is not None:
                raise ValueError("outlink_idx belongs to the number of a page, not to an address.")
            known = _key(url_id) in self._known or url_id.startswith("file:")
            if not known and (self.pages or self._heard()):
                raise ValueError(
                    "No page links to this address and the user did not write it. Open it through an out-link, search "
                    "for it, or ask the user for the address."
                )
            number = await self._load(url_id.strip())
        else:
            number, page = await self._page(url_id)
            if outlink_idx is not None:
                if not 0 <= outlink_idx < len(page.links):
                    raise ValueError(f"Page {number} has {len(page.links)} out-links; {outlink_idx} is none of them.")
                number = await self._load(page.links[outlink_idx])
        return view(self.pages[number], number, line_start)

    async def find(self, pattern: str, url_id: int, line_start: int = 1) -> str:
        """The lines with the pattern. Raises ValueError for a page that is not there and an empty pattern."""
        number, page = await self._page(url_id)
        return await asyncio.to_thread(find, page, number, pattern, line_start)

    async def _ask(self, queries: list[Query]) -> tuple[list[Hit], list[str]]:
        """The fused hits of every query to every provider, and a note for each provider that failed."""
        providers: list[tuple[SearchProvider, tuple[str, ...]]] = []
        if self._files:
            providers.append((self._files, ("file://",)))
        if self._search:
            providers.append((self._search, ("http://", "https://")))
        asked = [(provider.search(query), schemes) for provider, schemes in providers for query in queries]
        answers = await asyncio.gather(*(answer for answer, _ in asked), return_exceptions=True)
        rankings, failures = [], {}
        for answer, (_, schemes) in zip(answers, asked, strict=True):
            if isinstance(answer, ValueError):
                failures[str(answer)] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:  # the web does not name files of this machine
                rankings.append([hit for hit in answer if hit.url.startswith(schemes)])
        if not rankings:
            raise next(iter(failures.values()))
        return fuse(rankings), list(failures)

    async def _load(self, url: str) -> int:
        """The number of the page at an address, opened if it is not open yet."""
        for number, page in self.pages.items():
            if _key(page.url) == _key(url):
                return number
        seen = next((n for n, address in self._earlier.items() if address and _key(address) == _key(url)), None)
        return self._add(await self._fetched(url), seen)

    async def _fetched(self, url: str) -> Page:
        if url.startswith("file:"):
            if self._files is None:
                raise ValueError("There are no folders to open files from.")
            return await self._files.open(url)
        if self._fetch is None:
            raise ValueError("Opening pages of the web is switched off here; say so to the user.")
        download = await self._fetch.fetch(url)
        return await asyncio.to_thread(page_of, download)

    async def _page(self, url_id: int | str) -> tuple[int, Page]:
        try:
            number = int(url_id)
        except (TypeError, ValueError) as error:
            raise ValueError(f"url_id must be the number of a page or an address, not {url_id!r}.") from error
        if number not in self.pages and number in self._earlier:
            if not self._earlier[number].startswith(("http://", "https://", "file://")):
                raise ValueError(f"Page {number} of an earlier turn was a search or has a long address; search again.")
            self._add(await self._fetched(self._earlier[number]), number)
        if number not in self.pages:
            raise ValueError(f"There is no page {number}; open an address or search first.")
        return number, self.pages[number]

    def _add(self, page: Page, number: int | None = None) -> int:
        """Numbers a page, unless it has a number already."""
        number = 1 + max([-1, *self.pages, *self._earlier]) if number is None else number
        self.pages[number] = page
        self._known |= {_key(url) for url in (page.url, *page.links)}
        return number


def _key(url: str) -> str:
    """Addresses with the same key are the same page."""
    return url.strip().partition("#")[0].rstrip("/")


def _page_of_hits(query: str, hits: list[Hit], characters: int, notes: list[str]) -> Page:
    lines = []
    for index, hit in enumerate(hits):
        title = " ".join(clean(hit.title).split())[:WIDTH] or "untitled"
        where = clean(hit.url.split("/")[2])[:60] or "file"
        lines += wrapped(f"【{index}†{title}】 {' '.join([where, clean(hit.date)[:10]]).strip()}")
        lines += wrapped(" ".join(clean(hit.text).split())[:characters])
    lines += [" ".join(clean(note).split()) for note in notes]
    return Page(f"search: {' '.join(clean(query).split())}", tuple(lines), tuple(hit.url for hit in hits))
