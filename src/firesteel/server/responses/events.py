"""What happens in a run, as the streaming events of a response and the items of its output.

- Thoughts are told as summaries, or, in the raw dialects, as text: `response.reasoning_text.*` is OpenAI's name,
  `response.reasoning.*` that of Open Responses 2026-04-24.
- `phase` follows from the recipient: `to=commentary` is commentary, `to=user` the final answer.
- A call to a tool that runs here is an item `firesteel:tool_call`, which holds the result too; what agents and votes do
  is told as events `firesteel:progress`. The colon is demanded of whatever the specification does not name.
- A response that was cancelled ends with `response.incomplete`, as there is no event for it; its status tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from firesteel.agent import Event
from firesteel.format import Message, ToolCall
from firesteel.server.chat.reply import progress_of
from firesteel.server.responses.blobs import data_url
from firesteel.server.responses.items import OWN_CALL, arguments_of, item_id

PROGRESS = "firesteel:progress"
TERMINAL = ("response.completed", "response.incomplete", "response.failed")
_RAW = {"openai": "response.reasoning_text", "open-responses": "response.reasoning"}
DIALECTS = ("summary", *_RAW)
_SPEECH = ("reasoning", "commentary", "content")
# Otherwise than as progress.
_TOLD = (*_SPEECH, "tool_call", "tool_started", "tool_finished", "tokens", "message", "done")

Status = Literal["completed", "incomplete", "failed", "cancelled"]


@dataclass
class _Text:
    """An item of words that grows. `kind` is the event's."""

    kind: str
    id: str
    index: int
    pieces: list[str] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How events are written: the dialect of thoughts, the names of the caller's functions, the seal of thoughts if
    it was asked for, log-probabilities of an event.
    """

    dialect: str
    names: Mapping[str, tuple[str, str]]
    seal: Callable[[str], str] | None
    tokens: Callable[[Event], list[dict[str, Any]]]


class Writer:
    """Writes one response. `response` is the resource, whose output grows; every event has the next number."""

    def __init__(self, response: dict[str, Any], form: Form) -> None:
        self.response, self._form = response, form
        self._number = 0
        self._open: _Text | None = None
        self._turn_over = False  # the same kind of words belongs to a new item now
        self._calls: dict[str, int] = {}  # by id: where a call that runs here stands
        self._logprobs: list[dict[str, Any]] = []

    def event(self, kind: str, /, **fields: Any) -> dict[str, Any]:
        event = {"type": kind, "sequence_number": self._number} | fields
        self._number += 1
        return event

    def state(self, kind: str) -> dict[str, Any]:
        """An event that shows the response as it is now."""
        return self.event(kind, response=self.response | {"output": list(self.response["output"])})

    def take(self, event: Event) -> list[dict[str, Any]]:
        """The events that an event of the run becomes."""
        if event.agent or event.kind not in _TOLD:
            told = progress_of(event) | _of_agent(event)
            return [self.event(PROGRESS, **told)] if told else []
        if event.kind in _SPEECH:
            return self._say(event)
        if event.kind == "tokens":
            self._logprobs += self._form.tokens(event)
        elif event.kind == "message":
            self._turn_over = True
        elif event.kind == "tool_call":
            assert event.call is not None
            return [*self._close("completed"), *self._call(event.call)]
        elif event.kind == "tool_finished":
            assert event.call is not None and event.message is not None
            return self._called(event.call, event.message)
        return []

    def end(self, status: Status) -> list[dict[str, Any]]:
        """Closes what is open; the output is whole then."""
        output = self.response["output"]
        events = self._close("completed" if status == "completed" else "incomplete")
        for index in self._calls.values():
            item = output[index] | {"status": "incomplete"}
            output[index] = item
            events.append(self.event("response.output_item.done", output_index=index, item=item))
        if status == "completed" and not any(item["type"] in ("message", "function_call") for item in output):
            events += [*self._begin("content"), *self._close("completed")]  # nothing was said
        return events

    def last(self) -> dict[str, Any]:
        """The event that ends the stream."""
        status = self.response["status"]
        return self.state(f"response.{'incomplete' if status == 'cancelled' else status}")

    # Words

    def _say(self, event: Event) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        if self._open is None or self._open.kind != event.kind or self._turn_over:
            events = [*self._close("completed"), *self._begin(event.kind)]
        assert self._open is not None
        self._open.pieces.append(event.text)
        if event.kind != "reasoning":
            logprobs, self._logprobs = self._logprobs, []
            self._open.logprobs += logprobs
            delta = self._part("response.output_text.delta", delta=event.text, logprobs=logprobs)
        elif self._raw:
            delta = self._part(f"{self._raw}.delta", delta=event.text)
        else:
            delta = self._part("response.reasoning_summary_text.delta", delta=event.text)
        return [*events, delta]

    def _begin(self, kind: str) -> list[dict[str, Any]]:
        self._turn_over = False
        item_type = "reasoning" if kind == "reasoning" else "message"
        self._open = _Text(kind, self._id(item_type), len(self.response["output"]))
        return [self._added(self._head("in_progress")), self._part(f"{self._part_name}.added", part=self._content())]

    def _close(self, status: str) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        text = self._open.text
        if self._open.kind != "reasoning":
            self._open.logprobs += self._logprobs
            self._logprobs = []
            done = self._part("response.output_text.done", text=text, logprobs=self._open.logprobs)
        elif self._raw:
            done = self._part(f"{self._raw}.done", text=text)
        else:
            done = self._part("response.reasoning_summary_text.done", text=text)
        part = self._part(f"{self._part_name}.done", part=self._content())
        finished = self._done(self._open.index, self._item(status))
        self._open = None
        return [done, part, finished]

    @property
    def _raw(self) -> str:
        return _RAW.get(self._form.dialect, "")

    @property
    def _summary(self) -> bool:
        assert self._open is not None
        return self._open.kind == "reasoning" and not self._raw

    @property
    def _part_name(self) -> str:
        return "response.reasoning_summary_part" if self._summary else "response.content_part"

    def _part(self, kind: str, **fields: Any) -> dict[str, Any]:
        """An event about the one part of the item of words."""
        assert self._open is not None
        place = {"item_id": self._open.id, "output_index": self._open.index}
        return self.event(kind, **place, **{"summary_index" if self._summary else "content_index": 0}, **fields)

    def _content(self) -> dict[str, Any]:
        """The one part of the item of words, as far as it got."""
        assert self._open is not None
        text = self._open.text
        if self._open.kind != "reasoning":
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(self._open.logprobs)}
        return {"type": "reasoning_text" if self._raw else "summary_text", "text": text}

    def _head(self, status: str) -> dict[str, Any]:
        """The item of words without its words."""
        assert self._open is not None
        if self._open.kind == "reasoning":
            return {"id": self._open.id, "type": "reasoning", "summary": []}
        phase = "commentary" if self._open.kind == "commentary" else "final_answer"
        head = {"id": self._open.id, "type": "message", "status": status, "role": "assistant"}
        return head | {"phase": phase, "content": []}

    def _item(self, status: str) -> dict[str, Any]:
        assert self._open is not None
        item = self._head(status) | {"summary" if self._summary else "content": [self._content()]}
        sealed = self._form.seal if self._open.kind == "reasoning" else None
        return item | ({"encrypted_content": sealed(self._open.text)} if sealed else {})

    # Calls

    def _call(self, call: ToolCall) -> list[dict[str, Any]]:
        arguments, index = arguments_of(call), len(self.response["output"])
        if call.name not in self._form.names:
            self._calls[call.id] = index
            item = {"id": self._id(OWN_CALL), "type": OWN_CALL, "status": "in_progress", "name": call.name}
            return [self._added(item | {"arguments": arguments, "output": None})]
        namespace, name = self._form.names[call.name]
        item = {"id": self._id("function_call"), "type": "function_call", "status": "in_progress"}
        item |= {"call_id": call.id, "name": name, "arguments": ""}
        item |= {"namespace": namespace} if namespace else {}
        place = {"item_id": item["id"], "output_index": index}
        return [
            self._added(item),
            self.event("response.function_call_arguments.delta", **place, delta=arguments),
            self.event("response.function_call_arguments.done", **place, name=name, arguments=arguments),
            self._done(index, item | {"status": "completed", "arguments": arguments}),
        ]

    def _called(self, call: ToolCall, result: Message) -> list[dict[str, Any]]:
        index = self._calls.pop(call.id, None)
        if index is None:  # of a run that was cut before
            return []
        return [self._done(index, self.response["output"][index] | {"status": "completed", "output": _output(result)})]

    def _id(self, kind: str) -> str:
        return item_id(self.response["id"], kind, f"o{len(self.response['output'])}")

    def _added(self, item: dict[str, Any]) -> dict[str, Any]:
        self.response["output"].append(item)
        return self.event("response.output_item.added", output_index=len(self.response["output"]) - 1, item=item)

    def _done(self, index: int, item: dict[str, Any]) -> dict[str, Any]:
        self.response["output"][index] = item
        return self.event("response.output_item.done", output_index=index, item=item)


def _of_agent(event: Event) -> dict[str, Any]:
    """What else is told of agents at work: the tokens of a turn, the pictures that a tool made."""
    if event.message is None or not event.agent:
        return {}
    if event.kind == "message":
        data = {name: event.message.usage.get(name, 0) for name in ("completion_tokens", "reasoning_tokens")}
        return {"kind": event.kind, "agent": event.agent, "round": event.round, "data": data}
    return {"pictures": [data_url(image) for image in event.message.images]} if event.message.images else {}


def _output(result: Message) -> str | list[dict[str, Any]]:
    """What a tool gave: text, or parts where there are pictures."""
    return parts_of(result) if result.images else result.text


def parts_of(result: Message) -> list[dict[str, Any]]:
    """What a tool gave, part by part."""
    return [
        {"type": "input_text", "text": part.text}
        if part.image is None
        else {"type": "input_image", "image_url": data_url(part.image)}
        for part in result.parts
    ]


def finished_items(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The items that were whole when a stream broke off."""
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]
