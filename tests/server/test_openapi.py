"""The OpenAPI document is true, and what it allows is never answered with a 500."""

import asyncio
import re

import httpx
import hypothesis
import schemathesis
from schemathesis.checks import not_a_server_error
from starlette.routing import Route

from tests.agent.scripted import Scripted, says
from tests.server.serving import live, serving

_FREE = {  # bodies that are not one JSON object of ours
    "/v1/files",
    "/v1/threads/{id}/restore",
    "/v1/threads/{id}/turns/{turn}/calls/{call}/replay",
    "/v1/admin/keys/{id}/revoke",
}


class Talker(Scripted):
    """Says the same for ever."""

    async def stream(self, request):
        self.lines = [says("yes", thought="well")] * request.n
        async for delta in super().stream(request):
            yield delta


def test_every_route_is_described_and_every_body_has_a_schema():
    async def main():
        async with serving() as client:
            return (await client.get("/openapi.json")).json(), client._transport.app.routes

    document, routes = asyncio.run(main())
    for route in routes:
        if not isinstance(route, Route):
            continue
        path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
        for method in route.methods - {"HEAD", "OPTIONS"}:
            operation = document["paths"][path][method.lower()]
            assert operation["summary"]
            if method == "POST" and path not in _FREE and "/cancel" not in path:
                assert "requestBody" in operation, f"openapi.py does not know the body of {path}"
    assert len({o["operationId"] for p in document["paths"].values() for o in p.values()}) == sum(
        len(p) for p in document["paths"].values()
    )


def test_fuzzed_requests_get_no_500():
    statuses = {}
    with live(backend=Talker()) as (url, _):
        # Once a fuzzed request has made a key, one is needed.
        made = httpx.post(f"{url}/v1/admin/keys", json={"name": "fuzz", "admin": True, "tools": ["*"]}).json()
        headers = {"authorization": f"Bearer {made['secret']}"}
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        for result in schema.get_all_operations():
            operation = result.ok()

            @hypothesis.given(case=operation.as_strategy())
            @hypothesis.settings(
                max_examples=40, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
            )
            def ask(case):
                answer = case.call(base_url=url, timeout=20, headers=headers)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                case.validate_response(answer, checks=[not_a_server_error])

            ask()
    assert statuses.get(200) and statuses.get(400)
