"""What a chat completions server answers, piece by piece, as events.

- Server-sent events are cut at line feeds alone: JSON may hold every other character that ends a line elsewhere. A
  server that does not stream sends one object, which reads like a single chunk.
- Calls are collected by their index; a new id at the same index begins a new call, because some servers (Ollama) number
  all calls 0. They are given out at the end, in order; one that was cut off becomes an error event, never a guess.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from firesteel.backends.base import Delta, TokenLogprob
from firesteel.backends.openai_messages import REASONING
from firesteel.backends.retry import Failed
from firesteel.backends.said import call_event, whole
from firesteel.backends.stops import Stops
from firesteel.format import ParseEvent

_LONGEST = 1 << 24  # bytes of one event
_REASONS = {"stop": "stop", "tool_calls": "stop", "function_call": "stop", "length": "length"}


async def objects(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    """The JSON objects of an answer as they come. Raises Failed for what is none, and for an error among them."""
    streams = "json" not in response.headers.get("content-type", "")
    pending = b""
    async for piece in response.aiter_bytes():
        pending += piece
        if len(pending) > _LONGEST:
            raise Failed("the server sends events without end")
        if streams:
            *lines, pending = pending.split(b"\n")
            for line in lines:
                if (data := _data(line)) is not None:
                    yield _object_of(data)
    data = _data(pending) if streams else pending
    if data is not None:
        yield _object_of(data)


def choices_of(item: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The samples that a piece of an answer tells of, by their index."""
    for choice in map(_object, _list(item.get("choices"))):
        index = choice.get("index", 0)
        yield index if isinstance(index, int) else 0, choice


def models_of(item: Mapping[str, Any]) -> list[str]:
    """The names in a list of models."""
    return [str(model["id"]) for model in map(_object, _list(item.get("data"))) if model.get("id")]


def refusal_of(data: bytes) -> tuple[str, str]:
    """The sentence of a refusal, and the parameter that it names ("" where it names none in a field of its own)."""
    try:
        item = json.loads(data)
    except (ValueError, RecursionError):
        return data.decode("utf-8", "replace"), ""
    error = _object(item).get("error") or _object(item).get("detail") or item
    parameter = _object(error).get("param")
    return _message(error), parameter if isinstance(parameter, str) else ""


def _message(error: Any) -> str:
    return error if isinstance(error, str) else str(_object(error).get("message") or json.dumps(error))


@dataclass(frozen=True)
class Usage:
    """Counts of tokens; 0 where the server does not tell."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def of(cls, said: Any) -> Usage:
        usage = _object(said)
        prompt, completion = (_object(usage.get(f"{kind}_tokens_details")) for kind in ("prompt", "completion"))
        counts = (
            usage.get("prompt_tokens"),
            prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens"),  # the latter: DeepSeek
            usage.get("completion_tokens"),
            completion.get("reasoning_tokens") or usage.get("reasoning_tokens"),
        )
        return cls(*(count if isinstance(count, int) else 0 for count in counts))


class Choice:
    """One sample on its way."""

    def __init__(self, index: int, stop: Sequence[str]) -> None:
        self.index = index
        self.begun = False
        self.finish_reason: str | None = None  # as the server says, or "stop" at a stop string
        self.reasoning_field = ""  # where its thoughts came
        self._stops = Stops(stop)
        self._calls: list[_Call] = []

    @property
    def stopped(self) -> bool:
        """Whether it came to a stop string."""
        return self._stops.found

    def feed(self, choice: Mapping[str, Any]) -> Delta | None:
        """What a chunk adds; None where there is nothing to tell."""
        self.begun = True
        if self.stopped:
            return None
        said = _object(choice.get("delta") or choice.get("message"))
        events = list(self._texts(said))
        for call in _list(said.get("tool_calls")):
            self._collect(_object(call))
        if self.stopped:
            self.finish_reason = "stop"
        elif isinstance(reason := choice.get("finish_reason"), str):
            self.finish_reason = reason
        logprobs = tuple(map(_logprob, _list(_object(choice.get("logprobs")).get("content"))))
        return Delta(index=self.index, events=tuple(events), logprobs=logprobs) if events or logprobs else None

    def end(self, usage: Usage, names: Mapping[str, str], failure: str = "") -> Delta:
        """The last delta. `names` leads from the tools' names that were sent to the real ones.

        `failure`: why there is no more, where the server did not get to the end of all samples.
        """
        held = self._stops.rest()
        events = [ParseEvent("content", held)] if held else []
        reason = _REASONS.get(self.finish_reason or "", "error")
        if reason == "error":
            why = failure or f"its end has the reason {self.finish_reason or 'none'}"
            events.append(ParseEvent("error", f"The answer broke off: {why}."))
        elif not self.stopped:
            for call in self._calls:
                cut = reason == "length" and call is self._calls[-1]
                events.append(call.event(names, cut))
        return Delta(
            index=self.index,
            events=tuple(events),
            finish_reason=reason,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            stop_string=self._stops.word,
        )

    def _texts(self, said: Mapping[str, Any]) -> Iterator[ParseEvent]:
        for name in REASONING:
            if isinstance(thought := said.get(name), str) and thought:
                self.reasoning_field = name
                yield ParseEvent("reasoning", whole(thought))
                break  # some servers send it under both names
        content = said.get("content") or said.get("refusal") or ""
        if not isinstance(content, str):
            raise Failed("the server sent content that is no text")
        if text := self._stops.feed(whole(content)):
            yield ParseEvent("content", text)

    def _collect(self, piece: Mapping[str, Any]) -> None:
        function = _object(piece.get("function"))
        index, id, name = piece.get("index"), piece.get("id") or "", function.get("name") or ""
        call = next((call for call in reversed(self._calls) if index is None or call.index == index), None)
        if call is None or (id and call.id and id != call.id) or (index is None and name):
            call = _Call(index)
            self._calls.append(call)
        call.id, call.name = call.id or str(id), call.name or str(name)
        arguments = function.get("arguments")
        call.arguments += arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""


@dataclass
class _Call:
    """A call as far as it has come."""

    index: Any
    id: str = ""
    name: str = ""
    arguments: str = ""

    def event(self, names: Mapping[str, str], cut: bool) -> ParseEvent:
        """The call, or what is wrong with it. `cut`: the answer ended here for want of tokens."""
        if cut and not self.arguments:
            return ParseEvent("error", f"The call to {self.name!r} is cut off before its arguments.")
        return call_event(names.get(self.name, self.name), self.arguments, self.id)


def _data(line: bytes) -> bytes | None:
    """What an event line carries; None for comments, other fields, blank lines and the mark of the end."""
    if not line.startswith(b"data:"):
        return None
    data = line[5:].strip()
    return None if data in (b"", b"[DONE]") else data


def _object_of(data: bytes) -> dict[str, Any]:
    try:
        item = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Failed("the server sent something that is no JSON") from error
    if not isinstance(item, dict):
        raise Failed("the server sent something that is no JSON object")
    if item.get("error"):
        raise Failed(f"the server said: {_message(item['error'])}")
    return item


def _logprob(token: Any) -> TokenLogprob:
    """Alternatives count only with their ids, which llama.cpp tells and most others do not."""
    top = [item for item in map(_object, _list(_object(token).get("top_logprobs"))) if isinstance(item.get("id"), int)]
    return TokenLogprob(logprob=_number(token), top=tuple((item["id"], _number(item)) for item in top))


def _number(token: Any) -> float:
    value = _object(token).get("logprob")
    return float(value) if isinstance(value, int | float) else float("-inf")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
