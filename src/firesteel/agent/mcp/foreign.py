"""What a foreign MCP server says, made into what we can use. None of it is trusted.

- Descriptions lose control and format characters (terminal tricks; zero-width ones, joiners too, and tags, which hide
  instructions), private ones and the variation selectors that emoji do without, and are cut; whatever is left still
  cannot forge a control token, because the chat format breaks those up in any text.
- A schema that is too long or is none becomes an open one, and the description says so; the server checks anyway.
- Whatever a server says of its tools, they need permission: the protocol itself calls its hints untrusted.
- The pictures of one result share one allowance of pixels; what cannot be shown is named in their place.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from jsonschema import Draft7Validator, Draft202012Validator

from firesteel.agent.tools import Handler, Tool, ToolError
from firesteel.format import Part
from firesteel.format.images import MAX_PIXELS, load_image

MOST_DESCRIPTION, MOST_SCHEMA, MOST_ERROR = 4_000, 20_000, 4_000  # characters
MOST_NAME = 64
MOST_PICTURES = 16  # of a result
_HIDDEN = ("Cc", "Cf", "Co", "Cs")  # categories of characters: control, format, private, broken
_SELECTORS = re.compile("[\U000e0100-\U000e01ef]")  # of variants of a character; a row of them hides bytes
_DIALECTS = (Draft202012Validator, Draft7Validator)


def tool_of(listed: types.Tool, server: str, handler: Handler) -> Tool:
    """The tool `<server>.<tool>`."""
    description = inert(listed.description or listed.title or "", MOST_DESCRIPTION)
    parameters = _parameters(listed.input_schema)
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
        description += "\n(Its parameters are declared in a form that cannot be shown here.)"
    return Tool(
        name=f"{server}.{_name(listed.name)}",
        description=description.strip(),
        parameters=parameters,
        handler=handler,
        changes=True,
    )


def read_result(result: types.CallToolResult) -> list[Part]:
    """A result as parts: neighbouring texts as one, pictures opened. Raises ToolError for a result that is an error."""
    parts: list[Part] = []
    pictures = pixels = 0
    for block in result.content:
        part = _part(block, MAX_PIXELS - pixels) if pictures < MOST_PICTURES else _words(block)
        if part.image is not None:
            pictures, pixels = pictures + 1, pixels + part.image.width * part.image.height
        elif parts and parts[-1].image is None:
            part = Part(text=f"{parts.pop().text}\n{part.text}")
        parts.append(part)
    text = "\n".join(part.text for part in parts if part.image is None)
    if not text and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False)
        parts.append(Part(text=text))
    if result.is_error:
        raise ToolError(inert(text, MOST_ERROR) or "The tool failed and does not say why.")
    return parts or [Part(text="(nothing)")]


def inert(text: str, most: int) -> str:
    """At most `most` characters of a text, without those that hide something."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(c for c in _SELECTORS.sub("", cut) if c in "\n\t" or unicodedata.category(c) not in _HIDDEN)


def _name(name: str) -> str:
    """A name that the wire format carries, as near to the given one as possible; dots stay."""
    words = [re.sub(r"[^A-Za-z0-9_-]", "_", word) for word in name[:MOST_NAME].split(".") if word]
    return ".".join(word if re.match("[A-Za-z_]", word) else f"_{word}" for word in words) or "_"


def _parameters(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema, so that arguments can be read and checked by it; None where that cannot be done."""
    try:
        if len(json.dumps(schema)) > MOST_SCHEMA:
            return None
        if not any(dialect(dialect.META_SCHEMA).is_valid(schema) for dialect in _DIALECTS):
            return None
        cleaned = _cleaned(schema)
    except RecursionError:
        return None
    properties = {name: _checkable(inner) for name, inner in cleaned.get("properties", {}).items()}
    return cleaned | {"type": "object", "properties": properties}


def _cleaned(schema: Any) -> Any:
    """The same schema with inert descriptions."""
    if isinstance(schema, list):
        return [_cleaned(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: inert(value, MOST_DESCRIPTION)
        if key in ("title", "description") and isinstance(value, str)
        else _cleaned(value)
        for key, value in schema.items()
    }


def _checkable(schema: Any) -> dict[str, Any]:
    """A schema whose `items` is one too: true, false and lists for tuples are left to the server."""
    if not isinstance(schema, Mapping):
        return {}
    return {key: _checkable(value) if key == "items" else value for key, value in schema.items()}


def _part(block: types.ContentBlock, most_pixels: int) -> Part:
    source = block.resource if isinstance(block, types.EmbeddedResource) else block
    if isinstance(source, types.ImageContent):
        data = source.data
    elif isinstance(source, types.BlobResourceContents) and (source.mime_type or "").startswith("image/"):
        data = source.blob
    else:
        return _words(block)
    try:
        return Part(image=load_image(base64.b64decode(data), most_pixels))
    except ValueError as error:
        return Part(text=f"[a picture that cannot be shown: {error}]")


def _words(block: types.ContentBlock) -> Part:
    """A block as text: its own, or a note of what it is."""
    source = block.resource if isinstance(block, types.EmbeddedResource) else block
    if isinstance(source, types.TextContent | types.TextResourceContents):
        return Part(text=source.text)
    if isinstance(source, types.ResourceLink):
        return Part(text=f"[a resource: {source.title or source.name}, {source.uri}]")
    return Part(text=f"[data of type {source.mime_type or 'unknown'}, which cannot be shown]")
