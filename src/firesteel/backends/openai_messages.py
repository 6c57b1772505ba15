"""A `Request` as a chat completion, in the dialect that its server takes.

A `Dialect` begins with everything and loses what the server refuses by name; what was lost is remembered and logged,
never dropped in silence. Nothing that decides what an answer means is given up: messages, tools, the choice of a tool
and the schema of the answer stay, or the request fails.

- Only the first message is the system's; what system and developer say later comes as the user's, because many chat
  templates take no other (Mistral's, Gemma's).
- Ids of calls are numbered anew, as nine letters and digits (the only form that Mistral's API takes).
- Pictures in tool results stand there as parts. Most servers refuse that; then they follow in a user message, each
  between tags that say which result it belongs to.
- Thoughts go back only under the name under which the server itself sent some.
- Stop strings are not sent: they hold for the answer only, and servers also find them in thoughts.
- top_p is left out where it is 1, because some servers refuse it beside a temperature.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from PIL.Image import Image

from firesteel.backends.base import Request
from firesteel.format import STRENGTHS, Message, Part

REASONING = ("reasoning", "reasoning_content")  # vLLM, Ollama, Groq; DeepSeek, SGLang, llama.cpp

_WORDS = tuple(STRENGTHS)
# What an answer survives without. `max_tokens` becomes `max_completion_tokens`; without `n`, requests go one by one.
_OPTIONAL = (
    "reasoning_effort",
    "stream_options",
    "max_tokens",
    "temperature",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "logprobs",
    "top_p",
    "top_k",
    "seed",
    "n",
)
_UNKNOWN = re.compile(
    r"unknown|unrecogni[sz]ed|unsupported|unexpected|forbidden|(?:not|n't) (?:be |currently )?(?:support|permit|allow|"
    r"accept|recogni[sz]e|implement)",
    re.IGNORECASE,
)
_CHOICES = re.compile(r"['\"`]n['\"`]|\bn_cmpl\b|completion choice", re.IGNORECASE)  # how n is named
_TOOL_NAME = re.compile(r"tool(s|_calls)?\W.*name.*pattern|pattern.*tool(s|_calls)?\W.*name", re.IGNORECASE | re.DOTALL)


class Refused(Exception):
    """A server's refusal: the HTTP status, its sentence, and the parameter that it names, if it does."""

    def __init__(self, status: int, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.parameter = parameter


@dataclass(frozen=True)
class Dialect:
    """What a server takes, as far as is known."""

    without: frozenset[str] = frozenset()  # parameters, and names of thoughts
    efforts: tuple[str, ...] = _WORDS  # words of reasoning_effort
    framed: bool = False  # pictures of tool results go into a user message
    plain_names: bool = False  # names of tools may hold no dots
    reasoning: str = ""  # the name of thoughts, one of REASONING; "": they are not sent


def body(request: Request, dialect: Dialect, n: int, seed: int | None) -> dict[str, Any]:
    """What is asked, but for the model's name. Encodes pictures, so call it in a thread where there are some.

    Raises ValueError for a conversation that chat completions cannot say.
    """
    wanted: dict[str, Any] = {
        "messages": messages(request.messages, dialect),
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
    }
    if dialect.efforts:
        wanted["reasoning_effort"] = effort(request.strength, dialect.efforts)
    if request.top_p != 1:
        wanted["top_p"] = request.top_p
    if request.top_k:
        wanted["top_k"] = request.top_k
    if request.presence_penalty:
        wanted["presence_penalty"] = request.presence_penalty
    if request.frequency_penalty:
        wanted["frequency_penalty"] = request.frequency_penalty
    if request.logit_bias:
        wanted["logit_bias"] = {str(id): bias for id, bias in request.logit_bias.items()}
    if seed is not None:
        wanted["seed"] = seed
    if n > 1:
        wanted["n"] = n
    if request.logprobs is not None and "logprobs" not in dialect.without:
        wanted |= {"logprobs": True} | ({"top_logprobs": request.logprobs} if request.logprobs else {})
    if request.json_schema is not None:
        schema = {"name": "answer", "schema": request.json_schema, "strict": True}
        wanted["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.tools and request.tool_choice != "none":
        names = {real: sent for sent, real in tool_names(request.tools, dialect).items()}
        wanted["tools"] = [_tool(tool, names) for tool in request.tools]
        if request.tool_choice == "required":
            wanted["tool_choice"] = "required"
        elif request.tool_choice != "auto":
            function = {"name": names.get(request.tool_choice, request.tool_choice)}
            wanted["tool_choice"] = {"type": "function", "function": function}
    kept = {name: value for name, value in wanted.items() if name not in dialect.without}
    if "max_tokens" in dialect.without:
        kept["max_completion_tokens"] = request.max_tokens
    return kept


def adapted(dialect: Dialect, refused: Refused, body: Mapping[str, Any]) -> Dialect | None:
    """The dialect in which to ask again, or None where the refusal is about something else."""
    text = str(refused)
    if refused.status not in (400, 422):
        return None
    if _TOOL_NAME.search(f"{refused.parameter} {text}") and not dialect.plain_names:
        return replace(dialect, plain_names=True)
    name = _named(refused, [name for name in _OPTIONAL if name in body])
    if name == "reasoning_effort":
        word = body[name]
        if _UNKNOWN.search(text) and not re.search(rf"\b{word}\b", text):
            return replace(dialect, efforts=())
        return replace(dialect, efforts=tuple(w for w in dialect.efforts if w != word))
    if name and (_UNKNOWN.search(text) or name == "n"):
        return replace(dialect, without=dialect.without | {name})
    if dialect.reasoning and _named(refused, [dialect.reasoning]):
        return replace(dialect, reasoning="", without=dialect.without | {dialect.reasoning})
    if not dialect.framed and any(m["role"] == "tool" and isinstance(m["content"], list) for m in body["messages"]):
        return replace(dialect, framed=True)
    return None


def effort(strength: int, words: Sequence[str] = _WORDS) -> str:
    """The weakest word that reaches a strength, or what is nearest in rank of the words that the server takes."""
    wanted = next(i for i, word in enumerate(_WORDS) if STRENGTHS[word] >= strength)
    return min(words, key=lambda word: (abs(_WORDS.index(word) - wanted), _WORDS.index(word)))


def tool_names(tools: Sequence[Mapping[str, Any]], dialect: Dialect) -> dict[str, str]:
    """From the names that are sent to the real ones. Raises ValueError where two become one."""
    real = [_function(tool)["name"] for tool in tools]
    names = {_name(name, dialect): name for name in real}
    if len(names) < len(set(real)):
        raise ValueError("Two tools have names that differ only in dots and underscores, which this server mixes up.")
    return names


def messages(
    conversation: Sequence[Message], dialect: Dialect, picture: Callable[[Image], dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """The messages of a chat completion; `picture` makes the part of a picture (default: a data URL).

    Raises ValueError for a result without its call and for misplaced pictures.
    """
    picture = picture or _data_url
    sent: list[dict[str, Any]] = []
    calls = 0
    waiting: list[_Call] = []  # for their results
    pictures: list[dict[str, Any]] = []  # framed, until the results of a turn are complete
    for message in conversation:
        if message.images and message.role not in ("user", "tool"):
            raise ValueError(f"A {message.role} message cannot hold a picture; put it into a user message.")
        if message.role != "tool" and pictures:
            sent.append({"role": "user", "content": pictures})
            pictures = []
        if message.role == "assistant":
            waiting = [_Call(f"call{calls + i:05d}", call.id, call.name) for i, call in enumerate(message.tool_calls)]
            calls += len(waiting)
            sent.append(_assistant(message, [call.sent_id for call in waiting], dialect))
        elif message.role == "tool":
            call = _answered(message, waiting)
            waiting.remove(call)
            if dialect.framed and message.images:
                content: Any = _without_pictures(message)
                pictures += _frames(message, call, picture)
            else:
                content = _content(message.parts, picture)
            sent.append({"role": "tool", "tool_call_id": call.sent_id, "content": content})
        else:
            role = "user" if sent or message.role == "user" else "system"
            sent.append({"role": role, "content": _content(message.parts, picture)})
    if pictures:
        sent.append({"role": "user", "content": pictures})
    return sent


class _Call(NamedTuple):
    sent_id: str
    id: str  # in the trace
    name: str


def _assistant(message: Message, ids: Sequence[str], dialect: Dialect) -> dict[str, Any]:
    said = "\n\n".join(text for text in (message.commentary, message.text) if text)
    sent: dict[str, Any] = {"role": "assistant", "content": said}
    if message.reasoning and dialect.reasoning:
        sent[dialect.reasoning] = message.reasoning
    if message.tool_calls:
        sent["tool_calls"] = [
            {
                "id": id,
                "type": "function",
                "function": {
                    "name": _name(call.name, dialect),
                    "arguments": json.dumps(call.arguments, ensure_ascii=False),
                },
            }
            for id, call in zip(ids, message.tool_calls, strict=True)
        ]
    return sent


def _answered(message: Message, waiting: Sequence[_Call]) -> _Call:
    """The call that a result answers: by its id, or the first of that name."""
    for call in waiting:
        if call.id and call.id == message.tool_call_id:
            return call
    for call in waiting:
        if call.name == message.name:
            return call
    raise ValueError(f"A result of the tool {message.name or message.tool_call_id!r} stands without its call.")


def _content(parts: Sequence[Part], picture: Callable[[Image], dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Plain text where there is only that, which every server takes."""
    if all(part.image is None for part in parts):
        return "".join(part.text for part in parts)
    return [picture(part.image) if part.image else {"type": "text", "text": part.text} for part in parts]


def _data_url(image: Image) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _without_pictures(message: Message) -> str:
    number, text = 0, ""
    for part in message.parts:
        number += part.image is not None
        text += part.text if part.image is None else f"[picture {number} of this result follows below]"
    return text


def _frames(message: Message, call: _Call, picture: Callable[[Image], dict[str, Any]]) -> list[dict[str, Any]]:
    frames = []
    for number, image in enumerate(message.images, start=1):
        opening = f'<tool_output name="{call.name}" tool_call_id="{call.sent_id}" picture="{number}">'
        frames += [{"type": "text", "text": opening}, picture(image), {"type": "text", "text": "</tool_output>"}]
    return frames


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    return tool.get("function", tool)


def _tool(tool: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    function = _function(tool)
    return {"type": "function", "function": {**function, "name": names[function["name"]]}}


def _name(name: str, dialect: Dialect) -> str:
    return name.replace(".", "__") if dialect.plain_names else name


def _named(refused: Refused, names: Sequence[str]) -> str:
    """Which of the parameters a refusal is about: by its field, or the first that its sentence names."""
    fields = re.split(r"\W+", refused.parameter)
    found = {}
    for name in names:
        if name in fields:
            return name
        if at := re.search(_CHOICES if name == "n" else rf"(?<!\w){name}(?!\w)", str(refused)):
            found[name] = at.start()
    return min(found, key=lambda name: found[name]) if found else ""
