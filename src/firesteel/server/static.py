"""The app: its built bundle in `static/`, and what it asks this server first.

- What is served is what the folder held when it was read, by exact name, so no path leads out of it. Names of assets
  carry a hash of their content (Vite's), so browsers keep them for ever; the page itself is asked for anew each time.
- The page loads nothing from elsewhere and runs no inline script. Styles of elements are allowed, because formulas are
  set with them (KaTeX).
- Any other page in the bundle is a stage for what a model wrote: it may run inline scripts, but has an origin of its
  own, loads nothing, and is framed by the app alone, whose `frame-src` also keeps it from going elsewhere.
- While there is no bundle, `/` says what this server is, as it does to whoever does not ask for HTML.
"""

from __future__ import annotations

import asyncio
import gzip
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firesteel import __version__
from firesteel.agent.mind import MODES
from firesteel.format import STRENGTHS
from firesteel.server.ask import Caller
from firesteel.server.errors import ApiError, not_found
from firesteel.server.guard import secret_of
from firesteel.server.http import answer_json, service_of
from firesteel.server.service import Service
from firesteel.server.threads.body import SETTINGS_BYTES, TITLE
from firesteel.server.threads.replay import runs_again

FOLDER = Path(__file__).parent / "static"
_FOR_EVER = "public, max-age=31536000, immutable"
_TEXT = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
_TYPES = {".js": "text/javascript", ".woff2": "font/woff2", ".webmanifest": "application/manifest+json"}
_APP = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; "
    "style-src-attr 'unsafe-inline'; connect-src 'self'; frame-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
_STAGE = {
    "content-security-policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; media-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-scripts",
    "x-frame-options": "SAMEORIGIN",
    "x-dns-prefetch-control": "off",
    "cache-control": "no-cache",
}


_LIMITS = (
    "body_bytes",
    "file_bytes",
    "images",
    "image_bytes",
    "image_pixels",
    "messages",
    "most_agents",
    "most_tokens",
    "seconds",
)


@dataclass(frozen=True)
class Asset:
    media_type: str
    data: bytes
    packed: bytes | None  # gzip; None where that gains nothing
    headers: dict[str, str]


class Bundle:
    """The files of the bundle by their paths in it."""

    def __init__(self, service: Service) -> None:
        paths = sorted(path for path in FOLDER.rglob("*") if path.is_file())
        self.assets = {path.relative_to(FOLDER).as_posix(): _asset(path) for path in paths}


def _asset(path: Path) -> Asset:
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    data, headers = path.read_bytes(), {"cache-control": _FOR_EVER}
    if media_type == "text/html":
        headers = _APP if path == FOLDER / "index.html" else _STAGE
    packed = gzip.compress(data, mtime=0) if media_type.startswith(_TEXT) else None
    return Asset(media_type, data, packed, headers)


async def root(request: Request) -> Response:
    """The app, or for programs what this server is."""
    page = (await _bundle(request)).assets.get("index.html")
    if page is None or "text/html" not in request.headers.get("accept", ""):
        told = {"name": "firesteel", "version": __version__, "model": service_of(request).names.name}
        return answer_json(told, headers={"vary": "accept"})
    return _sent(request, page)


async def asset(request: Request) -> Response:
    """A part of the app."""
    name = request.path_params["path"]
    found = (await _bundle(request)).assets.get(f"assets/{name}")
    if found is None:
        raise not_found("asset", name)
    return _sent(request, found)


async def about(request: Request) -> Response:
    """What the app should know of this server, also before anybody has shown a key."""
    service = service_of(request)
    settings = service.settings
    limits = {name: getattr(settings, name) for name in _LIMITS}
    # An address of a tool (mcp:COMMAND, folder:DIR) may say what only a key's holder should know.
    caller = await _caller(request)
    tools = [name for name in settings.tools if caller or ":" not in name]
    return answer_json(
        {
            "version": __version__,
            "models": list(service.names),
            "default_model": service.names.name,
            "modes": MODES,
            "strengths": list(STRENGTHS),
            "strength": settings.strength,
            "tools": tools,
            "replays": runs_again(service, caller) if caller else [],
            "sandbox": await asyncio.to_thread(_tier) if "python" in settings.tools else None,
            "limits": limits | {"settings_bytes": SETTINGS_BYTES, "title": TITLE},
            "context": service.backend.context,
            "keys": await service.access.closed(),
        }
    )


async def _caller(request: Request) -> Caller | None:
    """Who asks; None without a key where one is needed. Raises ApiError 503 where nobody can tell."""
    try:
        return await service_of(request).access.caller(secret_of(request.headers))
    except ApiError as error:
        if error.status != 401:
            raise
        return None


def _tier() -> str | None:
    from firesteel.agent import sandbox

    tier = sandbox.best()
    return None if tier is None else tier.name


async def _bundle(request: Request) -> Bundle:
    return await asyncio.to_thread(service_of(request).part, Bundle)


def _sent(request: Request, asset: Asset) -> Response:
    headers = asset.headers | {"vary": "accept, accept-encoding"}
    if asset.packed is None or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(asset.data, headers=headers, media_type=asset.media_type)
    return Response(asset.packed, headers=headers | {"content-encoding": "gzip"}, media_type=asset.media_type)


routes: list[BaseRoute] = [
    Route("/", root),
    Route("/assets/{path:path}", asset),
    Route("/v1/app", about),
]
