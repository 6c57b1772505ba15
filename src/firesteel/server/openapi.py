"""The OpenAPI 3.1 document at `/openapi.json`, made from the routes and from the models that check their bodies.

Summaries are the first lines of the handlers' docstrings. A route that takes a body must be named in `_BODIES`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Route

from firesteel import __version__
from firesteel.server.admin import KeyBody
from firesteel.server.chat.body import ChatBody
from firesteel.server.chat.routes import Metadata
from firesteel.server.completions import CompletionBody
from firesteel.server.conversations import Addition, Changes, Creation
from firesteel.server.decisions import DecisionBody
from firesteel.server.messages.body import MessagesBody, Question
from firesteel.server.responses.body import ResponseBody
from firesteel.server.responses.compact import CompactBody
from firesteel.server.threads.body import ThreadBody, ThreadChanges, ThreadFile, Word
from firesteel.server.tokens import DetokenizeBody, TokenizeBody

_BODIES: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatBody,
    "/v1/chat/completions/{id}": Metadata,
    "/v1/completions": CompletionBody,
    "/v1/decisions": DecisionBody,
    "/v1/messages": MessagesBody,
    "/v1/messages/count_tokens": Question,
    "/v1/responses": ResponseBody,
    "/v1/responses/compact": CompactBody,
    "/v1/conversations": Creation,
    "/v1/conversations/{id}": Changes,
    "/v1/conversations/{id}/items": Addition,
    "/v1/threads": ThreadBody,
    "/v1/threads/{id}": ThreadChanges,
    "/v1/threads/import": ThreadFile,
    "/v1/threads/{id}/permissions/{permission}": Word,
    "/v1/admin/keys": KeyBody,
    "/tokenize": TokenizeBody,
    "/detokenize": DetokenizeBody,
}
_ERRORS = {
    "4XX": {"description": "The request cannot be served; the error says why."},
    "5XX": {"description": "The server or the model cannot answer now."},
}


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The document of these routes."""
    models = {model.__name__: model for model in _BODIES.values()}
    references, schemas = models_json_schema([(model, "validation") for model in models.values()])
    paths: dict[str, Any] = {}
    for route in routes:
        if not isinstance(route, Route):
            continue
        path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
        for method in sorted((route.methods or {"GET"}) - {"HEAD", "OPTIONS"}):
            operation: dict[str, Any] = {
                "operationId": f"{route.endpoint.__module__.rpartition('server.')[2]}.{route.name}.{method.lower()}",
                "summary": (inspect.getdoc(route.endpoint) or route.name).split("\n")[0],
                "responses": {"200": {"description": "The answer."}} | _ERRORS,
            }
            if names := re.findall(r"{(\w+)}", path):
                operation["parameters"] = [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
                ]
            if method == "POST" and path in _BODIES:
                schema = references[_BODIES[path], "validation"]
                operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Firesteel", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }
