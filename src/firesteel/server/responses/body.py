"""The body of a response: what is asked, how, and with which tools.

Sources: the Open Responses specification 2026-04-24 and OpenAI's Responses API, whose fields are a superset.

- A function in a namespace is shown to the model as `NAMESPACE.FUNCTION`; a call to it names both parts again.
- `allowed_tools` leaves only those tools in the prompt. Choices that name a hosted tool mean "auto".
- `max_output_tokens` counts all turns of a response; in contemplating mode, each turn of each agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from firesteel.agent.mind import Mind
from firesteel.server.ask import Caller
from firesteel.server.errors import invalid, not_found
from firesteel.server.http import checked
from firesteel.server.reading import Extras, Loose, function_tool, mind_of, tools_of
from firesteel.server.service import Service

Short = Annotated[str, Field(max_length=64)]
Metadata = Annotated[dict[Short, Annotated[str, Field(max_length=512)]], Field(max_length=16)]
LOGPROBS, SEALED = "message.output_text.logprobs", "reasoning.encrypted_content"  # values of `include`


def _items(given: Any) -> Any:
    if given is None:
        return []
    return [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given


def _conversation(given: Any) -> Any:
    return given.get("id") if isinstance(given, Mapping) else given


Items = Annotated[list[dict[str, Any]], BeforeValidator(_items)]


class FunctionTool(Loose):
    name: str = Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_.-]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Namespace(Loose):
    name: str = Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_-]+$")
    tools: list[dict[str, Any]] = Field(default_factory=list)


class Format(Loose):
    type: Literal["text", "json_object", "json_schema"]
    name: str = "answer"
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class Text(Loose):
    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Loose):
    effort: str | int | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseBody(Loose):
    model: str
    input: Items = Field(default_factory=list)
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Annotated[str | None, BeforeValidator(_conversation)] = None
    include: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = Field(None, ge=1)
    text: Text | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | None = Field(None, ge=16)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = None
    user: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    prompt_cache_key: Short | None = None
    safety_identifier: Short | None = None
    firesteel: Extras | None = None

    @property
    def stored(self) -> bool:
        return self.store is not False

    def includes(self, what: str) -> bool:
        return what in (self.include or ())


@dataclass(frozen=True)
class Tools:
    """`theirs` are the schemas of the caller's functions by the names that the model sees, `names` what the caller
    calls them: (namespace or "", name). `here` run here, with `files` at hand (ids by name). `told` repeats the body.
    """

    theirs: Mapping[str, dict[str, Any]]
    names: Mapping[str, tuple[str, str]]
    here: tuple[str, ...]
    files: Mapping[str, str]
    told: list[dict[str, Any]]


async def tools_of_body(service: Service, caller: Caller, body: ResponseBody) -> Tools:
    """Raises ApiError for functions that cannot be read, and for what is asked by our name and not served."""
    theirs: dict[str, dict[str, Any]] = {}
    names: dict[str, tuple[str, str]] = {}
    told: list[dict[str, Any]] = []
    kinds: list[str] = []
    files: dict[str, str] = {}

    def take(given: Mapping[str, Any], where: str, namespace: str = "") -> FunctionTool:
        function = checked(FunctionTool, given, where)
        name = f"{namespace}.{function.name}" if namespace else function.name
        theirs[name] = function_tool(name, function.description, function.parameters)
        names[name] = (namespace, function.name)
        return function

    for number, tool in enumerate(body.tools or ()):
        where, kind = f"tools.{number}", tool.get("type")
        if not isinstance(kind, str):
            raise invalid("A tool needs a type.", f"{where}.type", "invalid_value")
        if kind == "function":
            told.append({"type": "function"} | take(tool, where).model_dump())
            continue
        told.append(tool)
        kinds.append(kind)
        if kind == "namespace":
            space = checked(Namespace, tool, where)
            for inner, function in enumerate(space.tools):
                if function.get("type") == "function":
                    take(function, f"{where}.tools.{inner}", space.name)
        elif kind == "code_interpreter":
            files |= await _files(service, caller, tool.get("container"), f"{where}.container.file_ids")
    return Tools(theirs, names, tools_of(service, kinds, body.firesteel), files, told)


def chosen(choice: Any, tools: Tools) -> tuple[str | None, dict[str, dict[str, Any]]]:
    """How the model must choose, and between which of the caller's functions. Raises ApiError."""
    theirs = dict(tools.theirs)
    if choice is None or (isinstance(choice, str) and choice in ("none", "auto", "required")):
        return choice, theirs
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "function":
        return _named(choice, tools), theirs
    if kind == "allowed_tools":
        mode, allowed = choice.get("mode", "auto"), choice.get("tools")
        if mode not in ("none", "auto", "required") or not isinstance(allowed, list):
            raise invalid("allowed_tools needs a mode and a list of tools.", "tool_choice", "invalid_value")
        names = {_named(tool, tools) for tool in allowed if isinstance(tool, dict) and tool.get("type") == "function"}
        return mode, {name: schema for name, schema in theirs.items() if name in names}
    if not isinstance(kind, str):
        raise invalid("A tool_choice is none, auto, required or an object.", "tool_choice", "invalid_value")
    return "auto", theirs


def mind_of_body(service: Service, body: ResponseBody, choice: str | None, tools: Tools) -> Mind:
    """How to answer. Raises ApiError."""
    mind = mind_of(
        service,
        body.model,
        body.firesteel,
        effort=body.reasoning.effort if body.reasoning else None,
        max_tokens=body.max_output_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logprobs=(body.top_logprobs or 0) if body.top_logprobs or body.includes(LOGPROBS) else None,
        json_schema=_schema(body.text),
        tool_choice=choice,
        parallel_calls=body.parallel_tool_calls,
    )
    limits = mind.limits
    if body.max_tool_calls is not None:
        limits = replace(limits, calls=body.max_tool_calls)
    if tools.here and body.max_output_tokens and mind.mode != "contemplating":
        limits = replace(limits, tokens=limits.turn_tokens)
    return replace(mind, limits=limits)


def _schema(text: Text | None) -> dict[str, Any] | None:
    format = text.format if text else None
    if format is None or format.type == "text":
        return None
    if format.type == "json_object":
        return {"type": "object"}
    if format.schema_ is None:
        raise invalid("A format of the type json_schema needs a schema.", "text.format.schema")
    return format.schema_


def _named(choice: Mapping[str, Any], tools: Tools) -> str:
    name, namespace = choice.get("name"), choice.get("namespace")
    full = f"{namespace}.{name}" if namespace else name
    if not isinstance(full, str) or full not in tools.theirs:
        raise invalid(f"The tool_choice names {name!r}, which is no function among the tools.", "tool_choice")
    return full


async def _files(service: Service, caller: Caller, container: Any, where: str) -> dict[str, str]:
    """The uploaded files that a code interpreter is given, their ids by their names."""
    files: dict[str, str] = {}
    ids = container.get("file_ids") or [] if isinstance(container, dict) else []
    if not isinstance(ids, list):
        raise invalid("file_ids is a list of the ids of files.", where, "invalid_value")
    for id in ids:
        file = await service.store.get_file(caller.owner, id) if isinstance(id, str) else None
        if file is None:
            raise not_found("file", str(id))
        files[file.name] = file.id
    return files
