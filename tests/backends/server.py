"""A scripted server on the loopback interface, and how it talks."""

import asyncio
import json

from firesteel.backends.base import Request, complete
from firesteel.backends.openai import OpenAIBackend
from firesteel.format import Message

ASK = [Message("user", "hello")]


def named(name, **properties):
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def sse(*items, done=True):
    lines = [f"data: {json.dumps(item, ensure_ascii=False)}\n\n" for item in items]
    return [line.encode() for line in [*lines, *(["data: [DONE]\n\n"] if done else [])]]


def said(index=0, finish_reason=None, **delta):
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]}


def answer(text, **usage):
    items = [said(role="assistant", content=""), said(content=text), said(finish_reason="stop")]
    return sse(*items, *([{"choices": [], "usage": usage}] if usage else []))


def refusal(status, message, param=None, **headers):
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return (status, {"content-type": "application/json"} | headers, [json.dumps({"error": error}).encode()])


class Server:
    """Gives its replies in order, the last one again and again. A reply is the pieces of an event stream, a triple of
    status, headers and pieces, or a function of the request. Among the pieces, "cut" breaks the connection off and
    "wait" waits for its end."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.requests = []  # (path, headers, body)
        self.bodies = []
        self.left = asyncio.Event()  # a client went away while the server waited for it
        self.open = self.most = 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def _serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                data = await reader.readexactly(int(headers.get("content-length", 0)))
                sent = json.loads(data) if data else None
                self.requests.append((first.split()[1], headers, sent))
                self.bodies.append(sent)
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                self.open += 1
                self.most = max(self.most, self.open)
                try:
                    await self._reply(reply(sent) if callable(reply) else reply, reader, writer)
                finally:
                    self.open -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _reply(self, reply, reader, writer):
        status, headers, pieces = reply if isinstance(reply, tuple) else (200, {}, reply)
        headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"} | headers
        writer.write(f"HTTP/1.1 {status} x\r\n".encode())
        writer.write("".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n")
        for piece in pieces:
            if piece == "cut":
                writer.transport.abort()
                raise ConnectionError
            if piece == "wait":
                await writer.drain()
                if not await reader.read(1):
                    self.left.set()
                raise ConnectionError
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def ask(server, request, **options):
    backend = OpenAIBackend(server.url, "m", **options)
    try:
        return await complete(backend, request)
    finally:
        await backend.close()


def serve(*replies, request=None, **options):
    """The samples of one request and the server that gave them."""

    async def main():
        async with Server(*replies) as server:
            return await ask(server, request or Request(messages=ASK), **options), server

    return asyncio.run(main())
