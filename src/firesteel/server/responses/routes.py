"""The routes of `/v1/responses`.

An unknown `previous_response_id` is 400 `previous_response_not_found`, as with OpenAI; an unknown id in a path is 404.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from firesteel.server.errors import ApiError, invalid, not_found
from firesteel.server.http import EventStream, answer_json, body_of, caller_of, connected, event, service_of
from firesteel.server.responses.background import Background
from firesteel.server.responses.blobs import unpacked
from firesteel.server.responses.body import ResponseBody
from firesteel.server.responses.compact import CompactBody, compaction
from firesteel.server.responses.resource import ENDED
from firesteel.server.responses.run import Run, foreground, question, whole
from firesteel.server.responses.socket import connection
from firesteel.server.store import Store, StoredResponse

_DONE = b"data: [DONE]\n\n"
_PAGE_BYTES = 16 << 20  # of a page of several items


async def create(request: Request) -> Response:
    """Makes a response."""
    service, caller = service_of(request), caller_of(request)
    body = await body_of(request, ResponseBody)
    asked = await question(service, caller, body)
    if not body.background:
        run = Run(service, asked)
        if body.stream:
            return streamed(foreground(run))
        return answer_json(await connected(request, whole(run)))
    background = service.part(Background)
    run = await background.add(asked)
    if body.stream:
        return streamed(background.follow(caller.owner, asked.id))
    return answer_json(run.response | {"status": "queued", "output": []})


async def retrieve(request: Request) -> Response:
    """A response, or with `stream=true` its events after `starting_after`."""
    service, caller = service_of(request), caller_of(request)
    row = await _row(request)
    if request.query_params.get("stream") != "true":
        return answer_json(await unpacked(service.store, row.body))
    if not row.background:
        raise invalid("Only a response that was made in the background can be streamed again.", "stream")
    after = whole_number(request.query_params, "starting_after", -1, -1, 2**62)
    return streamed(service.part(Background).follow(caller.owner, row.id, after))


async def listing(request: Request) -> Response:
    """The caller's own stored responses, the newest first, page by page."""
    service, query = service_of(request), request.query_params
    limit = whole_number(query, "limit", 20, 1, 100)
    rows = await service.store.list_responses(caller_of(request).owner, limit + 1, query.get("after"))
    return answer_json(await page(service.store, [row.body for row in rows], limit))


async def cancel(request: Request) -> Response:
    """Cancels a response that is made in the background."""
    service, caller = service_of(request), caller_of(request)
    row = await _row(request)
    if not row.background:
        raise invalid("Only a response that is made in the background can be cancelled.", "response_id")
    if row.status not in ENDED:
        await service.part(Background).cancel(caller.owner, row.id)
        row = await _row(request)
    return answer_json(await unpacked(service.store, row.body))


async def delete(request: Request) -> Response:
    """Deletes a response."""
    service, caller = service_of(request), caller_of(request)
    row = await _row(request)
    await service.part(Background).forget(row.id)
    await service.store.delete_response(caller.owner, row.id)
    return answer_json({"id": row.id, "object": "response.deleted", "deleted": True})


async def input_items(request: Request) -> Response:
    """What a response was asked, page by page."""
    service, query = service_of(request), request.query_params
    row = await _row(request)
    items = row.request["input"]
    if descending(query):
        items = items[::-1]
    after = query.get("after")
    if after is not None:
        at = next((at for at, item in enumerate(items) if item["id"] == after), None)
        if at is None:
            raise invalid(f"There is no item {after!r} to go on from.", "after")
        items = items[at + 1 :]
    limit = whole_number(query, "limit", 20, 1, 100)
    return answer_json(await page(service.store, items, limit))


async def compact(request: Request) -> Response:
    """Makes a conversation short."""
    body = await body_of(request, CompactBody)
    return answer_json(await connected(request, compaction(service_of(request), caller_of(request), body)))


async def _row(request: Request) -> StoredResponse:
    id = request.path_params["id"]
    row = await service_of(request).store.get_response(caller_of(request).owner, id)
    if row is None:
        raise not_found("response", id)
    return row


def streamed(events: AsyncGenerator[dict[str, Any], None]) -> EventStream:
    """Events as they come. What breaks the stream off is told in OpenAI's form (flat) and in that of Open Responses
    (`error`) at once.
    """
    number = -1

    async def lines() -> AsyncGenerator[bytes, None]:
        nonlocal number
        async with aclosing(events):
            async for each in events:
                number = each["sequence_number"]
                yield event(each, each["type"])
        yield _DONE

    def failed(error: ApiError) -> bytes:
        told = error.openai()["error"]
        flat = {name: told[name] for name in ("code", "message", "param")}
        return event({"type": "error", "sequence_number": number + 1, **flat, "error": told}, "error") + _DONE

    return EventStream(lines(), failed)


async def page(store: Store, stored: Sequence[Any], limit: int) -> dict[str, Any]:
    """A page of a list of what is stored: `limit` of it, or less where its pictures make it long."""
    items: list[dict[str, Any]] = []
    size = 0
    for value in stored[:limit]:
        item = await unpacked(store, value)
        size += len(orjson.dumps(item))
        if items and size > _PAGE_BYTES:
            break
        items.append(item)
    return listed(items, len(stored) > len(items))


def listed(items: Sequence[dict[str, Any]], more: bool) -> dict[str, Any]:
    """A page of a list."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": more,
    }


def whole_number(query: QueryParams, name: str, default: int, least: int, most: int) -> int:
    """A number in the query. Raises ApiError."""
    text = query.get(name)
    if text is None:
        return default
    digits = text.removeprefix("-")
    number = int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else least - 1
    if not least <= number <= most:
        raise invalid(f"{name} is a number from {least} to {most}.", name, "invalid_value")
    return number


def descending(query: QueryParams) -> bool:
    """The newest first, unless asked otherwise. Raises ApiError."""
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid("order is asc or desc.", "order", "invalid_value")
    return order == "desc"


routes: list[BaseRoute] = [
    WebSocketRoute("/v1/responses", connection),
    Route("/v1/responses", create, methods=["POST"]),
    Route("/v1/responses", listing, methods=["GET"]),
    Route("/v1/responses/compact", compact, methods=["POST"]),
    Route("/v1/responses/{id}", retrieve, methods=["GET"]),
    Route("/v1/responses/{id}", delete, methods=["DELETE"]),
    Route("/v1/responses/{id}/cancel", cancel, methods=["POST"]),
    Route("/v1/responses/{id}/input_items", input_items, methods=["GET"]),
]
