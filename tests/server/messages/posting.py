"""Asking the Messages API of a server whose model says what a test wrote down."""

import asyncio
import base64
import io
import json

from PIL import Image

from tests.agent.scripted import Scripted, says
from tests.server.serving import events_of, serving

PATH = "/v1/messages"
ASK = {"model": "kindling", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
THINK = {"type": "enabled", "budget_tokens": 2000}
ADD = {
    "name": "add",
    "description": "Adds.",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}


def post(*lines, backend=None, path=PATH, settings=None, headers=None, before=None, **body):
    async def main():
        async with serving(*lines, backend=backend, headers=headers, **(settings or {})) as client:
            more = await before(client) if before else {}
            return await client.post(path, json=ASK | body | more)

    return asyncio.run(main())


def answered(*lines, **body):
    answer = post(*lines, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def streamed(*lines, **body):
    """The events of a stream, without pings."""
    answer = post(*lines, stream=True, **body)
    assert answer.status_code == 200, answer.text
    return [(name, data) for name, data in events_of(answer.text) if name != "ping"]


def asked(**body):
    """The one request that reached the model."""
    model = Scripted(says("yes"))
    answered(backend=model, **body)
    (request,) = model.requests
    return request


def read(*messages, **body):
    """The messages that reached the model."""
    return list(asked(messages=list(messages), **body).messages)


def refused(status=400, type="invalid_request_error", **body):
    """The sentence of a refusal."""
    answer = post(says("yes"), **body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told["type"] == "error" and told["error"]["type"] == type
    assert told["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
    return told["error"]["message"]


def png():
    data = io.BytesIO()
    Image.new("RGB", (56, 56), "red").save(data, "PNG")
    return data.getvalue()


def picture():
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png()).decode()},
    }


def folded(events):
    """The message that a stream tells, put together as a client does."""
    message, arguments = None, ""
    for name, data in events:
        assert data["type"] == name
        if name == "message_start":
            message = data["message"]
        elif name == "content_block_start":
            assert data["index"] == len(message["content"])
            message["content"].append(dict(data["content_block"]))
        elif name == "content_block_delta":
            block, delta = message["content"][data["index"]], data["delta"]
            kind = delta["type"].removesuffix("_delta")
            if kind == "input_json":
                arguments += delta["partial_json"]
            elif kind == "signature":
                block["signature"] = delta["signature"]
            else:
                block[kind] += delta[kind]
        elif name == "content_block_stop" and arguments:
            message["content"][data["index"]]["input"], arguments = json.loads(arguments), ""
        elif name == "message_delta":
            message |= data["delta"]
            message["usage"] = data["usage"]
    return message
