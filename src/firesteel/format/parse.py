"""What the model generated, read back: reasoning, content, tool calls. Incremental; any split reads like the whole.

Models quote the grammar in their thoughts and answers, so a marker acts only where the grammar puts it:

- `<|eom|>` only before the end of the text or right before a real header `<|start|>assistant...<|message|>`;
- `<|eot|>` and `<|end_of_text|>` only before the end of the text or right before a real header of any role;
- neither where marker and header together fill a code span;
- a header without an end marker before it (a known defect of the models) only where nobody would quote it: at the start
  of a line, after a whole tool call, or glued to the word before, and never inside a code span or fence;
- ATEM tags only in a message addressed to a tool (see `atem.py`), and only as a whole message, so that a call cut off
  is an error and never a guess.

A marker or header that the end of the text cut in two is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from firesteel.format.atem import NAME, read_calls, typed_call
from firesteel.format.trace import Message, ToolCall

EventKind = Literal["reasoning", "content", "commentary", "tool_call", "error"]


@dataclass(frozen=True)
class ParseEvent:
    """New text of its kind (an error's sentence), or a finished call. Commentary is content too: show both alike."""

    kind: EventKind
    text: str = ""
    call: ToolCall | None = None


@dataclass
class Parse:
    """A whole turn. `content` is everything said to the user in order; `commentary` and `answer` are its two kinds.

    `errors` are sentences about calls that could not be read. `complete` tells that an end-of-turn marker was there.
    """

    reasoning: str = ""
    content: str = ""
    commentary: str = ""
    answer: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    complete: bool = False

    def message(self) -> Message:
        """The turn as a message of a trace."""
        return Message("assistant", self.answer, self.reasoning, self.commentary, self.tool_calls)


def parse(text: str, tools: Sequence[Mapping[str, Any]] | None = None) -> Parse:
    """Reads what was generated after `<|start|>assistant` (which may also stand before it)."""
    parser = StreamParser(tools)
    parser.feed(text)
    return parser.close()


class StreamParser:
    """Reads a turn as it grows. `feed` returns what became certain; `close` returns the whole.

    What only the end can settle (a marker at the end of what was fed) is held back, so `close` may settle more: its
    last events are in `events_at_close`.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]] | None = None) -> None:
        self._tools = tools
        self._buffer = ""  # not yet settled
        self._body: list[str] = []  # of the message being read
        self._recipient: str | None = None
        self._state: Literal["header", "body", "done"] = "header"
        self._said: dict[str, list[str]] = {"reasoning": [], "content": [], "commentary": [], "answer": []}
        self._calls: list[ToolCall] = []
        self._errors: list[str] = []
        self._complete = False
        self._events: list[ParseEvent] = []
        self.events_at_close: list[ParseEvent] = []

    def feed(self, chunk: str) -> list[ParseEvent]:
        """Takes more text; returns the events that it settled, neighbouring texts of one kind joined."""
        if self._state != "done":
            self._buffer += chunk
            self._advance(final=False)
        events, self._events = self._events, []
        return events

    def take(self, events: Sequence[ParseEvent]) -> Sequence[ParseEvent]:
        """Takes what was read elsewhere already; returns it."""
        for event in events:
            if event.call is not None:
                self._calls.append(event.call)
            elif event.kind == "error":
                self._errors.append(event.text)
            else:
                for kind in _KINDS_OF[event.kind]:
                    self._said[kind].append(event.text)
        return events

    def close(self) -> Parse:
        """Takes the end of the text."""
        self._advance(final=True)
        if self._state == "body":
            self._finish_message()
            self._complete = False
        self._state, self._buffer = "done", ""
        self.events_at_close += self._events
        self._events = []
        said = {kind: "".join(pieces) for kind, pieces in self._said.items()}
        return Parse(**said, tool_calls=self._calls, errors=self._errors, complete=self._complete)

    def _advance(self, final: bool) -> None:
        if self._state == "header" and self._buffer:
            self._first_header(final)
        if self._state == "body":
            self._read_body(final)

    def _first_header(self, final: bool) -> None:
        if match := _FIRST.match(self._buffer):
            self._buffer = self._buffer[match.end() :]
            self._recipient, self._state = match["recipient"], "body"
        elif not _FIRST_PART.fullmatch(self._buffer):
            self._recipient, self._state = "user", "body"  # no grammar at all: a plain answer
        elif final:
            self._state = "done"

    def _read_body(self, final: bool) -> None:
        text, position = self._buffer, 0
        while marker := _MARKER.search(text, position):
            self._commit(text[position : marker.start()])
            position = marker.start()
            end = self._decide(text, marker, final)
            if end is None:  # only more text can tell
                self._buffer = text[position:]
                return
            kind, after, header = end
            if kind == "quoted":
                self._commit(text[position:after])
            else:
                self._finish_message()
                self._complete = kind == "turn"
                if header is None or header["role"] != "assistant":
                    self._state, self._buffer = "done", ""
                    return
                self._recipient = header["recipient"]
            position = after
        cut = _MARKER_PART.search(text, position)
        settled = cut.start() if cut else len(text)
        self._commit(text[position:settled])
        self._buffer = "" if final else text[settled:]

    def _decide(
        self, text: str, marker: re.Match[str], final: bool
    ) -> tuple[Literal["quoted", "message", "turn"], int, re.Match[str] | None] | None:
        """What the marker is, where reading goes on, and the header found there; None while undecided."""
        name, start, end = marker[1], marker.start(), marker.end()
        if name == "start":
            header = _HEADER.match(text, start)
            if header and header["role"] == "assistant" and self._header_may_stand():
                return "message", header.end(), header
            if not header and _HEADER_PART.fullmatch(text, start):
                return ("message", len(text), None) if final else None
            return "quoted", end, None
        kind: Literal["message", "turn"] = "message" if name == "eom" else "turn"
        if _TAIL.fullmatch(text, end):
            return (kind, len(text), None) if final else None
        gap = _LINE_ENDS.match(text, end)
        assert gap is not None
        header = _HEADER.match(text, gap.end())
        if header and (kind == "turn" or header["role"] == "assistant"):
            if not self._in_code_span():
                return kind, header.end(), header
            behind = text[header.end() : header.end() + 2]
            if len(behind) < 2 and not final:
                return None
            if not _SPAN_CLOSES.match(behind):
                return kind, header.end(), header
        elif _HEADER_PART.fullmatch(text, gap.end()):
            return (kind, len(text), None) if final else None
        return "quoted", end, None

    def _header_may_stand(self) -> bool:
        """Whether a header right here, with no end marker before it, is the model's defect and not a quotation."""
        before = self._so_far()
        if self._is_tool() and not read_calls(before)[1]:
            return True
        line = _line(before)
        if before.count("```") % 2 or line.count("`") % 2 or (line.endswith('"') and line.count('"') % 2):
            return False
        return not before.endswith(_BEFORE_A_QUOTATION)

    def _in_code_span(self) -> bool:
        """Whether a code span opens right before this place."""
        line = _line(self._so_far())
        return _SPAN_OPENS.search(line) is not None and line.count("`") % 2 == 1

    def _so_far(self) -> str:
        self._body = ["".join(self._body)]
        return self._body[0]

    def _is_tool(self) -> bool:
        return self._recipient not in (None, "self", "user", "commentary", "developer")

    def _commit(self, text: str) -> None:
        """Text that belongs to the message being read, for certain."""
        if not text:
            return
        self._body.append(text)
        if self._recipient in (None, "self"):
            self._say("reasoning", text)
        elif self._recipient == "commentary":
            self._said["content"].append(text)
            self._say("commentary", text)
        elif self._recipient == "user":
            self._said["answer"].append(text)
            self._say("content", text)

    def _say(self, kind: Literal["reasoning", "content", "commentary"], text: str) -> None:
        self._said[kind].append(text)
        if self._events and self._events[-1].kind == kind:
            text = self._events.pop().text + text
        self._events.append(ParseEvent(kind, text))

    def _finish_message(self) -> None:
        if self._is_tool():
            raw_calls, errors = read_calls(self._so_far())
            for call in (typed_call(raw, self._tools) for raw in raw_calls):
                if not NAME.fullmatch(call.name):  # it could not be told to the model again
                    errors.append(f"{call.name!r} is no name of a tool.")
                    continue
                self._calls.append(call)
                self._events.append(ParseEvent("tool_call", call=call))
            self._errors += errors
            self._events += [ParseEvent("error", error) for error in errors]
        self._body = []


def _line(text: str) -> str:
    """The line that the text ends in, without the backticks of code fences."""
    return text[text.rfind("\n") + 1 :].replace("```", "")


def _part(literal: str, then: str = "") -> str:
    """A pattern for every beginning of `literal`, and for all of it followed by `then`."""
    pattern = then
    for character in reversed(literal):
        pattern = f"(?:{re.escape(character)}{pattern})?"
    return pattern


_KINDS_OF = {"reasoning": ["reasoning"], "content": ["content", "answer"], "commentary": ["content", "commentary"]}
_NAME, _NAME_PART = r"[^\s<]{1,256}", r"[^\s<]{0,256}"
_MESSAGE, _MESSAGE_PART = re.escape("<|message|>"), _part("<|message|>")
_RECIPIENT_PART = _part("to=", _NAME_PART + _MESSAGE_PART)
_ROLE_PARTS = [
    _part("assistant", f"(?:{_MESSAGE_PART}| +{_RECIPIENT_PART})"),
    _part("tool ", _NAME_PART + _MESSAGE_PART),
    *(_part(role, _MESSAGE_PART) for role in ("user", "system", "developer")),
]
_HEADER = re.compile(
    r"<\|start\|>(?:(?P<role>assistant)(?: +to=(?P<recipient>" + _NAME + r"))?|user|system|developer|tool "
    rf"{_NAME}){_MESSAGE}"
)
_HEADER_PART = re.compile(_part("<|start|>", f"(?:{'|'.join(_ROLE_PARTS)})"))
_FIRST = re.compile(rf"(?:<\|start\|>assistant)?\s*(?:to=(?P<recipient>{_NAME}))?{_MESSAGE}")
_FIRST_REST = rf"\s*(?:{_RECIPIENT_PART}|{_MESSAGE_PART})"
_FIRST_PART = re.compile(f"{_part('<|start|>assistant', _FIRST_REST)}|{_FIRST_REST}")
_MARKER = re.compile(r"<\|(eom|eot|end_of_text|start)\|>")
_MARKER_PART = re.compile(r"<(?:\|(?:[a-z_]+\|?)?)?\Z")
_PAD, _END = "<|finetune_right_pad|>", "<|end_of_text|>"
# Bounded, because it is tried again with every character that follows.
_TAIL = re.compile(rf"(?:\s|{re.escape(_PAD)}|{re.escape(_END)}){{0,4096}}(?:{_part(_PAD)}|{_part(_END)})")
_LINE_ENDS = re.compile(r"(?:\s*[\r\n])?")
_SPAN_OPENS = re.compile(r"(?:^|[\s(])`\Z")
_SPAN_CLOSES = re.compile(r"`(?:[\s.,;:!?)]|\Z)")
_BEFORE_A_QUOTATION = (" ", "\t", "\u00a0", "'", "“", "‘", "«", "(", "[", "{", "<", "|>", ":", "=")
