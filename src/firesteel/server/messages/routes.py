"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from firesteel.server.errors import ApiError
from firesteel.server.http import EventStream, answer_json, body_of, caller_of, connected, event, request_id, service_of
from firesteel.server.messages.body import MessagesBody, Question, ask_of, display_of
from firesteel.server.messages.count import tokens_of
from firesteel.server.messages.reply import PING, message, stream
from firesteel.server.service import Answer


async def create(request: Request) -> Response:
    service, caller = service_of(request), caller_of(request)
    body = await body_of(request, MessagesBody)
    answer = Answer(service, await ask_of(service, caller, body), caller)
    id, display = f"msg_{secrets.token_hex(12)}", display_of(service, body)
    if not body.stream:
        return answer_json(await connected(request, message(answer, id, display)))

    def failed(error: ApiError) -> bytes:
        return event(error.anthropic(request_id(request)), "error")

    return EventStream(stream(service, answer, id, display), failed, ping=PING)


async def count_tokens(request: Request) -> Response:
    """The tokens of the prompt; an estimate (characters / 4) where the backend's tokenizer is not known."""
    service = service_of(request)
    ask = await ask_of(service, caller_of(request), await body_of(request, Question))
    return answer_json({"input_tokens": await connected(request, tokens_of(service, ask))})


routes = [
    Route("/v1/messages", create, methods=["POST"]),
    Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
]
