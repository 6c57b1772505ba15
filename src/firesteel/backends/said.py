"""What a model said whose words are no Muse grammar, as the events that a `StreamParser` would give.

Such text and such calls go into traces and from there into prompts and files, so each is checked once, here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from firesteel.format import ParseEvent, ToolCall
from firesteel.format.chat import check_name


def call_event(name: str, arguments: str | Mapping[str, Any], id: str = "") -> ParseEvent:
    """The call, or an error event: for arguments that are no whole JSON object and for what no trace can carry."""
    try:
        call = ToolCall.of({"id": id, "function": {"name": check_name(name, "tool call"), "arguments": arguments}})
        json.dumps([id, name, call.arguments], ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        return ParseEvent("error", whole(str(error)))
    return ParseEvent("tool_call", call=call)


def whole(text: str) -> str:
    """The text without lone halves of surrogate pairs, which no file can hold: each becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
