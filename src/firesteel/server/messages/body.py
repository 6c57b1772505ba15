"""The body of a message, and what it asks.

Thoughts are shown to those who ask for them: by `thinking`, an effort, or a mode. Others get text first, as clients
that know no thoughts expect, although the model thinks for them too. `disabled` means none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from firesteel.format import Message
from firesteel.server.ask import Ask, Caller
from firesteel.server.errors import invalid
from firesteel.server.messages.blocks import Content, MessageParam, Reader, Text
from firesteel.server.messages.thoughts import Display
from firesteel.server.reading import Extras, Loose, function_tool, mind_of, stops_of, tools_of
from firesteel.server.service import Service

# Types of tools that run on the maker's servers; what follows is a date.
_SERVER_TOOLS = {"code_execution_": "code_interpreter", "web_search_": "web_search", "web_fetch_": "web_search"}


class Tool(Loose):
    type: str | None = None
    name: str = ""
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class ToolChoice(Loose):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(Loose):
    type: Literal["enabled", "adaptive", "between_tools", "disabled"]
    budget_tokens: int | None = Field(None, ge=0)
    display: Literal["summarized", "omitted"] | None = None


class Format(Loose):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Loose):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class Question(Loose):
    """What counting and answering have in common."""

    model: str
    messages: list[MessageParam] = Field(min_length=1)
    system: Content = Field([])
    max_tokens: int | None = Field(None, ge=1)
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thread: dict[str, Any] | None = None
    firesteel: Extras | None = None


class MessagesBody(Question):
    max_tokens: int = Field(ge=1)


async def ask_of(service: Service, caller: Caller, body: Question) -> Ask:
    """What a body asks. Raises ApiError for what cannot be answered."""
    if len(body.messages) > service.settings.messages:
        raise invalid(f"There are more than {service.settings.messages} messages.", "messages")
    if body.thread:  # its clients then go on without
        sentence = "Threads are not kept here: send the whole conversation without one."
        raise invalid(sentence, "thread", "thread_unsupported_request")
    theirs = _theirs(body.tools or ())
    tools = tools_of(service, [_kind(tool) for tool in body.tools or ()], body.firesteel)
    thinking, output = body.thinking, body.output_config or OutputConfig()
    disabled = thinking is not None and thinking.type == "disabled"
    none = disabled or output.effort == "none"  # a strength, which every backend takes; not all can hold a budget
    choice = body.tool_choice
    mind = mind_of(
        service,
        body.model,
        body.firesteel,
        effort="none" if none else output.effort,
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        stop=stops_of(body.stop_sequences, "stop_sequences") or None,
        json_schema=output.format.schema_ if output.format else None,
        tool_choice=_choice(choice, [tool["function"]["name"] for tool in theirs], bool(theirs or tools)),
        parallel_calls=False if choice and choice.disable_parallel_tool_use else None,
        thinking_budget=thinking.budget_tokens if thinking and not none else None,
    )
    system = "\n\n".join(block.text for block in body.system if isinstance(block, Text) and block.text)
    messages = await Reader(service, caller).messages(body.messages)
    return Ask(
        model=body.model,
        messages=(*([Message("system", system)] if system else []), *messages),
        mind=mind,
        theirs=tuple(theirs),
        tools=tools,
        seconds=body.firesteel.seconds if body.firesteel else None,
    )


def display_of(service: Service, body: Question) -> Display:
    """How much of the thoughts the caller wants to see."""
    if body.thinking and body.thinking.type != "disabled":
        return "omitted" if body.thinking.display == "omitted" else "shown"
    mode = service.names.mode(body.model) or (body.firesteel and body.firesteel.mode)
    effort = body.output_config and body.output_config.effort
    return "shown" if not body.thinking and (mode or effort) else "hidden"


def _theirs(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """The schemas of the caller's own tools."""
    theirs = []
    for number, tool in enumerate(tools):
        if tool.type in (None, "custom"):
            if not tool.name:
                raise invalid("A tool needs a name.", f"tools.{number}.name")
            theirs.append(function_tool(tool.name, tool.description, tool.input_schema))
    return theirs


def _kind(tool: Tool) -> str:
    """A tool's type, as `tools_of` knows it."""
    type = tool.type or "custom"
    return next((known for start, known in _SERVER_TOOLS.items() if type.startswith(start)), type)


def _choice(choice: ToolChoice | None, names: Sequence[str], any_tools: bool) -> str | None:
    if choice is None:
        return None
    if choice.type == "tool":
        if choice.name not in names:
            raise invalid(f"There is no tool {choice.name!r} among those of the request.", "tool_choice.name")
        return choice.name
    if choice.type == "any":
        if not any_tools:
            raise invalid("A tool is demanded, but there is none.", "tool_choice")
        return "required"
    return choice.type
