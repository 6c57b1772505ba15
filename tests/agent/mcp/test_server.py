"""Clients of the official SDK against our server."""

import asyncio
import base64
import io
import sys
from pathlib import Path

import httpx2
import mcp
import pytest
from PIL import Image

from firesteel.agent import Tool, allow, tool
from firesteel.agent.mcp import serve_http, serve_stdio
from firesteel.agent.subagents import spawn_agents
from tests.agent.mcp.peers import TOOLS, draw, noise
from tests.agent.scripted import Scripted, says

OURS = r"""
import asyncio
from tests.agent.mcp.peers import TOOLS
from firesteel.agent.mcp import serve_stdio
asyncio.run(serve_stdio(TOOLS))
"""


def picture(content) -> Image.Image:
    assert content.type == "image" and content.mime_type == "image/png"
    return Image.open(io.BytesIO(base64.b64decode(content.data)))


async def visit(client):
    """What a client that is not ours gets from our tools."""
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    drawn = await client.call_tool("eyes_draw", {"color": "red", "side": "56"})
    failed = [await client.call_tool("eyes_draw", {"color": "none"}), await client.call_tool("eyes_draw", {})]
    return listed, drawn, failed, await client.call_tool("mail_send", {"to": "me"})


def check_visit(listed, drawn, failed, sent):
    assert list(listed) == ["eyes_draw", "mail_send"]
    assert listed["eyes_draw"].annotations.read_only_hint and listed["mail_send"].annotations.destructive_hint
    assert listed["eyes_draw"].input_schema["required"] == ["color"] and listed["eyes_draw"].description == "Draws."
    assert drawn.content[0].text == "here:" and not drawn.is_error
    image = picture(drawn.content[1])
    assert image.size == (56, 56) and image.getpixel((0, 0)) == (255, 0, 0)
    assert [result.is_error for result in failed] == [True, True]
    assert failed[0].content[0].text == "There is no such color, try red." and "'color'" in failed[1].content[0].text
    assert sent.is_error and "does not permit mail_send" in sent.content[0].text


def test_the_official_client_uses_our_tools_over_stdio():
    async def go():
        program = mcp.StdioServerParameters(command=sys.executable, args=["-c", OURS], cwd=Path(__file__).parents[3])
        async with mcp.Client(program) as client:
            return await visit(client)

    check_visit(*asyncio.run(go()))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_uses_our_tools_over_http(mode):
    async def go():
        async with serve_http(TOOLS) as url, mcp.Client(url, mode=mode) as client:
            assert url.startswith("http://127.0.0.1:")
            large = await client.call_tool("eyes_draw", {"color": "noise", "side": 480})
            with pytest.raises(mcp.MCPError, match="There is no tool no"):
                await client.call_tool("no", {})
            return large, await visit(client)

    large, seen = asyncio.run(go())
    assert picture(large.content[1]).tobytes() == noise(480).tobytes()
    check_visit(*seen)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_call_that_the_client_cancels_ends_here(mode):
    async def go():
        began, ended = asyncio.Event(), asyncio.Event()

        @tool
        async def wait() -> str:
            """Waits for ever."""
            began.set()
            try:
                await asyncio.sleep(600)
            finally:
                ended.set()
            return ""

        async with serve_http([wait]) as url, mcp.Client(url, mode=mode) as client:
            call = asyncio.create_task(client.call_tool("wait", {}))
            await began.wait()
            call.cancel()
            await ended.wait()

    asyncio.run(asyncio.wait_for(go(), 120))


def test_our_server_permits_what_it_is_told_to_and_runs_tools_that_run_agents():
    backend = Scripted(says("a child's answer"))

    async def go():
        tools = [*TOOLS, spawn_agents(backend)]
        async with serve_http(tools, permit=allow(["mail.send"])) as url, mcp.Client(url) as client:
            sent = await client.call_tool("mail_send", {"to": "me"})
            one = {"message_template": "Say {x}.", "subagents": [{"title": "a", "params": {"x": "hello"}}]}
            return sent, await client.call_tool("subagents_spawn_agents", one)

    sent, spawned = asyncio.run(go())
    assert sent.content[0].text == "sent to me" and "a child's answer" in spawned.content[0].text


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:1"}, 403),
        ({"content-type": "text/plain"}, 400),
    ],
)
def test_our_http_server_refuses_pages_in_a_browser(headers, status):
    async def go():
        async with serve_http(TOOLS) as url, httpx2.AsyncClient() as client:
            asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            plain = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
            return (await client.post(url, json=asked, headers=plain | headers)).status_code

    assert asyncio.run(go()) == status


def test_what_cannot_be_served_is_told():
    twice = [Tool(name=name, description="", parameters={}, handler=draw.handler) for name in ("a.b", "a_b")]

    async def go():
        async with serve_http(TOOLS, port=70000):
            pass

    with pytest.raises(ValueError, match="one name"):
        asyncio.run(serve_stdio(twice))
    with pytest.raises(ValueError, match="cannot be listened on"):
        asyncio.run(go())
