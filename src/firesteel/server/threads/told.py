"""Threads and turns as they are sent, and what turns name by links: pictures and files.

A long thread opens fast because its pictures stay behind: each is a path that names its SHA-256, and is served only to
who may see a turn that holds it. A file is saved, never shown, unless its bytes are those of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from firesteel.server.errors import not_found
from firesteel.server.files import download, media_type_of
from firesteel.server.http import answer_json, caller_of, service_of
from firesteel.server.responses.blobs import placed
from firesteel.server.store import StoredResponse, Thread
from firesteel.server.threads.files import content_of, files_of


def thread_of(thread: Thread) -> dict[str, Any]:
    return {
        "id": thread.id,
        "object": "thread",
        "title": thread.title,
        "pinned": thread.pinned,
        "created_at": thread.created,
        "updated_at": thread.updated,
        "leaf": thread.leaf,
        "settings": thread.settings,
    }


def turn_of(turn: StoredResponse) -> dict[str, Any]:
    """A turn, pictures in the form in which they are stored."""
    return {
        "id": turn.id,
        "previous": turn.previous,
        "created_at": turn.created,
        "completed_at": turn.body.get("completed_at"),
        "status": turn.status,
        "background": turn.background,
        "model": turn.model,
        "mode": turn.request.get("mode"),
        "instructions": turn.instructions,
        "input": turn.request["input"],
        "output": turn.body["output"],
        "usage": turn.body.get("usage"),
        "error": turn.body.get("error"),
        "incomplete_details": turn.body.get("incomplete_details"),
    }


def opened(thread: Thread, turns: Sequence[StoredResponse]) -> dict[str, Any]:
    """A thread with its turns, and links in the place of their pictures."""
    link = f"/v1/threads/{thread.id}/images/{{}}".format
    return thread_of(thread) | {"turns": [placed(turn_of(turn), link) for turn in turns]}


async def picture(request: Request) -> Response:
    """A picture of a thread; it never changes."""
    service, caller = service_of(request), caller_of(request)
    thread, sha256 = request.path_params["id"], request.path_params["sha256"]
    there = len(sha256) == 64 and sha256.isalnum() and sha256.isascii()
    if not there or await service.store.get_thread(caller.owner, thread) is None:
        raise not_found("picture", sha256)
    names: list[str] = []
    for turn in await service.store.turns_naming(caller.owner, thread, sha256):
        placed(turn_of(turn), names.append)  # the word alone may be something that somebody wrote
    data = await service.store.get_blob(sha256) if sha256 in names else None
    if data is None:
        raise not_found("picture", sha256)
    headers = {"cache-control": "private, max-age=31536000, immutable", "vary": "authorization, x-api-key"}
    return Response(data, headers=headers, media_type=media_type_of(data))


async def list_files(request: Request) -> Response:
    """The files at the end of a turn; `turn` of each is the one that made it, or null if the user gave it."""
    turn = await turn_of_path(request)
    told = [
        {"object": "thread.file"} | {name: each[name] for name in ("name", "bytes", "turn")} for each in files_of(turn)
    ]
    return answer_json({"object": "list", "data": told})


async def file(request: Request) -> Response:
    """One of the files at the end of a turn."""
    name, turn = request.path_params["name"], await turn_of_path(request)
    entry = next((each for each in files_of(turn) if each["name"] == name), None)
    data = await content_of(service_of(request).store, turn.owner, entry) if entry else None
    if data is None:
        raise not_found("file", name)
    return download(data, name, media_type_of(data))


async def turn_of_path(request: Request) -> StoredResponse:
    """The turn that a path names. Raises ApiError 404."""
    store, owner, params = service_of(request).store, caller_of(request).owner, request.path_params
    turn = await store.get_response(owner, params["turn"])
    if turn is None or turn.thread != params["id"] or await store.get_thread(owner, params["id"]) is None:
        raise not_found("turn", params["turn"])
    return turn
