"""`/v1/conversations`: OpenAI's conversations, whose items a response reads and adds to.

Ours beside OpenAI's: a list (`GET /v1/conversations`, the last updated first) and the fields `title`, `pinned` and
`updated_at`. Items keep the id they came with, so that one sent twice is one item.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firesteel.server.errors import not_found
from firesteel.server.http import answer_json, body_of, caller_of, service_of
from firesteel.server.reading import Loose
from firesteel.server.responses.blobs import packed, unpacked
from firesteel.server.responses.body import Items, Metadata
from firesteel.server.responses.items import Reader
from firesteel.server.responses.routes import descending, listed, page, whole_number
from firesteel.server.responses.run import conversation_items
from firesteel.server.responses.seal import Seals
from firesteel.server.store import Conversation

_AT_ONCE = 20  # items, as with OpenAI
_PAGE = 500


class Changes(Loose):
    metadata: Metadata | None = None
    title: str | None = Field(None, max_length=512)
    pinned: bool | None = None


class Creation(Changes):
    items: Items = Field(default_factory=list, max_length=_AT_ONCE)


class Addition(Loose):
    items: Items = Field(max_length=_AT_ONCE)


async def create(request: Request) -> Response:
    """Begins a conversation."""
    service, caller = service_of(request), caller_of(request)
    body = await body_of(request, Creation)
    items = await _read(request, body.items)
    now = time.time()
    made = Conversation(id=f"conv_{secrets.token_hex(12)}", owner=caller.owner, created=now, updated=now)
    made = _changed(made, body)
    await service.store.put_conversation(made)
    if items:
        await service.store.append_items(caller.owner, made.id, await packed(service.store, items))
    return answer_json(_told(made))


async def list_all(request: Request) -> Response:
    """The caller's conversations, the last updated first."""
    service, query = service_of(request), request.query_params
    limit = whole_number(query, "limit", 20, 1, 100)
    found = await service.store.list_conversations(caller_of(request).owner, limit + 1, query.get("after"))
    return answer_json(listed([_told(each) for each in found[:limit]], len(found) > limit))


async def retrieve(request: Request) -> Response:
    """A conversation."""
    return answer_json(_told(await _found(request)))


async def update(request: Request) -> Response:
    """Changes a conversation's metadata, title or pin."""
    body = await body_of(request, Changes)
    changed = _changed(await _found(request), body)
    await service_of(request).store.put_conversation(changed)
    return answer_json(_told(changed))


async def delete(request: Request) -> Response:
    """Deletes a conversation and its items."""
    found = await _found(request)
    await service_of(request).store.delete_conversation(found.owner, found.id)
    return answer_json({"id": found.id, "object": "conversation.deleted", "deleted": True})


async def add_items(request: Request) -> Response:
    """Adds items."""
    store = service_of(request).store
    body = await body_of(request, Addition)
    found = await _found(request)
    before = await conversation_items(service_of(request), caller_of(request), found.id)
    items = await _read(request, body.items, before)
    await store.append_items(found.owner, found.id, await packed(store, items))
    return answer_json(listed(items, False))


async def list_items(request: Request) -> Response:
    """Items, page by page."""
    store, query = service_of(request).store, request.query_params
    found = await _found(request)
    limit, order = whole_number(query, "limit", 20, 1, 100), descending(query)
    items = await store.items(found.owner, found.id, query.get("after"), limit + 1, order)
    return answer_json(await page(store, [item.value for item in items], limit))


async def retrieve_item(request: Request) -> Response:
    """One item."""
    store, found, id = service_of(request).store, await _found(request), request.path_params["item"]
    after = None
    while page := await store.items(found.owner, found.id, after, _PAGE):
        for item in page:
            if item.id == id:
                return answer_json(await unpacked(store, item.value))
        after = page[-1].id
    raise not_found("item", id)


async def delete_item(request: Request) -> Response:
    """Deletes an item; answers with the conversation, as OpenAI does."""
    found, id = await _found(request), request.path_params["item"]
    if not await service_of(request).store.delete_item(found.owner, found.id, id):
        raise not_found("item", id)
    return answer_json(_told(found))


async def _found(request: Request) -> Conversation:
    id = request.path_params["id"]
    found = await service_of(request).store.get_conversation(caller_of(request).owner, id)
    if found is None:
        raise not_found("conversation", id)
    return found


async def _read(
    request: Request, items: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Items as they are listed, checked as what goes on from the items `before`. Raises ApiError."""
    service = service_of(request)
    reader = Reader(service, caller_of(request), await service.part(Seals).ready())
    await reader.read(before, "", "conversation", kept=True)
    told = len(reader.items)
    await reader.read(items, f"resp_{secrets.token_hex(12)}", "items")
    return reader.items[told:]


def _changed(conversation: Conversation, changes: Changes) -> Conversation:
    given = {name: getattr(changes, name) for name in ("metadata", "title", "pinned")}
    given = {name: value for name, value in given.items() if value is not None}
    return replace(conversation, updated=time.time(), **given)


def _told(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created),
        "metadata": conversation.metadata,
        "title": conversation.title,
        "pinned": conversation.pinned,
        "updated_at": int(conversation.updated),
    }


routes: list[BaseRoute] = [
    Route("/v1/conversations", create, methods=["POST"]),
    Route("/v1/conversations", list_all, methods=["GET"]),
    Route("/v1/conversations/{id}", retrieve, methods=["GET"]),
    Route("/v1/conversations/{id}", update, methods=["POST"]),
    Route("/v1/conversations/{id}", delete, methods=["DELETE"]),
    Route("/v1/conversations/{id}/items", add_items, methods=["POST"]),
    Route("/v1/conversations/{id}/items", list_items, methods=["GET"]),
    Route("/v1/conversations/{id}/items/{item}", retrieve_item, methods=["GET"]),
    Route("/v1/conversations/{id}/items/{item}", delete_item, methods=["DELETE"]),
]
