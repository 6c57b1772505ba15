import asyncio

import pytest

from firesteel.agent.mcp import Server, Servers, connect, serve_http
from tests.agent.mcp.peers import TOOLS, far, said


@pytest.mark.parametrize(
    "address, name",
    [
        ("uvx some-server --flag", "some-server"),
        ("npx -y @scope/files '/a b'", "files"),
        ("env TOKEN=x python3 -m weather", "weather"),
        ("/opt/tools/notes.py", "notes"),
        ("https://mcp.example.com/mcp?a=b", "mcp_example_com"),
        ("http://[::1]:8000/", "__1"),
    ],
)
def test_a_server_is_called_like_its_address(address, name):
    assert Server.of(address).name == name and Server.of(address, "mine").name == "mine"


def test_a_command_line_is_read_as_a_shell_would():
    assert Server.of("npx -y files '/a b'").command == ["npx", "-y", "files", "/a b"]


@pytest.mark.parametrize("address", ["ftp://host/", "file:///etc/passwd", "http://", ""])
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError, match="MCP server"):
        Server.of(address)


@pytest.mark.parametrize("name", ["", "a.b", "1a", "user", "ü", "a b"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="no name"):
        Server(name=name, command=["x"])


def test_secrets_are_not_shown():
    assert "hush" not in repr(Server(name="a", url="http://h/", headers={"x": "hush"}, env={"y": "hush"}))


def test_several_servers_are_used_at_once_and_no_name_stands_twice():
    async def go():
        async with serve_http(TOOLS) as url:
            async with connect(Server.of(url, "a"), Server.of(url, "b")) as tools:
                drawn = await asyncio.gather(*(tool({"color": "red"}) for tool in tools if tool.name.endswith("draw")))
            with pytest.raises(ValueError, match="Two tools are called "):
                async with connect(url, url):
                    pass
            return [tool.name for tool in tools], drawn

    names, drawn = asyncio.run(go())
    assert names == ["a.eyes_draw", "a.mail_send", "b.eyes_draw", "b.mail_send"]
    assert [parts[1].image.size for parts in drawn] == [(28, 28), (28, 28)]


def test_servers_stay_from_question_to_question_and_start_again_when_they_have_ended():
    async def go():
        servers = Servers(far())

        async def call(name):
            named = {tool.name: tool for tool in await servers.tools()}
            return await said(named[f"far.{name}"]), named["far.called"]

        try:
            heard = [(await call(name))[0] for name in ("called", "called", "die", "called")]
            _, called = await call("called")
        finally:
            await servers.close()
        return heard, await said(called)

    (first, second, died, again), after = asyncio.run(go())
    assert (first, second, again) == ("called", "called called", "called")
    assert "has ended" in died and "has ended" in after
