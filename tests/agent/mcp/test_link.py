"""Our client against servers that are not ours: one of the official SDK, and one that means us no good."""

import asyncio
import json
import os
import sys

import pytest

from firesteel.agent import allow, run
from firesteel.agent.mcp import Server, connect, serve_http
from firesteel.format import Message, Trace, render
from tests.agent.mcp.peers import OFFICIAL, RED, TOOLS, at_loopback, encoded, far, noise, png, said
from tests.agent.scripted import Scripted, calls, says


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def tour():
    """Everything that is asked of the server written by hand, in one life of it."""
    os.environ["HOST_SECRET"] = "abc"

    async def go():
        seen = {}
        async with connect(far()) as tools:
            named = seen["tools"] = {tool.name: tool for tool in tools}
            seen["env"] = json.loads(await said(named["far.env"]))
            script = calls(("far.read_page", {})), calls(("far.delete", {"path": "/"})), says("I may not.")
            trace = seen["trace"] = Trace([Message("user", "What is on the page?")])
            _ = [event async for event in run(trace, Scripted(*script), tools, permit=allow(["far.read_page"]))]
            seen["called"] = await said(named["far.called"])
            permitted = Trace([Message("user", "Delete it.")])
            _ = [event async for event in run(permitted, Scripted(*script[1:]), tools, permit=allow(["far.delete"]))]
            seen["called with permission"] = await said(named["far.called"])

            hanging = asyncio.create_task(named["far.hang"]({}))
            while "hang" not in await said(named["far.called"]):
                await asyncio.sleep(0.01)
            hanging.cancel()
            await asyncio.wait([hanging])
            seen["cancelled"] = hanging.cancelled(), await said(named["far.cancelled"])

            hanging = asyncio.create_task(said(named["far.hang"]))
            await asyncio.sleep(0)
            seen["death"] = [await said(named["far.die"]), await hanging, await said(named["far.env"])]
        seen["after"] = await said(named["far.env"])
        return seen

    yield asyncio.run(go())
    del os.environ["HOST_SECRET"]


def test_tools_are_named_by_us_and_need_permission_whatever_the_server_says(tour):
    tools, names = tour["tools"], ("read_page", "delete", "env", "hang", "called", "cancelled", "die")
    assert list(tools) == [f"far.{name}" for name in names] and all(tool.changes for tool in tools.values())
    assert tools["far.delete"].parameters["properties"] == {"path": {"type": "string"}}


def test_a_program_sees_no_secrets_of_ours(tour):
    allowed = {"HOME", "PATH", "SHELL", "TERM", "USER", "LOGNAME", "INJECTION", "TOKEN"}
    assert set(tour["env"]) - {"LC_CTYPE"} <= allowed and tour["env"]["TOKEN"] == "given"


def test_descriptions_and_results_cannot_call_what_is_not_permitted(tour):
    assert "delete" not in tour["called"].split()
    assert tour["called with permission"].split().count("delete") == 1
    assert "does not permit far.delete" in tour["trace"].messages[-2].text


def test_foreign_text_forges_no_control_token(tour):
    text = render(list(tour["trace"]), [tool.schema for tool in tour["tools"].values()]).text
    assert "to=far.burn" in text and "<|start|>assistant to=far.burn" not in text


def test_cancelling_a_call_tells_the_server(tour):
    assert tour["cancelled"] == (True, "1")


def test_a_server_that_dies_is_a_sentence_and_no_hang(tour):
    sentence = "Error: The MCP server far has ended. Go on without its tools."
    assert tour["death"] == [sentence] * 3 and tour["after"] == sentence


def test_a_slow_call_is_given_up_and_being_cancelled_leaves_no_process(capfd, tmp_path):
    async def use():
        async with connect(far(PID_FILE=str(tmp_path / "pid"))) as tools:
            answers.append(await said(tools[3]))
            await asyncio.sleep(600)

    async def go():
        user = asyncio.create_task(use())
        while not answers and not user.done():
            await asyncio.sleep(0.01)
        user.cancel()
        await asyncio.wait([user])
        return user.cancelled(), len(asyncio.all_tasks())

    answers: list[str] = []
    assert asyncio.run(go()) == (True, 1)
    assert "did not answer within 0.3 seconds" in answers[0]
    assert not alive(int((tmp_path / "pid").read_text()))
    out, err = capfd.readouterr()
    assert "NOISE" not in out + err and "Hello" not in out + err


def test_a_program_that_will_not_end_is_ended_even_while_it_starts(tmp_path):
    pid = tmp_path / "pid"
    stubborn = Server(name="stubborn", command=["sh", "-c", f"trap '' TERM; echo $$ > {pid}; sleep 600"])

    async def go():
        starting = asyncio.create_task(connect(stubborn).__aenter__())
        while not (pid.exists() and pid.read_text().strip()):
            await asyncio.sleep(0.01)
        starting.cancel()
        await asyncio.wait([starting])
        return starting.cancelled()

    assert asyncio.run(go()) and not alive(int(pid.read_text()))


@pytest.mark.parametrize(
    "command, seconds, sentence",
    [
        (["sh", "-c", "echo 'no such \033[31mconfig' >&2; exit 3"], 60, r"bad cannot be used: .* no such \[31mconfig"),
        (["sleep", "600"], 0.1, "bad was not ready within 0.1 seconds"),
        (["no-such-program-here"], 60, "bad cannot be used: .*no-such-program-here"),
    ],
)
def test_a_server_that_does_not_start_says_why(command, seconds, sentence):
    async def go():
        async with connect(Server(name="bad", command=command, start_seconds=seconds)):
            pass

    with pytest.raises(ValueError, match=sentence):
        asyncio.run(go())


def test_an_official_server_over_stdio_gives_text_and_pictures():
    async def go():
        command = [sys.executable, "-c", OFFICIAL + "server.run()"]
        server = Server(name="official", command=command, env={"PICTURE": encoded(png(RED))}, start_seconds=300)
        async with connect(server) as (look, count, refuse, _):
            return look, count, await look({"place": "Rome"}), await said(count, of=["a", "b"]), await said(refuse)

    look, count, seen, counted, refused = asyncio.run(go())
    assert look.name == "official.look" and look.description == "Looks at a place."
    assert count.parameters["properties"]["of"]["type"] == "array"
    assert seen[0].text == "This is Rome." and seen[1].image.getpixel((0, 0)) == (255, 0, 0)
    assert json.loads(counted) == {"count": 2} and refused.startswith("Error: ") and "refuse" in refused


def official() -> dict:
    """The same server within this process."""
    names: dict = {}
    exec(OFFICIAL, names)
    return names


def test_an_official_server_over_http_gives_large_pictures_and_may_come_back(monkeypatch):
    large, server = noise(800), official()["server"]
    monkeypatch.setenv("PICTURE", encoded(png(large)))

    async def go():
        async with at_loopback(server.streamable_http_app()) as port:
            living = connect(f"http://127.0.0.1:{port}/mcp")
            tools = await living.__aenter__()
            first = await tools[0]({"place": "Rome"})
        gone = await said(tools[0], place="Rome")
        async with at_loopback(server.streamable_http_app(), port):
            again = await said(tools[1], of=["a"])
            await living.__aexit__(None, None, None)
        with pytest.raises(ValueError, match="cannot be reached"):
            async with connect(f"http://127.0.0.1:{port}/mcp"):
                pass
        return tools[0].name, first, gone, again

    name, first, gone, again = asyncio.run(go())
    assert name == "_127_0_0_1.look" and first[1].image.tobytes() == large.tobytes()
    assert gone.startswith("Error: ") and "cannot be reached" in gone
    assert json.loads(again) == {"count": 1}


def test_cancelling_a_call_over_http_cancels_it_at_the_server():
    names = official()

    async def go():
        async with (
            at_loopback(names["server"].streamable_http_app()) as port,
            connect(f"http://127.0.0.1:{port}/mcp") as tools,
        ):
            waiting = asyncio.create_task(tools[3]({}))
            while not names["ended"]:
                await asyncio.sleep(0.01)
            waiting.cancel()
            while names["ended"] != ["began", "cancelled"]:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(go(), 120))


def test_a_redirect_elsewhere_is_not_followed():
    async def go():
        async with serve_http(TOOLS) as elsewhere:

            async def away(scope, receive, send):
                assert scope["type"] == "http"
                headers = [(b"location", elsewhere.encode())]
                await send({"type": "http.response.start", "status": 307, "headers": headers})
                await send({"type": "http.response.body"})

            async with at_loopback(away) as port, connect(f"http://127.0.0.1:{port}/mcp"):
                pass

    with pytest.raises(ValueError, match=r"Redirect to .* not followed"):
        asyncio.run(go())
