"""The body of a chat completion, and what it asks.

Thoughts of earlier turns are read under both names that are in use. A message's pictures stand in its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from firesteel.format import Message, Part, ToolCall
from firesteel.server.ask import Ask, Caller
from firesteel.server.errors import invalid
from firesteel.server.reading import Extras, Loose, Pictures, function_tool, mind_of, stops_of, tools_of
from firesteel.server.service import Service


class ImageUrl(Loose):
    url: str


class ContentPart(Loose):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None
    file: dict[str, Any] | None = None


class CalledFunction(Loose):
    name: str
    arguments: str = ""


class Call(Loose):
    id: str = ""
    function: CalledFunction | None = None


class ChatMessage(Loose):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class Function(Loose):
    name: str = Field(min_length=1, max_length=256)
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Loose):
    type: str
    function: Function | None = None


class NamedFunction(Loose):
    name: str


class NamedChoice(Loose):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Loose):
    name: str = "answer"
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class ResponseFormat(Loose):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Loose):
    include_usage: bool | None = None


class ChatBody(Loose):
    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    n: int | None = Field(None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[int, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    reasoning_effort: str | int | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    thinking_budget: int | None = Field(None, ge=0)
    firesteel: Extras | None = None


async def ask_of(service: Service, caller: Caller, body: ChatBody) -> Ask:
    """What a body asks. Raises ApiError for what cannot be answered."""
    if len(body.messages) > service.settings.messages:
        raise invalid(f"There are more than {service.settings.messages} messages.", "messages")
    functions = [tool.function for tool in body.tools or () if tool.type == "function" and tool.function]
    n = body.n or 1
    if body.logit_bias and not all(-100 <= bias <= 100 for bias in body.logit_bias.values()):
        raise invalid("A bias is a number from -100 to 100.", "logit_bias")
    mind = mind_of(
        service,
        body.model,
        body.firesteel,
        effort=body.reasoning_effort,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        n=n,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        seed=body.seed,
        stop=stops_of(body.stop) or None,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=body.logit_bias,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        json_schema=schema_of(body.response_format),
        tool_choice=choice_of(body.tool_choice),
        parallel_calls=body.parallel_tool_calls,
        thinking_budget=body.thinking_budget,
    )
    return Ask(
        model=body.model,
        messages=tuple(await messages_of(body.messages, Pictures(service, caller))),
        mind=mind,
        theirs=tuple(function_tool(f.name, f.description, f.parameters) for f in functions),
        tools=tools_of(service, [tool.type for tool in body.tools or ()], body.firesteel),
        n=n,
        seconds=body.firesteel.seconds if body.firesteel else None,
    )


def schema_of(format: ResponseFormat | None) -> dict[str, Any] | None:
    if format is None or format.type == "text":
        return None
    if format.type == "json_object":
        return {"type": "object"}
    if format.json_schema is None or format.json_schema.schema_ is None:
        raise invalid("A response_format of the type json_schema needs a schema.", "response_format.json_schema.schema")
    return format.json_schema.schema_


def choice_of(choice: str | NamedChoice | None) -> str | None:
    return choice.function.name if isinstance(choice, NamedChoice) else choice


async def messages_of(given: Sequence[ChatMessage], pictures: Pictures) -> list[Message]:
    """The conversation. Raises ApiError for pictures that cannot be read and for calls without JSON."""
    messages = []
    for number, message in enumerate(given):
        where = f"messages.{number}"
        try:
            messages.append(
                Message(
                    message.role,
                    await _parts(message.content, pictures, f"{where}.content"),
                    reasoning=message.reasoning or message.reasoning_content or "",
                    tool_calls=[
                        ToolCall.of({"id": call.id, "function": call.function.model_dump()})
                        for call in message.tool_calls or ()
                        if call.function
                    ],
                    name=message.name if message.role == "tool" and message.name else "",
                    tool_call_id=message.tool_call_id or "",
                )
            )
        except ValueError as error:
            raise invalid(str(error), where) from error
    return messages


async def _parts(content: str | list[ContentPart] | None, pictures: Pictures, where: str) -> str | list[Part]:
    if content is None or isinstance(content, str):
        return content or ""
    parts = []
    for number, part in enumerate(content):
        param = f"{where}.{number}"
        if part.type in ("text", "refusal"):
            parts.append(Part(text=part.text or part.refusal or ""))
        elif part.type == "image_url" and part.image_url:
            url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
            parts.append(await pictures.of_url(url, param))
        elif part.type == "file" and part.file and isinstance(part.file.get("file_id"), str):
            parts.append(await pictures.of_file(part.file["file_id"], param))
        else:
            raise invalid(f"A content part of the type {part.type!r} is not understood here.", param)
    return parts
