"""`/v1/admin`: keys, usage and health, for the operator: whose key has the right `admin`, or, without keys, the local
user.

The first key closes the server to everybody without one, so it must have the right itself, and what the local user kept
is its own unless another owner is named: nobody shuts themselves out from here. Secrets are shown once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firesteel.server.access import check_rights
from firesteel.server.errors import invalid, not_found
from firesteel.server.http import answer_json, body_of, caller_of, service_of
from firesteel.server.reading import Loose
from firesteel.server.responses.routes import whole_number
from firesteel.server.service import Service
from firesteel.server.store import Key

_Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"\S")]
_Limit = Annotated[int, Field(ge=1, lt=2**53)]
_TIMES = {
    "vllm:request_queue_time_seconds": "queue",
    "vllm:time_to_first_token_seconds": "first_token",
    "vllm:e2e_request_latency_seconds": "whole",
}
"""What `health` calls the histograms of `/metrics`."""


class KeyBody(Loose):
    """`expires_at` is in seconds since the epoch. Without an owner, the key is its own, but for the first."""

    name: _Name
    owner: _Name | None = None
    modes: list[str] = Field(default_factory=list, max_length=3)
    tools: list[str] = Field(default_factory=list, max_length=64)
    requests_per_minute: _Limit | None = None
    tokens_per_minute: _Limit | None = None
    monthly_tokens: _Limit | None = None
    expires_at: float | None = Field(default=None, gt=0, le=1e11)
    admin: bool = False


async def usage(request: Request) -> Response:
    """What was used since a time: a row for each key, day, model and mode."""
    service = _operated(request)
    since = whole_number(request.query_params, "since", 0, 0, 10**11)
    rows = await service.store.usage(since=since)
    names = {key.id: key.name for key in await service.store.keys()}
    return answer_json({"object": "list", "data": [asdict(row) | {"name": names.get(row.key)} for row in rows]})


async def health(request: Request) -> Response:
    """Who generates and who waits now, and how long answers took since the server was started."""
    service = _operated(request)
    admission, slots = service.admission, service.admission.slots
    return answer_json(
        {
            "object": "health",
            "backend": service.backend.name,
            "draining": admission.draining,
            "slots": {"total": slots.total, "free": slots.free},
            "queue": {"most": service.settings.queue, "waiting": admission.waiting},
            "running": admission.running,
            "seconds": _times(service.metrics.text().decode()),
        }
    )


async def keys(request: Request) -> Response:
    """All keys, without their secrets, the oldest first."""
    found = await _operated(request).store.keys()
    return answer_json({"object": "list", "data": [_told(key) for key in found]})


async def create_key(request: Request) -> Response:
    """Makes a key; its secret is shown here and never again."""
    service, body = _operated(request), await body_of(request, KeyBody)
    first = not await service.store.keys()  # now: what is known of them may be two seconds old
    if first and not body.admin:
        raise invalid("The first key must have the right admin: without one, nobody could make others.", "admin")
    try:
        check_rights(body.modes, body.tools)
    except ValueError as error:
        raise invalid(str(error)) from error
    owner = body.owner or (caller_of(request).owner if first else None)
    rights = body.model_dump(exclude={"expires_at", "owner"}) | {"expires": body.expires_at, "owner": owner}
    key, secret = await service.store.create_key(**rights)
    return answer_json(_told(key) | {"secret": secret})


async def revoke_key(request: Request) -> Response:
    """Ends a key, within two seconds."""
    service, id = _operated(request), request.path_params["id"]
    if not await service.store.revoke_key(id):
        raise not_found("key that could be revoked", id)
    return answer_json({"id": id, "object": "key.revoked", "revoked": True})


def _operated(request: Request) -> Service:
    """Raises ApiError 403."""
    service = service_of(request)
    service.access.admit_operator(caller_of(request))
    return service


def _times(metrics: str) -> dict[str, dict[str, float | None]]:
    """Quantiles of the histograms, in seconds; None where nothing was counted."""
    told = {}
    for family in text_string_to_metric_families(metrics):
        if name := _TIMES.get(family.name):
            counts = [(float(sample.labels["le"]), sample.value) for sample in family.samples if "le" in sample.labels]
            told[name] = {"count": counts[-1][1], "p50": quantile(counts, 0.5), "p95": quantile(counts, 0.95)}
    return told


def quantile(counts: Sequence[tuple[float, float]], share: float) -> float | None:
    """Of a histogram: (upper bound, how many up to it), within a bucket in proportion, as Prometheus'
    `histogram_quantile` does it. None for an empty one; the last finite bound for what lies above it.
    """
    wanted, lower, before = share * counts[-1][1], 0.0, 0.0
    if not counts[-1][1]:
        return None
    for upper, count in counts:
        if count >= wanted and count > before:
            return lower if math.isinf(upper) else lower + (upper - lower) * (wanted - before) / (count - before)
        lower, before = upper, count
    raise AssertionError("the last bucket holds all")


def _told(key: Key) -> dict[str, Any]:
    told = asdict(key)
    times = {f"{name}_at": told.pop(name) for name in ("created", "expires", "revoked")}
    return told | times | {"object": "key", "status": key.status}


routes: list[BaseRoute] = [
    Route("/v1/admin/usage", usage),
    Route("/v1/admin/health", health),
    Route("/v1/admin/keys", keys, methods=["GET"]),
    Route("/v1/admin/keys", create_key, methods=["POST"]),
    Route("/v1/admin/keys/{id}/revoke", revoke_key, methods=["POST"]),
]
