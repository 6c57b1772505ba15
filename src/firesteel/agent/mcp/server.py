"""Our tools for any MCP client: over stdin and stdout, or over streamable HTTP on this machine.

- Dots become underscores (`browser.search` is `browser_search`): many clients hand names to APIs that take no dots.
- What a tool complains about is a result with `isError`; a picture is a PNG.
- Tools that change something run only if `permit` says so, as in the agent's loop: over HTTP anyone on this machine may
  call. HTTP listens on 127.0.0.1 alone and refuses foreign Host and Origin headers, so that no page in a browser gets
  through (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import socket
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from firesteel import __version__
from firesteel.agent.events import ABOVE, Above
from firesteel.agent.limits import Limits
from firesteel.agent.loop import Permit, deny
from firesteel.agent.mcp.client import require_sdk
from firesteel.agent.tools import Tool, ToolError
from firesteel.format import Part, ToolCall, Trace

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server import Server

_HOST = "127.0.0.1"


async def serve_stdio(tools: Sequence[Tool], *, permit: Permit = deny) -> None:
    """Serves until the client closes our stdin, which is taken for good. What tools print goes to stderr meanwhile."""
    server = _offer(tools, permit)
    from mcp.server.stdio import stdio_server

    wire = os.fdopen(os.dup(0), "rb")
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)  # programs that tools start would read from the wire
    async with stdio_server(stdin=_lines(wire)) as (read, write):  # type: ignore[arg-type]
        await server.run(read, write, server.create_initialization_options())


@asynccontextmanager
async def serve_http(tools: Sequence[Tool], *, port: int = 0, permit: Permit = deny) -> AsyncGenerator[str, None]:
    """Serves within the block; gives the URL. Port 0 takes a free one. Raises ValueError for a port that is taken."""
    server = _offer(tools, permit)
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    try:
        listener = socket.create_server((_HOST, port))
    except (OSError, OverflowError) as error:
        raise ValueError(f"The port {port} cannot be listened on: {error}.") from error
    port = listener.getsockname()[1]
    hosts = [f"{_HOST}:{port}", f"localhost:{port}"]
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts])
    app = server.streamable_http_app(transport_security=security)
    web = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    web.capture_signals = nullcontext  # type: ignore[method-assign, assignment]  # signals are the caller's matter
    task = asyncio.create_task(web.serve(sockets=[listener]))
    try:
        yield f"http://{hosts[0]}/mcp"
    finally:
        web.should_exit = True
        await asyncio.wait([task])
        listener.close()
    task.result()


async def _lines(stream: BinaryIO) -> AsyncGenerator[str, None]:
    """The lines of a stream. A thread reads them for which nobody waits: a read cannot be cancelled, but we can be."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    def read() -> None:
        with suppress(RuntimeError):  # the loop has ended
            while line := stream.readline():
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, b"")

    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        yield line.decode(errors="replace")


def _offer(tools: Sequence[Tool], permit: Permit) -> Server[Any]:
    """The server of these tools. Raises ValueError for two of one name."""
    require_sdk()
    import mcp_types as types
    from mcp import MCPError
    from mcp.server import Server

    named = {tool.name.replace(".", "_"): tool for tool in tools}
    if len(named) < len(tools):
        raise ValueError("Two of the tools to be served have one name, dots counting as underscores.")
    listed = [
        types.Tool(
            name=name,
            description=tool.description,
            input_schema=dict(tool.parameters),
            annotations=types.ToolAnnotations(read_only_hint=not tool.changes, destructive_hint=tool.changes),
        )
        for name, tool in named.items()
    ]

    unsaid = Trace()  # what the client and its model say to each other is not told here

    async def list_tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=listed)

    async def call_tool(_: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        tool = named.get(asked.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {asked.name}; there are: {', '.join(named)}.")
        call = ToolCall(tool.name, dict(asked.arguments or {}))
        ABOVE.set(Above(lambda event: None, Limits().start(), unsaid))  # for tools that run agents of their own
        try:
            if tool.changes and not await permit(tool, call):
                raise ToolError(f"Whoever started this server does not permit {asked.name}.")
            parts = await tool(call.arguments)
        except ToolError as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        return types.CallToolResult(content=await asyncio.to_thread(_content, parts))

    return Server("firesteel", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def _content(parts: Sequence[Part]) -> list[types.ContentBlock]:
    import mcp_types as types

    content: list[types.ContentBlock] = []
    for part in parts:
        if part.image is None:
            content.append(types.TextContent(text=part.text))
            continue
        buffer = io.BytesIO()
        part.image.save(buffer, "PNG")
        content.append(types.ImageContent(data=base64.b64encode(buffer.getvalue()).decode(), mime_type="image/png"))
    return content
