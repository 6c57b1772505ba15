"""The browser: search, open and find, with a guard between the model and the network."""

from firesteel.agent.web.fetch import Fetcher
from firesteel.agent.web.files import LocalIndex
from firesteel.agent.web.guard import Blocked
from firesteel.agent.web.page import Page
from firesteel.agent.web.search import Hit, MetaSearch, Query, SearchProvider, SearXNG
from firesteel.agent.web.tools import Browser

__all__ = [
    "Blocked",
    "Browser",
    "Fetcher",
    "Hit",
    "LocalIndex",
    "MetaSearch",
    "Page",
    "Query",
    "SearXNG",
    "SearchProvider",
]
