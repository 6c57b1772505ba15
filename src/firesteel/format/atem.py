"""The body of a tool call, both ways.

    <atem:function_calls>
    <atem:invoke name="NAME">
    <atem:parameter name="KEY">VALUE</atem:parameter>
    </atem:invoke>
    </atem:function_calls>

It looks like XML and is not: strings stand raw, so a value may hold anything, these tags included. Reading is therefore
positional: a value ends at a closing tag only where the structure goes on behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from firesteel.format.trace import ToolCall

_INVOKE = re.compile(r'<atem:invoke\s+name="([^"\n]+)"\s*>')
_PARAMETER = re.compile(r'<atem:parameter\s+name="([^"\n]+)"[^>\n]*>')
_INVOKE_END = "</atem:invoke>"
_PARAMETER_TAG = re.compile(r'<atem:parameter\s+name="[^"\n]+"[^>\n]*>|</atem:parameter>')
_BETWEEN = re.compile(r"(?:\s|</?atem:function_calls>)*")

# What must stand behind `</atem:parameter>` for it to end a value; each reading forgives more than the one before.
_NEXT = r'<atem:parameter\s+name="[^"\n]+"[^>\n]*>'
_AFTER_INVOKE = r'\s*(?:</atem:function_calls>\s*)?(?:\Z|<atem:function_calls>|<atem:invoke\s+name=")'
_STRICT = re.compile(rf"\s*\n(?:{_NEXT}|</atem:invoke>{_AFTER_INVOKE})")
_BRIEF = re.compile(rf"\s*\n(?:{_NEXT}|</atem:invoke>)")
_LOOSE = re.compile(rf"\s*(?:{_NEXT}|</atem:invoke>)")
# What a value may not hold where the reading alone cannot tell it from a call that was cut off.
_NOTHING = re.compile(r"(?!)")
_A_CALL = re.compile(rf'<atem:invoke\s+name="[^"\n]+"\s*>\s*{_NEXT}')
_ANY_TAG = re.compile("<atem:")
# (what follows a value, must tags opened inside it close inside it, what it may not hold, must the body end there)
_READINGS = (
    (_STRICT, True, _NOTHING, True),
    (_STRICT, False, _A_CALL, True),
    (_BRIEF, False, _ANY_TAG, False),
    (_LOOSE, False, _ANY_TAG, False),
)

NAME = re.compile(r'[^\s<>"]+')  # of a tool, as the grammar can carry it
RawCall = tuple[str, list[tuple[str, str]]]


def write_call(name: str, arguments: Mapping[str, Any]) -> str:
    """The body of the message that calls `name`.

    Raises ValueError for arguments that cannot be written so that they read back the same.
    """
    values = [(key, write_value(value)) for key, value in arguments.items()]
    lines = "".join(f'<atem:parameter name="{key}">{value}</atem:parameter>\n' for key, value in values)
    body = f'<atem:function_calls>\n<atem:invoke name="{name}">\n{lines}</atem:invoke>\n</atem:function_calls>'
    if read_calls(body) != ([(name, values)], []):
        raise ValueError(f"The arguments of the call to {name!r} hold tags that the call format cannot carry.")
    return body


def write_value(value: Any) -> str:
    """Strings raw, everything else as JSON. Raises ValueError for what JSON cannot say."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"An argument cannot be written as JSON: {error}.") from error


def read_calls(body: str) -> tuple[list[RawCall], list[str]]:
    """All invocations in `body`, in order, values still raw; and what is wrong, one sentence each."""
    first = None
    for reading in _READINGS:
        calls, errors = _read(body, *reading)
        if not errors:
            return calls, errors
        first = first or (calls, errors)
    assert first is not None
    return first


def _read(
    body: str, closer: re.Pattern[str], nested: bool, forbidden: re.Pattern[str], whole: bool
) -> tuple[list[RawCall], list[str]]:
    calls: list[RawCall] = []
    position = 0
    while invoke := _INVOKE.search(body, position):
        name, values = invoke[1], []
        position = _skip_space(body, invoke.end())
        while parameter := _PARAMETER.match(body, position):
            end = _value_end(body, parameter.end(), closer, nested)
            if end is None:
                return calls, [f"The call to {name!r} is cut off inside the parameter {parameter[1]!r}."]
            value = body[parameter.end() : end]
            if forbidden.search(value):
                return calls, [f"The call to {name!r} cannot be told from a call inside its values."]
            values.append((parameter[1], value))
            position = _skip_space(body, end + len("</atem:parameter>"))
        if not body.startswith(_INVOKE_END, position):
            return calls, [f"The call to {name!r} is cut off: no {_INVOKE_END}."]
        position += len(_INVOKE_END)
        calls.append((name, values))
    if not calls:
        return calls, ["A message to a tool holds no call."]
    if whole and _BETWEEN.fullmatch(body, position) is None:
        return calls, ["Text follows the call."]
    return calls, []


def _value_end(body: str, start: int, closer: re.Pattern[str], nested: bool) -> int | None:
    """Where the value that begins at `start` ends, or None if it never does."""
    depth = 0
    for tag in _PARAMETER_TAG.finditer(body, start):
        if not tag[0].startswith("</"):
            depth += nested
        elif depth:
            depth -= 1
        elif closer.match(body, tag.end()):
            return tag.start()
    return None


def _skip_space(body: str, position: int) -> int:
    while position < len(body) and body[position].isspace():
        position += 1
    return position


def function_of(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `{"name", "description", "parameters"}` of a tool, OpenAI-style or bare. Raises ValueError without a name."""
    function = tool.get("function", tool)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError('A tool must be {"type": "function", "function": {"name", "description", "parameters"}}.')
    return function


def typed_call(raw: RawCall, tools: Sequence[Mapping[str, Any]] | None) -> ToolCall:
    """A call as it was meant: the tool's schema decides which values stay strings.

    A doubled name (`f.f`, a known defect of Muse models) becomes single only if that is what the tools say.
    """
    name, values = raw
    schemas = {function["name"]: function.get("parameters") or {} for function in map(function_of, tools or ())}
    half, middle = name[: len(name) // 2], name[len(name) // 2 :]
    if name not in schemas and half in schemas and middle == f".{half}":
        name = half
    schema = schemas.get(name, {})
    properties = schema.get("properties") or {}
    return ToolCall(name, {key: read_value(value, properties.get(key), schema) for key, value in values})


def read_value(text: str, schema: Any, root: Mapping[str, Any]) -> Any:
    """A raw value by its JSON schema: strings as they stand, everything else as JSON if it is JSON.

    Python's True, False and None count. Without a schema only what is no string in JSON is converted.
    """
    types = set(_types(schema, root, 0))
    if "string" in types:
        return None if "null" in types and text.strip() in ("null", "None") else text
    word = text.strip()
    if word in _PYTHON_WORDS:
        return _PYTHON_WORDS[word]
    try:
        value = json.loads(word, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str) else value


_PYTHON_WORDS = {"True": True, "False": False, "None": None}


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _types(schema: Any, root: Mapping[str, Any], depth: int) -> Iterator[str]:
    """The type names that a schema allows, through local references, unions and enumerations."""
    if not isinstance(schema, Mapping) or depth > 8:
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        target: Any = root
        for key in reference[2:].split("/"):
            target = target.get(key) if isinstance(target, Mapping) else None
        yield from _types(target, root, depth + 1)
    declared = schema.get("type")
    yield from [declared] if isinstance(declared, str) else declared or ()
    for union in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(union) or ():
            yield from _types(option, root, depth + 1)
    if declared is None:
        choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
        yield from ({str: "string", type(None): "null"}.get(type(choice), "other") for choice in choices)
