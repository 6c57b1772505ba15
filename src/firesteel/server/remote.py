"""Pictures from the web, where the operator allows them: through the guarded door of the browser, or not at all.

Whoever sends an address could make this machine knock where the sender cannot (its own network, the cloud's metadata).
`firesteel.agent.web.guard` decides where a connection goes, for each redirect anew; a refusal does not tell which
address a name has here.
"""

from __future__ import annotations

from functools import cache

from firesteel.agent.web import Blocked, Fetcher
from firesteel.server.errors import invalid

PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")


async def fetch_image(url: str, most_bytes: int, param: str, fetcher: Fetcher | None = None) -> bytes:
    """The bytes of a picture. Raises ApiError 400 for what may not be opened, is no picture, too large or too slow."""
    try:
        return (await (fetcher or _fetcher(most_bytes)).fetch(url)).data
    except Blocked as error:
        raise invalid("Only public web addresses are fetched, and this is none.", param, "forbidden_url") from error
    except ValueError as error:
        raise invalid(f"The picture could not be fetched: {error}", param, "unreachable_url") from error


@cache
def _fetcher(most_bytes: int) -> Fetcher:
    """Shared, as reading the list of certificate authorities takes a while."""
    return Fetcher(most_bytes=most_bytes, accept=PICTURES)
