"""What the protocols' bodies have in common, read once: pictures, effort, tools, choices, our own extras.

Every protocol takes a field `firesteel` beside its own: `{"mode", "agents", "rounds", "seconds", "tools"}`;
responses also `thread`, the id of the thread whose turn they are.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from firesteel.agent import Limits
from firesteel.agent.contemplate import Plan
from firesteel.agent.mind import Mind
from firesteel.format import STRENGTHS, Part, load_image
from firesteel.server.ask import Caller
from firesteel.server.errors import ApiError, invalid, not_found
from firesteel.server.service import Service

# Tools of other makers' servers that ours can stand for; unknown ones are left alone.
_KNOWN_TOOLS = {"code_interpreter": "python", "web_search": "web", "web_search_preview": "web"}
_MOST_STOPS, _LONGEST_STOP = 16, 1000  # strings, characters of one: each piece of an answer is searched for all
OURS = "firesteel:"  # a tool's type that asks for one of ours by name


class Loose(BaseModel):
    """A body whose unknown fields are left alone."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Extras(Loose):
    """What the protocols have no words for."""

    mode: Literal["instant", "thinking", "contemplating"] | None = None
    agents: int | None = Field(default=None, ge=1)
    rounds: int | None = Field(default=None, ge=0, le=4)
    seconds: float | None = Field(default=None, gt=0)
    tools: list[str] = []
    thread: str | None = Field(default=None, max_length=128)


def mind_of(
    service: Service,
    model: str,
    extras: Extras | None,
    *,
    effort: str | int | None = None,
    max_tokens: int | None = None,
    n: int = 1,
    **options: Any,
) -> Mind:
    """How to answer. `options` are those of a backend's `Request`; None stands for its default.

    Raises ApiError for an unknown model, a mode that contradicts its name, and for more than the settings allow.
    """
    settings, extras = service.settings, extras or Extras()
    demanded = service.names.mode(model)
    if demanded and extras.mode and demanded != extras.mode:
        raise invalid(f"The model {model} is of the mode {demanded}, not {extras.mode}.", "firesteel.mode")
    mode = demanded or extras.mode or "thinking"
    agents = Plan.agents if extras.agents is None else extras.agents
    if agents > settings.most_agents:
        raise invalid(f"At most {settings.most_agents} agents contemplate here.", "firesteel.agents")
    if n > settings.most_choices:
        raise invalid(f"At most {settings.most_choices} choices are made at once.", "n")
    if n > 1 and mode == "contemplating":
        raise invalid("Contemplating settles on one answer: n must be 1.", "n")
    if max_tokens is not None and max_tokens > settings.most_tokens:
        max_tokens = settings.most_tokens
    given = {name: value for name, value in options.items() if value is not None}
    if "temperature" not in given and mode != "contemplating":
        # A small model answers best greedily, but several answers should differ.
        given["temperature"] = (0.0 if n == 1 else 1.0) if settings.temperature is None else settings.temperature
    if (fault := _fault(given.get("json_schema", {}))) is not None:
        raise invalid(f"The schema of the answer is no JSON schema: look at {fault}.", code="invalid_schema")
    if "logprobs" in given and service.backend.tokenizer is None:
        raise invalid(f"{service.names.name} gives no log-probabilities here.", "logprobs")
    return Mind(
        mode=mode,
        strength=str(strength_of(effort, settings.strength)),
        plan=Plan(agents=agents, rounds=extras.rounds or 0, seconds=extras.seconds),
        limits=Limits(turn_tokens=service.max_tokens if max_tokens is None else max_tokens),
        options=given,
    )


def strength_of(effort: str | int | None, default: str) -> int:
    """The numeric strength of an effort: a word, a number from 0 to 512; "max" is the most there is."""
    effort = default if effort is None else "xhigh" if effort == "max" else effort
    if isinstance(effort, str) and effort in STRENGTHS:
        return STRENGTHS[effort]
    try:
        number = int(effort)
    except ValueError:
        number = -1
    if not 0 <= number <= 512:
        words = ", ".join(STRENGTHS)
        raise invalid(f"The effort {effort!r} is none of {words}, nor a number from 0 to 512.", "reasoning_effort")
    return number


def stops_of(given: str | Sequence[str] | None, param: str = "stop") -> tuple[str, ...]:
    """The strings at which an answer ends. Raises ApiError for too many or too long ones."""
    stops = (given,) if isinstance(given, str) else tuple(given or ())
    if len(stops) > _MOST_STOPS or any(len(stop) > _LONGEST_STOP for stop in stops):
        raise invalid(f"There may be {_MOST_STOPS} stop strings of at most {_LONGEST_STOP:,} characters.", param)
    return stops


def tools_of(service: Service, kinds: Sequence[str], extras: Extras | None) -> tuple[str, ...]:
    """Names of the tools that run here, from the types of tools in a body and our extras, in order and once each.

    Other makers' tools that are not served here are left alone; one asked for by our name raises ApiError 403.
    """
    named = [kind.removeprefix(OURS) for kind in kinds if kind.startswith(OURS)] + (extras.tools if extras else [])
    for name in named:
        if name not in service.settings.tools:
            served = ", ".join(service.settings.tools) or "none"
            raise ApiError(403, f"The tool {name!r} is not served here; there are: {served}.", code="tool_not_served")
    known = [_KNOWN_TOOLS[kind] for kind in kinds if kind in _KNOWN_TOOLS]
    return tuple(dict.fromkeys([*named, *(name for name in known if name in service.settings.tools)]))


def function_tool(name: str, description: str | None, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schema of a caller's tool, in the one form that everything beneath takes.

    Raises ApiError for parameters that are no JSON schema; a keyword that is null (as Go writes empty lists) is none.
    """
    schema = {key: value for key, value in (parameters or {}).items() if value is not None} or {"type": "object"}
    if (fault := _fault(schema)) is not None:
        message = f"The parameters of the tool {name!r} are no JSON schema: look at {fault}."
        raise invalid(message, "tools", "invalid_schema")
    return {"type": "function", "function": {"name": name, "description": description or "", "parameters": schema}}


def _fault(schema: Any, place: str = "", depth: int = 0) -> str | None:
    """The place of a keyword that is read beneath and has not its form, at any level; None for a good schema."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, Mapping) or depth > 100:
        return place
    for key, value in schema.items():
        here = f"{place}.{key}" if place else key
        if key in ("items", "additionalProperties"):
            beneath = [(here, value)]
        elif key in _OBJECTS and isinstance(value, Mapping):
            beneath = [(f"{here}.{name}", each) for name, each in value.items()]
        elif key in _LISTS and isinstance(value, list):
            beneath = [(f"{here}.{number}", each) for number, each in enumerate(value)]
        elif key in _FORMS and not _FORMS[key](value):
            return here
        else:
            continue
        for where, each in beneath:
            if (fault := _fault(each, where, depth + 1)) is not None:
                return fault
    return None


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _number(value: Any) -> bool:
    """Or null, which counts as none; true and false are what `exclusiveMinimum` was in older schemas."""
    return value is None or isinstance(value, int | float)


def _count(value: Any) -> bool:
    return value is None or (type(value) is int and value >= 0)


_OBJECTS, _LISTS = ("properties", "$defs", "definitions"), ("anyOf", "oneOf", "allOf", "prefixItems")  # of schemas
_FORMS: dict[str, Callable[[Any], bool]] = {
    "$ref": lambda value: isinstance(value, str),
    "type": lambda value: isinstance(value, str) or _words(value),
    "required": _words,
    "enum": lambda value: isinstance(value, list),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _count),
    **dict.fromkeys((*_OBJECTS, *_LISTS), lambda value: False),  # which are no object and no list
}


class Pictures:
    """Reads the pictures of one request, within the caps."""

    def __init__(self, service: Service, caller: Caller) -> None:
        self._service, self._caller = service, caller
        self._read = 0
        self.counted = True  # whether those that are read now count against the cap of a request

    async def of_url(self, url: str, param: str) -> Part:
        """From a data URL, or, where the operator allows it, from the web. Raises ApiError."""
        if url.startswith("data:"):
            header, _, data = url.partition(",")
            if not header.endswith(";base64"):
                raise invalid("A data URL must be encoded in base64.", param)
            return await self.of_base64(data, param)
        if not url.startswith(("http://", "https://")):
            raise invalid("A picture is a data: URL (data:image/png;base64,...) or a web address.", param)
        if not self._service.settings.remote_images:
            raise invalid("Pictures are not fetched from the web here: send a data: URL.", param, "remote_images_off")
        return await self.of_bytes(await self._fetched(url, param), param)

    async def of_base64(self, data: str, param: str) -> Part:
        most = self._service.settings.image_bytes
        if len(data) > most * 4 // 3 + 4:
            raise ApiError(413, f"A picture has more than {most:,} bytes.", param=param)
        try:
            return await self.of_bytes(base64.b64decode(data, validate=True), param)
        except (binascii.Error, ValueError) as error:
            raise invalid("The base64 of a picture is damaged.", param) from error

    async def of_file(self, id: str, param: str) -> Part:
        """From an uploaded file."""
        data = await self._service.store.file_data(self._caller.owner, id)
        if data is None:
            raise not_found("file", id)
        return await self.of_bytes(data, param)

    async def of_bytes(self, data: bytes, param: str) -> Part:
        settings = self._service.settings
        self._read += self.counted
        if self._read > settings.images:
            raise invalid(f"There are more than {settings.images} pictures.", param)
        if len(data) > settings.image_bytes:
            raise ApiError(413, f"A picture has more than {settings.image_bytes:,} bytes.", param=param)
        try:
            return Part(image=await asyncio.to_thread(load_image, data, settings.image_pixels))
        except ValueError as error:
            raise invalid(str(error), param, "invalid_image") from error

    async def _fetched(self, url: str, param: str) -> bytes:
        from firesteel.server.remote import fetch_image

        return await fetch_image(url, self._service.settings.image_bytes, param)
