"""What a model can call: a name, a JSON schema, a coroutine. `@tool` makes one from a typed, documented function.

A tool answers with text, a picture (`Part`), or several of both. What goes wrong is told to the model: a handler raises
`ToolError` (or ValueError) with a sentence that says what to do instead; any other exception is a defect and ends the
run. Arguments are checked against the schema before the handler sees them.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import types
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, overload

from firesteel.format import Part

Reply = str | Part | Sequence[str | Part]
Handler = Callable[..., Awaitable[Reply]]

_NAME = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")
_SCALARS: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


class ToolError(Exception):
    """A sentence for the model: what went wrong and what to do instead."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One callable. `parameters` is a JSON schema of type object; `handler` takes its properties by keyword.

    `changes`: it changes something outside the sandbox, so that it needs permission. `parallel_safe`: several agents
    may call it at once. Raises ValueError for a name that the wire format cannot carry.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    handler: Handler
    changes: bool = False
    parallel_safe: bool = True

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a tool: use letters, digits, _ and -, with dots between.")

    @property
    def schema(self) -> dict[str, Any]:
        """As OpenAI's chat completions declare it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}

    async def __call__(self, arguments: Mapping[str, Any]) -> list[Part]:
        """Checks the arguments and runs the handler. Raises ToolError for what the model should hear."""
        checked = check_arguments(self.parameters, arguments)
        try:
            reply = await self.handler(**checked)
        except ValueError as error:
            raise ToolError(str(error)) from error
        return parts_of(reply)


def distinct(tools: list[Tool]) -> list[Tool]:
    """These tools. Raises ValueError where two have one name."""
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"Two tools are called {twice}: give an MCP server another name, or leave it out.")
    return tools


def parts_of(reply: Reply) -> list[Part]:
    """A handler's answer as parts."""
    pieces = [reply] if isinstance(reply, str | Part) else list(reply)
    return [Part(text=piece) if isinstance(piece, str) else piece for piece in pieces]


@overload
def tool(function: Callable[..., Any]) -> Tool: ...
@overload
def tool(
    *, name: str | None = None, changes: bool = False, parallel_safe: bool = True
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    changes: bool = False,
    parallel_safe: bool = True,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """A `Tool` from a function: types make the schema, the docstring the descriptions.

    The docstring's first paragraph describes the tool; lines `name: text` below it describe parameters. A function
    that is no coroutine runs in a thread. Raises ValueError for a function without docstring or types.
    """

    def make(function: Callable[..., Any]) -> Tool:
        text = inspect.getdoc(function)
        if not text:
            raise ValueError(f"{function.__name__} needs a docstring: it is what the model reads.")
        description, _, rest = text.partition("\n\n")
        documented = dict(re.findall(r"^(\w+): (.+)$", rest, re.MULTILINE))
        hints = typing.get_type_hints(function)
        properties, required = {}, []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name not in hints:
                raise ValueError(f"The parameter {parameter.name} of {function.__name__} needs a type.")
            schema = schema_of(hints[parameter.name])
            if parameter.name in documented:
                schema["description"] = documented[parameter.name]
            if parameter.default is inspect.Parameter.empty:
                required.append(parameter.name)
            elif parameter.default is not None:
                schema["default"] = parameter.default
            properties[parameter.name] = schema

        async def in_thread(**arguments: Any) -> Reply:
            return await asyncio.to_thread(lambda: function(**arguments))

        return Tool(
            name=name or function.__name__,
            description=" ".join(description.split()),
            parameters={"type": "object", "properties": properties, "required": required},
            handler=function if inspect.iscoroutinefunction(function) else in_thread,
            changes=changes,
            parallel_safe=parallel_safe,
        )

    return make if function is None else make(function)


def schema_of(hint: Any) -> dict[str, Any]:
    """The JSON schema of a type: scalars, Literal, lists, dictionaries, optional ones, dataclass-free.

    Raises ValueError for a type without one.
    """
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if hint is Any:
        return {}
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {"type": _SCALARS[type(inside[0])], "enum": list(inside)}
    if origin in (Union, types.UnionType):
        choices = [schema_of(choice) for choice in inside if choice is not type(None)]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    if hint in (list, dict) or origin in (list, dict):
        if (origin or hint) is dict:
            return {"type": "object"}
        return {"type": "array"} | ({"items": schema_of(inside[0])} if inside else {})
    raise ValueError(f"The type {hint} has no JSON schema here: use str, int, float, bool, Literal, list or dict.")


def check_arguments(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a handler gets: known ones, converted where nothing is lost. Raises ToolError."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    if unknown := [name for name in arguments if properties and name not in properties]:
        raise ToolError(f"There is no parameter {unknown[0]!r}; there are: {', '.join(properties)}.")
    if missing := [name for name in schema.get("required", ()) if name not in arguments]:
        raise ToolError(f"The parameter {missing[0]!r} is missing.")
    return {name: _checked(properties.get(name, {}), value, name) for name, value in arguments.items()}


def _checked(schema: Mapping[str, Any], value: Any, where: str) -> Any:
    kind = schema.get("type")
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if kind in ("array", "object", "integer", "number", "boolean") and isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ToolError(f"{where} must be a JSON {kind}, got {value!r}.") from error
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "string": isinstance(value, str),
        "integer": number and isinstance(value, int),
        "number": number,
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    if isinstance(kind, str) and not fits.get(kind, True):
        raise ToolError(f"{where} must be of type {kind}, got {value!r}.")
    if "enum" in schema and value not in schema["enum"]:
        raise ToolError(f"{where} must be one of {', '.join(map(str, schema['enum']))}, got {value!r}.")
    if kind == "array" and "items" in schema:
        return [_checked(schema["items"], item, f"{where}[{index}]") for index, item in enumerate(value)]
    return value
