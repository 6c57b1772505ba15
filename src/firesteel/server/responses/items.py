"""Items in: what a caller, a conversation or an earlier response says, as messages for the model.

- Neighbouring items of the assistant (thoughts, words, calls) are one message, as the model said them; a thought, or
  words behind an answer or a call, begin the next.
- Thoughts are taken from our own seal, from `content`, from `summary`: what comes first. A seal that does not open is
  left alone; a compaction that does not open is an error, since without it the conversation would be lost.
- `item_reference` names an item of a stored response: our item ids carry the id of their response.
- Item types that are not known here are left alone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from firesteel.format import Message, Part, ToolCall
from firesteel.server.ask import Caller
from firesteel.server.errors import invalid, not_found
from firesteel.server.http import checked, too_deep
from firesteel.server.reading import Loose, Pictures
from firesteel.server.responses.blobs import unpacked
from firesteel.server.responses.seal import Seals
from firesteel.server.service import Service

OWN_CALL = "firesteel:tool_call"
_HEX = 24  # digits of a response's id
_PREFIX = {"message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco", OWN_CALL: "ft"}


def new_response_id() -> str:
    return f"resp_{secrets.token_hex(_HEX // 2)}"


def item_id(response: str, kind: str, place: str) -> str:
    """An id from which the item's response can be told."""
    return f"{_PREFIX.get(kind, 'item')}_{response.removeprefix('resp_')}{place}"


def _parts(given: Any) -> Any:
    return [{"type": "input_text", "text": given}] if isinstance(given, str) else given


class ContentPart(Loose):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_data: str | None = None


Content = Annotated[list[ContentPart], BeforeValidator(_parts)]
CallId = Annotated[str, Field(min_length=1, max_length=256)]


class MessageItem(Loose):
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: Literal["commentary", "final_answer"] | None = None


class ReasoningItem(Loose):
    summary: list[ContentPart] = Field(default_factory=list)
    content: list[ContentPart] | None = None
    encrypted_content: str | None = None


class FunctionCall(Loose):
    call_id: CallId
    name: str
    arguments: str
    namespace: str | None = None


class FunctionCallOutput(Loose):
    call_id: CallId
    output: Content


class OwnCall(Loose):
    id: CallId
    name: str
    arguments: str
    output: Annotated[list[ContentPart] | None, BeforeValidator(_parts)] = None


class Compaction(Loose):
    encrypted_content: str


class Reference(Loose):
    id: str


_MODELS: dict[str, type[Loose]] = {
    "message": MessageItem,
    "reasoning": ReasoningItem,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    OWN_CALL: OwnCall,
    "compaction": Compaction,
    "item_reference": Reference,
}


@dataclass
class _Draft:
    """A message of the assistant that may still grow."""

    reasoning: str = ""
    commentary: str = ""
    text: str | None = None
    calls: list[ToolCall] = field(default_factory=list)

    @property
    def spoke(self) -> bool:
        return self.text is not None or bool(self.calls)

    def message(self) -> Message:
        return Message("assistant", self.text or "", self.reasoning, self.commentary, self.calls)


class Reader:
    """Turns items into `messages`; `items` are all that was read, in the form in which they are listed.

    `before` is what was said earlier, whose calls may be answered now. `urls` are the data URLs of pictures.
    """

    def __init__(self, service: Service, caller: Caller, seals: Seals, before: Sequence[Message] = ()) -> None:
        self.messages: list[Message] = []
        self.items: list[dict[str, Any]] = []
        self.urls: dict[int, str] = {}
        self._service, self._owner, self._seals = service, caller.owner, seals
        self._pictures = Pictures(service, caller)
        self._open = {call.id: call.name for call in unanswered(before)}
        self._draft: _Draft | None = None

    async def read(self, items: Sequence[Mapping[str, Any]], response: str, where: str, *, kept: bool = False) -> None:
        """Reads the items of one response, which stand at `where`. Raises ApiError with the place of an error.

        Items that were `kept` in the store came in several requests, whose caps on numbers do not hold for them all.
        """
        self._pictures.counted = not kept
        if len(items) > self._service.settings.messages and not kept:
            raise invalid(f"There are more than {self._service.settings.messages} items.", where)
        for number, given in enumerate(items):
            await self._read(given, f"{where}.{number}", item_id(response, str(given.get("type")), f"i{number}"))
        self._flush()

    def check(self) -> None:
        """Raises ApiError where a call waits for its output: the model cannot go on from there."""
        if self._open:
            raise invalid(f"The call {min(self._open)!r} has no output yet: send one.", "input", "missing_output")

    async def _read(self, given: Mapping[str, Any], where: str, id: str) -> None:
        kind = _kind(given)
        if kind not in _MODELS:
            return
        item = checked(_MODELS[kind], given, where)
        if isinstance(item, Reference):
            found = await self._referred(item.id)
            await self._read(found, where, item.id)
            return
        self.items.append(_listed(given, kind, item, id))
        if isinstance(item, FunctionCallOutput):
            await self._answer(item.call_id, item.output, where)
        elif isinstance(item, MessageItem) and item.role != "assistant":
            self._flush()
            self.messages.append(Message(item.role, await self._content(item.content, f"{where}.content")))
        elif isinstance(item, Compaction):
            self._flush()
            summary = self._seals.open(self._owner, "compaction", item.encrypted_content)
            if summary is None:
                raise invalid("This compaction was not made here.", where, "invalid_encrypted_content")
            # In the user's name, not the system's: it may repeat what strangers said.
            self.messages.append(Message("user", f"What was said before, in short:\n\n{summary}"))
        else:
            await self._assistant(item, where)

    async def _assistant(self, item: Any, where: str) -> None:
        draft = self._draft or _Draft()
        if isinstance(item, ReasoningItem):
            if draft.spoke:
                draft = self._next()
            thought = self._thought(item)
            draft.reasoning = "\n\n".join(filter(None, (draft.reasoning, thought)))
        elif isinstance(item, MessageItem):
            if draft.spoke:
                draft = self._next()
            said = "".join(part.text or part.refusal or "" for part in item.content)
            if item.phase == "commentary":
                draft.commentary += said
            else:
                draft.text = said
        else:
            name = f"{item.namespace}.{item.name}" if getattr(item, "namespace", None) else item.name
            call_id = item.id if isinstance(item, OwnCall) else item.call_id
            try:
                call = ToolCall.of({"id": call_id, "name": name, "arguments": item.arguments})
            except ValueError as error:
                raise invalid(str(error), f"{where}.arguments", "invalid_value") from error
            if too_deep(call.arguments):
                raise invalid("The arguments are nested too deeply.", f"{where}.arguments", "invalid_value")
            draft.calls.append(call)
            self._open[call.id] = call.name
            if isinstance(item, OwnCall):
                self._draft = draft
                await self._answer(call.id, item.output or [], where)
                return
        self._draft = draft

    async def _answer(self, call_id: str, output: list[ContentPart], where: str) -> None:
        self._flush()
        name = self._open.pop(call_id, None)
        if name is None:
            raise invalid(f"There is no call {call_id!r} that waits for this output.", f"{where}.call_id")
        parts = await self._content(output, f"{where}.output")
        self.messages.append(Message("tool", parts, name=name, tool_call_id=call_id))

    def _thought(self, item: ReasoningItem) -> str:
        sealed = item.encrypted_content
        opened = self._seals.open(self._owner, "reasoning", sealed) if sealed else None
        return opened or _joined(item.content or ()) or _joined(item.summary)

    def _next(self) -> _Draft:
        self._flush()
        return _Draft()

    def _flush(self) -> None:
        """The draft is whole."""
        draft, self._draft = self._draft, None
        if draft is not None:
            self.messages.append(draft.message())

    async def _content(self, parts: Sequence[ContentPart], where: str) -> list[Part]:
        read = []
        for number, part in enumerate(parts):
            param = f"{where}.{number}"
            if part.type in ("input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"):
                read.append(Part(text=part.text or part.refusal or ""))
                continue
            if part.type not in ("input_image", "input_file"):
                raise invalid(f"A content part of the type {part.type!r} is not understood here.", param)
            url = part.image_url or part.file_data
            if part.file_id:
                read.append(await self._pictures.of_file(part.file_id, param))
            elif url:
                read.append(await self._pictures.of_url(url, param))
                if url.startswith("data:"):
                    self.urls[id(read[-1].image)] = url
            else:
                raise invalid("A picture needs an image_url or a file_id.", param)
        return read

    async def _referred(self, id: str) -> dict[str, Any]:
        response = f"resp_{id.partition('_')[2][:_HEX]}"
        found = await self._service.store.get_response(self._owner, response)
        for item in (*found.body["output"], *found.request["input"]) if found else ():
            if item.get("id") == id:
                return await unpacked(self._service.store, item)
        raise not_found("item", id)


def unanswered(messages: Sequence[Message]) -> list[ToolCall]:
    """The calls that have no result yet."""
    answered = {message.tool_call_id for message in messages if message.role == "tool"}
    return [call for message in messages for call in message.tool_calls if call.id not in answered]


def arguments_of(call: ToolCall) -> str:
    return json.dumps(call.arguments, ensure_ascii=False)


def _kind(given: Mapping[str, Any]) -> str:
    kind = given.get("type")
    if kind is None:
        return "message" if "role" in given else "item_reference"
    return str(kind)


def _listed(given: Mapping[str, Any], kind: str, item: Loose, id: str) -> dict[str, Any]:
    """An item with what is always there."""
    own = given.get("id")
    listed = {**given, "type": kind, "id": own if isinstance(own, str) and own else id}
    if kind != "reasoning" and kind != "compaction":
        listed["status"] = given.get("status") or "completed"
    if isinstance(item, MessageItem) and isinstance(given["content"], str):
        text: dict[str, Any] = {"type": "input_text", "text": given["content"]}
        if item.role == "assistant":
            text = {"type": "output_text", "text": given["content"], "annotations": []}
        listed["content"] = [text]
    return listed


def _joined(parts: Sequence[ContentPart]) -> str:
    return "\n\n".join(part.text for part in parts if part.text)
