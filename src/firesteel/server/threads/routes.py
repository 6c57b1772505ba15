"""The routes of `/v1/threads`.

- A turn is made with `POST /v1/responses`, whose field `firesteel.thread` names the thread; here it is read.
- A deleted thread is gone at once and can be restored for a day; what it was answering is cancelled. Deleted turns
  cannot be restored.
"""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firesteel.server.errors import invalid, not_found
from firesteel.server.http import answer_json, body_of, caller_of, checked, connected, json_of, read, service_of
from firesteel.server.responses.background import UNDO, Background
from firesteel.server.responses.resource import ENDED
from firesteel.server.responses.routes import listed, whole_number
from firesteel.server.store import Thread
from firesteel.server.threads.body import ThreadBody, ThreadChanges, ThreadFile, Word
from firesteel.server.threads.export import export
from firesteel.server.threads.files import MOST_BYTES
from firesteel.server.threads.imports import import_thread, new_thread_id
from firesteel.server.threads.permission import Permissions
from firesteel.server.threads.replay import replay
from firesteel.server.threads.told import file, list_files, opened, picture, thread_of

_QUERY = 512  # characters


async def create(request: Request) -> Response:
    """Begins a thread."""
    body = await body_of(request, ThreadBody)
    now = time.time()
    thread = Thread(
        id=new_thread_id(),
        owner=caller_of(request).owner,
        created=now,
        updated=now,
        title=body.title or "",
        settings=body.settings or {},
    )
    await service_of(request).store.put_thread(thread)
    return answer_json(thread_of(thread))


async def list_all(request: Request) -> Response:
    """The caller's threads: pinned ones first, then the last updated; with `query`, those in which it was said."""
    query = request.query_params
    limit, said = whole_number(query, "limit", 50, 1, 200), query.get("query") or None
    if said is not None and len(said) > _QUERY:
        raise invalid(f"A query has at most {_QUERY} characters.", "query")
    store, owner = service_of(request).store, caller_of(request).owner
    found = await store.list_threads(owner, limit + 1, query.get("after"), said)
    snippets = [{"snippet": snippet} if said else {} for _, snippet in found]
    told = [thread_of(thread) | more for (thread, _), more in zip(found, snippets, strict=True)]
    return answer_json(listed(told[:limit], len(found) > limit))


async def retrieve(request: Request) -> Response:
    """A thread and its turns, the oldest first."""
    thread = await _found(request)
    turns = await service_of(request).store.turns(thread.owner, thread.id)
    # A long one takes some 50 ms to write, for which no stream should wait.
    return await asyncio.to_thread(lambda: answer_json(opened(thread, turns)))


async def update(request: Request) -> Response:
    """Changes a thread's title, pin, leaf or settings."""
    body = await body_of(request, ThreadChanges)
    store, owner, id = service_of(request).store, caller_of(request).owner, request.path_params["id"]
    if body.leaf is not None:
        turn = await store.get_response(owner, body.leaf)
        if turn is None or turn.thread != id:
            raise not_found("turn", body.leaf)
    thread = await store.change_thread(owner, id, **body.model_dump(exclude_none=True))
    if thread is None:
        raise not_found("thread", id)
    return answer_json(thread_of(thread))


async def delete(request: Request) -> Response:
    """Deletes a thread; it can be restored for a day."""
    service, thread = service_of(request), await _found(request)
    await service.store.delete_thread(thread.owner, thread.id, time.time())
    for turn in await service.store.turns(thread.owner, thread.id):
        if turn.background and turn.status not in ENDED:
            await service.part(Background).cancel(thread.owner, turn.id)
    return answer_json({"id": thread.id, "object": "thread.deleted", "deleted": True})


async def restore(request: Request) -> Response:
    """Brings a deleted thread back."""
    store, owner, id = service_of(request).store, caller_of(request).owner, request.path_params["id"]
    await store.restore_thread(owner, id, time.time() - UNDO)
    return answer_json(thread_of(await _found(request)))


async def delete_turn(request: Request) -> Response:
    """Deletes a turn and all that follow it; answers with the thread."""
    service, thread, id = service_of(request), await _found(request), request.path_params["turn"]
    turns = await service.store.turns_from(thread.owner, thread.id, id)
    if not turns:
        raise not_found("turn", id)
    for turn in turns:
        await service.part(Background).forget(turn)
    await service.store.delete_turns(thread.owner, thread.id, id)
    return answer_json(thread_of(await _found(request)) | {"deleted": True})


async def permit(request: Request) -> Response:
    """The user's word to a tool that wants to change something: once, always or deny."""
    body, service, id = await body_of(request, Word), service_of(request), request.path_params["permission"]
    if not service.part(Permissions).answer(caller_of(request).owner, request.path_params["id"], id, body.answer):
        raise not_found("question that waits", id)
    return answer_json({"id": id, "object": "thread.permission", "answer": body.answer})


async def exported(request: Request) -> Response:
    """A thread as a file: `format` is json, markdown, html or sft."""
    thread = await _found(request)
    return await export(service_of(request).store, thread, request.query_params.get("format", "json"))


async def imported(request: Request) -> Response:
    """Makes a thread of what the export as json wrote."""
    most = service_of(request).settings.body_bytes + MOST_BYTES * 4 // 3  # as any body, and a full folder in base64
    file = checked(ThreadFile, json_of(await read(request, most)))
    made = await connected(request, import_thread(service_of(request), caller_of(request), file))
    return answer_json(thread_of(made))


async def _found(request: Request) -> Thread:
    id = request.path_params["id"]
    thread = await service_of(request).store.get_thread(caller_of(request).owner, id)
    if thread is None:
        raise not_found("thread", id)
    return thread


routes: list[BaseRoute] = [
    Route("/v1/threads", create, methods=["POST"]),
    Route("/v1/threads", list_all, methods=["GET"]),
    Route("/v1/threads/import", imported, methods=["POST"]),
    Route("/v1/threads/{id}", retrieve, methods=["GET"]),
    Route("/v1/threads/{id}", update, methods=["POST"]),
    Route("/v1/threads/{id}", delete, methods=["DELETE"]),
    Route("/v1/threads/{id}/restore", restore, methods=["POST"]),
    Route("/v1/threads/{id}/turns/{turn}", delete_turn, methods=["DELETE"]),
    Route("/v1/threads/{id}/turns/{turn}/files", list_files, methods=["GET"]),
    Route("/v1/threads/{id}/turns/{turn}/files/{name:path}", file, methods=["GET"]),
    Route("/v1/threads/{id}/turns/{turn}/calls/{call}/replay", replay, methods=["POST"]),
    Route("/v1/threads/{id}/permissions/{permission}", permit, methods=["POST"]),
    Route("/v1/threads/{id}/images/{sha256}", picture, methods=["GET"]),
    Route("/v1/threads/{id}/export", exported, methods=["GET"]),
]
