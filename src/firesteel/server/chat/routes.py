"""`POST /v1/chat/completions`, and the completions that were asked to be kept (`"store": true`)."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from firesteel.server.chat.body import ChatBody, ask_of
from firesteel.server.chat.reply import chunks, completion
from firesteel.server.errors import ApiError, not_found
from firesteel.server.http import EventStream, answer_json, body_of, caller_of, connected, event, service_of
from firesteel.server.reading import Loose
from firesteel.server.responses.routes import listed, whole_number
from firesteel.server.service import Answer
from firesteel.server.store import StoredCompletion


class Metadata(Loose):
    metadata: dict[str, str] | None = Field(None, max_length=16)


async def create(request: Request) -> Response:
    service, caller = service_of(request), caller_of(request)
    body = await body_of(request, ChatBody)
    answer = Answer(service, await ask_of(service, caller, body), caller)
    id = f"chatcmpl-{secrets.token_hex(12)}"

    async def keep(whole: dict[str, Any]) -> None:
        if body.store:
            given = [message.model_dump(exclude_none=True) for message in body.messages]
            row = StoredCompletion(
                id=id,
                owner=caller.owner,
                created=time.time(),
                model=body.model,
                body=whole | {"metadata": body.metadata},
                messages=given,
            )
            await service.store.put_completion(row)

    async def whole() -> dict[str, Any]:
        made = await completion(service, answer, id)
        await keep(made)
        return made

    if not body.stream:
        return answer_json(await connected(request, whole()))
    with_usage = bool(body.stream_options and body.stream_options.include_usage)
    return EventStream(chunks(service, answer, id, with_usage, keep), failed)


def failed(error: ApiError) -> bytes:
    return event(error.openai()) + b"data: [DONE]\n\n"


async def kept(request: Request) -> Response:
    """A page of the completions that were kept, the newest first."""
    service, query = service_of(request), request.query_params
    limit = whole_number(query, "limit", 20, 1, 100)
    rows = await service.store.list_completions(caller_of(request).owner, limit + 1, query.get("after"))
    return answer_json(listed([row.body for row in rows[:limit]], len(rows) > limit))


async def retrieve(request: Request) -> Response:
    return answer_json((await _found(request)).body)


async def update(request: Request) -> Response:
    row, body = await _found(request), await body_of(request, Metadata)
    changed = replace(row, body=row.body | {"metadata": body.metadata})
    await service_of(request).store.put_completion(changed)
    return answer_json(changed.body)


async def delete(request: Request) -> Response:
    id = request.path_params["id"]
    if not await service_of(request).store.delete_completion(caller_of(request).owner, id):
        raise not_found("chat completion", id)
    return answer_json({"id": id, "object": "chat.completion.deleted", "deleted": True})


async def messages(request: Request) -> Response:
    """The messages that a kept completion answered."""
    row = await _found(request)
    told = [message | {"id": f"{row.id}-{number}"} for number, message in enumerate(row.messages)]
    return answer_json(listed(told, False))


async def _found(request: Request) -> StoredCompletion:
    id = request.path_params["id"]
    row = await service_of(request).store.get_completion(caller_of(request).owner, id)
    if row is None:
        raise not_found("chat completion", id)
    return row


_PATH = "/v1/chat/completions"
routes = [
    Route(_PATH, create, methods=["POST"]),
    Route(_PATH, kept, methods=["GET"]),
    Route(_PATH + "/{id}", retrieve, methods=["GET"]),
    Route(_PATH + "/{id}", update, methods=["POST"]),
    Route(_PATH + "/{id}", delete, methods=["DELETE"]),
    Route(_PATH + "/{id}/messages", messages, methods=["GET"]),
]
