import base64
import json
from html.parser import HTMLParser

import pytest

from firesteel.cli.trace import trace
from firesteel.format import Message, Trace
from tests.agent.scripted import calls, says
from tests.server.responses.asking import picture
from tests.server.threads.talking import talk, written

EVIL = "</p></blockquote></pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'&``` \n````\n# h"


def export(talk, format):
    return talk.client.get(f"{talk.url}/export", params={"format": format})


def test_only_the_four_formats_are_there():
    @talk()
    async def _(client, talk):
        assert (await export(talk, "pdf")).status_code == 400
        for format, ending in (("json", "json"), ("markdown", "md"), ("html", "html"), ("sft", "jsonl")):
            answer = await export(talk, format)
            assert answer.status_code == 200 and "sandbox" in answer.headers["content-security-policy"]
            assert f'attachment; filename="{talk.id}.{ending}"' in answer.headers["content-disposition"]


@pytest.mark.parametrize("title", ['a/b\\c"; x=\r\n<é>', "x" * 512, "..", "\0", "🔥 \u202e"])
def test_any_title_makes_a_header(title):
    @talk()
    async def _(client, talk):
        await client.post(talk.url, json={"title": title})
        header = (await export(talk, "json")).headers["content-disposition"]
        assert header.startswith('attachment; filename="') and header.isascii() and len(header) < 1200
        assert "/" not in header and "\\" not in header


def test_json_holds_the_tree_with_its_pictures():
    @talk(says("one", thought="hm"), says("two"), says("three"))
    async def _(client, talk):
        url = picture()
        root = await talk.say([{"type": "input_image", "image_url": url}])
        left, right = await talk.say("a", root), await talk.say("b", root)
        told = (await export(talk, "json")).json()
        assert (told["object"], told["version"], told["leaf"]) == ("firesteel.thread", 1, right)
        assert [(each["id"], each["previous"]) for each in told["turns"]] == [(root, None), (left, root), (right, root)]
        assert told["turns"][0]["input"][0]["content"][0]["image_url"] == url


def test_uploaded_pictures_travel_in_the_file_and_deleted_ones_leave_a_word():
    @talk(says("one"), says("two"))
    async def _(client, talk):
        upload = {"file": ("a.png", base64.b64decode(picture("blue").partition(",")[2]))}
        for _ in range(2):
            file = (await client.post("/v1/files", files=upload, data={"purpose": "vision"})).json()["id"]
            await talk.say([{"type": "input_image", "file_id": file}])
        await client.delete(f"/v1/files/{file}")
        kept, gone = (each["input"][0]["content"][0] for each in (await export(talk, "json")).json()["turns"])
        assert kept == {"type": "input_image", "image_url": picture("blue")}
        assert gone["type"] == "input_text"


def test_each_turn_has_its_files_and_each_content_is_there_once():
    lines = [written("a.txt", "one"), says("ok"), written("b/c.txt", "one"), says("ok"), says("hm")]

    @talk(*lines)
    async def _(client, talk):
        first = await talk.say("write", firesteel={"tools": ["files"]})
        await talk.say("write", first, firesteel={"tools": ["files"]})
        await talk.say("else", first)
        turns = [each["files"] for each in (await export(talk, "json")).json()["turns"]]
        assert [[file["name"] for file in files] for files in turns] == [["a.txt"], ["a.txt", "b/c.txt"], ["a.txt"]]
        told = [file for files in turns for file in files]
        assert base64.b64decode(told[0].pop("data")) == b"one\n"
        assert all(file == {"name": file["name"], "id": told[0]["id"]} for file in told)


def test_a_file_that_was_given_travels_until_it_is_deleted():
    @talk(says("one"), says("two"))
    async def _(client, talk):
        upload = {"file": ("a.csv", b"1,2")}
        id = (await client.post("/v1/files", files=upload, data={"purpose": "user_data"})).json()["id"]
        await client.post(talk.url, json={"settings": {"files": [{"id": id}]}})
        await talk.say("look")
        (turn,) = (await export(talk, "json")).json()["turns"]
        assert turn["files"] == [{"name": "a.csv", "id": id, "data": "MSwy"}]
        await client.delete(f"/v1/files/{id}")
        assert (await export(talk, "json")).json()["turns"][0]["files"] == []


def test_pages_name_the_files_that_a_turn_made():
    @talk(written("a<b>.txt", "one"), written("b.txt", "two"), says("ok"), says("well"))
    async def _(client, talk):
        first = await talk.say("write", firesteel={"tools": ["files"]})
        await talk.say("and", first)
        markdown, html = (await export(talk, "markdown")).text, (await export(talk, "html")).text
        assert markdown.count("## Files") == 1 and "\n## Files\n\n```\na<b>.txt, b.txt\n```\n\n## You\n" in markdown
        assert "<h2>Files</h2>\n<pre>a&lt;b&gt;.txt, b.txt</pre>\n" in html


def test_sft_has_a_line_for_each_answered_path_as_trace_writes_them(tmp_path, capsys):
    lines = (calls(("get_weather", {"city": "Rome"})), says("hot", thought="hm"), says("cold"), says("never"))

    @talk(*lines)
    async def text(client, talk):
        tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {"city": {}}}}
        image = {"type": "input_image", "image_url": picture()}
        root = await talk.say([image, {"type": "input_text", "text": "?"}], tools=[tool])
        (call,) = [item for item in (await talk.read())["turns"][0]["output"] if item["type"] == "function_call"]
        output = [{"type": "function_call_output", "call_id": call["call_id"], "output": "30"}]
        for words in ("Be brief.", None):
            await talk.say("", root, input=output, tools=[tool], instructions=words)
        client.service.backend.lines = []
        await talk.say("fails")  # no more lines
        return (await export(talk, "sft")).text

    first, second = (json.loads(line)["messages"] for line in text.splitlines())
    assert [message["role"] for message in first] == ["system", "user", "assistant", "tool", "assistant"]
    assert [message["role"] for message in second] == ["user", "assistant", "tool", "assistant"]
    assert first[-1]["content"][0]["text"] == "hot" and second[-1]["content"][0]["text"] == "cold"
    recorded = Trace(path=tmp_path / "t.jsonl")
    for message in first:
        recorded.append(Message.of(message))
    trace(recorded.path, sft=True)
    again = json.loads(capsys.readouterr().out)["messages"]
    assert again == [Message.of(message).to_dict() for message in first]
    assert [set(message) for message in again] == [set(message) for message in first]


def test_markdown_shows_the_path_to_the_leaf():
    @talk(says("one", thought="hm\nhm"), says("two"), says("three"))
    async def _(client, talk):
        root = await talk.say(
            [{"type": "input_image", "image_url": picture()}, {"type": "input_text", "text": "first"}]
        )
        left = await talk.say("left", root)
        await talk.say("right", root)
        await client.post(talk.url, json={"leaf": left, "title": "A\ntitle"})
        text = (await export(talk, "markdown")).text
        assert text.startswith("# A title\n\n## You\n\n![picture](data:image/png;base64,")
        assert text.endswith("\n\nfirst\n\n## Answer\n\n> hm\n> hm\n\none\n\n## You\n\nleft\n\n## Answer\n\ntwo\n")


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        for name, value in attributes:
            assert name != "src" or value.startswith("data:image/png;base64,")


def test_html_is_a_page_of_its_own_that_runs_and_loads_nothing():
    @talk(says(EVIL, thought=EVIL))
    async def _(client, talk):
        await client.post(talk.url, json={"title": f"</title>{EVIL}"})
        await talk.say([{"type": "input_text", "text": EVIL}, {"type": "input_image", "image_url": picture()}])
        text = (await export(talk, "html")).text
        page = Page(text)
        assert page.tags == {"html", "meta", "title", "style", "h1", "h2", "p", "blockquote", "img"}
        assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "alt", "src"}
        assert "default-src 'none'" in text and text.count("alert(1)") == 10
