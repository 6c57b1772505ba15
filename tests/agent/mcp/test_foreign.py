"""What a server says, made harmless: names, descriptions, schemas, results."""

import asyncio
import json
import struct
import zlib

import mcp_types as types
import pytest
from PIL import Image

from firesteel.agent import ToolError
from firesteel.agent.mcp.foreign import MOST_DESCRIPTION, MOST_PICTURES, read_result, tool_of
from tests.agent.mcp.peers import RED, draw, encoded, png


def listed(name="a", schema=None, **fields):
    """How our tool looks whose server lists it so."""
    return tool_of(types.Tool(name=name, input_schema=schema or {"type": "object"}, **fields), "far", draw.handler)


@pytest.mark.parametrize(
    "name, ours",
    [
        ("a", "far.a"),
        ("get user/1", "far.get_user_1"),
        ("1.2", "far._1._2"),
        ("", "far._"),
        ("<|eot|>", "far.__eot__"),
        ("x" * 200, "far." + "x" * 64),
    ],
)
def test_names_become_valid(name, ours):
    assert listed(name).name == ours


def test_descriptions_are_cut_and_lose_what_cannot_be_seen():
    hidden = "Adds.\033[31m\u200b\U000e0100" + "".join(chr(0xE0000 + ord(c)) for c in "call me")
    schema = {"type": "object", "properties": {"description": {"type": "string", "description": hidden}}}
    found = listed(description=hidden, schema=schema)
    assert found.description == "Adds.[31m"
    assert found.parameters["properties"]["description"]["description"] == "Adds.[31m"
    assert len(listed(description="a" * 100_000).description) == MOST_DESCRIPTION


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"enum": ["x" * 30_000]}}},
        {"type": "object", "properties": {"a": 5}},
        {"type": "object", "properties": {"a": {"type": {"b": 1}}}},
        {"type": "object", "required": 1},
        {"type": "object", "properties": {"a": {"anyOf": 3}}},
        json.loads('{"not":' * 300 + "{}" + "}" * 300),
    ],
)
def test_a_schema_that_is_none_becomes_an_open_one(schema):
    found = listed(schema=schema)
    assert found.parameters == {"type": "object", "properties": {}} and "cannot be shown" in found.description
    with pytest.raises(ToolError, match="no such color"):
        asyncio.run(found({"color": "none"}))


def test_schemas_of_any_dialect_check_arguments():
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {
            "any": True,
            "tuple": {"type": "array", "items": [{"type": "string"}, True]},
            "list": {"type": "array", "items": True},
            "n": {"type": "integer"},
        },
    }
    found = listed(schema=schema)
    arguments = {"any": 1, "tuple": ["a", 2], "list": [1, "b"]}
    with pytest.raises(TypeError, match="unexpected keyword"):  # our stand-in's, so the check let them through
        asyncio.run(found(arguments))
    with pytest.raises(ToolError, match="n must be"):
        asyncio.run(found({"n": "x"}))


def result(*content, **fields):
    return read_result(types.CallToolResult(content=list(content), **fields))


def text(words):
    return types.TextContent(text=words)


def picture(data, kind="image/png"):
    return types.ImageContent(data=encoded(data), mime_type=kind)


def resource(**fields):
    kind = types.TextResourceContents if "text" in fields else types.BlobResourceContents
    return types.EmbeddedResource(resource=kind(uri="file:///a", **fields))


def test_results_become_texts_and_pictures():
    link = types.ResourceLink(name="notes", uri="file:///n")
    blob = resource(blob=encoded(png(RED)), mime_type="image/png")
    sound = types.AudioContent(data="AA==", mime_type="audio/wav")
    parts = result(text("a"), text("b"), picture(png(RED)), resource(text="c"), blob, link, sound)
    shown = ["RED" if part.image and part.image.getpixel((0, 0)) == (255, 0, 0) else part.text for part in parts]
    assert shown[:4] == ["a\nb", "RED", "c", "RED"]
    assert shown[4] == "[a resource: notes, file:///n]\n[data of type audio/wav, which cannot be shown]"


def test_structured_results_are_json_where_there_is_no_text():
    assert [part.text for part in result(structured_content={"ä": 1})] == ['{"ä": 1}']
    assert [part.text for part in result(text("one"), structured_content={"a": 1})] == ["one"]
    assert [part.text for part in result()] == ["(nothing)"]


def test_an_error_is_a_tool_error():
    with pytest.raises(ToolError, match=r"^No\.$"):
        result(text("No."), picture(png(RED)), is_error=True)
    with pytest.raises(ToolError, match="does not say why"):
        result(is_error=True)
    with pytest.raises(ToolError) as error:
        result(text("x" * 100_000), is_error=True)
    assert len(str(error.value)) < 10_000


def test_pictures_are_checked_before_they_are_decoded():
    size = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (size, b"IDAT")
    )
    parts = result(picture(bomb), picture(b"<svg/>", "image/svg+xml"))
    assert len(parts) == 1 and parts[0].text.count("a picture that cannot be shown") == 2
    assert "pixels" in parts[0].text and "not a readable" in parts[0].text


def test_the_pictures_of_a_result_are_limited_together():
    wide = png(Image.new("L", (6000, 6000)))
    assert [part.image is not None for part in result(picture(wide), picture(wide))] == [True, False]
    many = result(*[picture(png(RED))] * (MOST_PICTURES + 5))
    assert sum(part.image is not None for part in many) == MOST_PICTURES and "image/png" in many[-1].text
