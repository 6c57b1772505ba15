"""`firesteel mcp` as a client meets it: a program of its own."""

import asyncio
import base64
import io
import json
import signal
import subprocess
import sys

import mcp
import pytest
from PIL import Image

from firesteel.cli.mcp import mcp as serve

INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}


def program(*arguments: object) -> list[str]:
    called = ", ".join(map(repr, arguments))
    return ["-c", f"from pathlib import Path; from firesteel.cli.mcp import mcp; mcp({called}, 'kindling', None)"]


def test_zoom_is_served_and_sees_its_own_crops(tmp_path):
    picture = tmp_path / "a.png"
    Image.linear_gradient("L").save(picture)

    async def go():
        server = mcp.StdioServerParameters(command=sys.executable, args=program(["zoom"], [str(picture)]))
        async with mcp.Client(server) as client:
            half = {"img": 0, "bbox_2d": [0, 0, 1000, 500]}
            await client.call_tool("zoom", half)
            return await client.call_tool("zoom", half | {"img": 1})

    words, shown = asyncio.run(go()).content
    assert words.text == "img_2 = crop of img_1 [0, 0, 1000, 500]"
    assert max(Image.open(io.BytesIO(base64.b64decode(shown.data))).getdata())[0] < 70  # the top quarter


def test_a_signal_ends_it_and_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, *program(["files"], [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
        running.stdin.write(json.dumps(asked).encode() + b"\n")
        running.stdin.flush()
        assert b"firesteel" in running.stdout.readline() and list(tmp_path.glob("firesteel-*"))
        running.send_signal(signal.SIGTERM)
        assert running.wait(120) == 0  # though stdin is still open
    assert not list(tmp_path.glob("firesteel-*"))


def test_servers_of_others_are_not_passed_on():
    with pytest.raises(ValueError, match="to the client itself"):
        serve(["zoom", "mcp:uvx some-server"], [], "kindling", None)
