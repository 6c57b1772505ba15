"""An answer in the words of Messages: whole, or as events.

- Each kind of what is said is a block; what is said on the way (commentary) is a block of text of its own.
- Calls come whole, as one delta. Tools that run here leave no blocks.
- What has no words here (agents at work, tools that run here, votes) is told in events `firesteel_progress`: clients
  leave events of unknown types alone, as the reference asks of them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from firesteel.agent import Event
from firesteel.format import ToolCall
from firesteel.server.ask import Usage
from firesteel.server.chat.reply import progress_of
from firesteel.server.http import event as sse
from firesteel.server.messages.count import tokens_of
from firesteel.server.messages.thoughts import Display, sign
from firesteel.server.service import Answer, Service

_REASONS = {"stop": "end_turn", "length": "max_tokens", "limit": "max_tokens", "tool_calls": "tool_use"}
_NO_END = {"stop_reason": None, "stop_sequence": None, "stop_details": None, "container": None}
_TEXT = {"type": "text", "text": "", "citations": None}
_SAID = ("reasoning", "commentary", "content", "tool_call", "message", "tokens", "done")


async def message(answer: Answer, id: str, display: Display) -> dict[str, Any]:
    """The whole answer."""
    stop = ""
    async with aclosing(answer.events()) as events:
        async for _, event in events:
            stop = _stop_of(event, stop)
    return _head(answer, id) | {"content": _content(answer, display), "usage": usage_of(answer)} | _end(answer, stop)


def _head(answer: Answer, id: str) -> dict[str, Any]:
    return {"id": id, "type": "message", "role": "assistant", "model": answer.ask.model}


def _end(answer: Answer, stop: str) -> dict[str, Any]:
    """Why the answer ended; `stop` is the stop sequence that was found."""
    reason = _REASONS.get(answer.reasons[0], "end_turn")
    found = stop if reason == "end_turn" else ""
    return _NO_END | ({"stop_reason": "stop_sequence", "stop_sequence": found} if found else {"stop_reason": reason})


def _stop_of(event: Event, before: str) -> str:
    """The stop sequence at which the last message ended."""
    return event.data.get("stop", "") if event.kind == "message" and event.agent == 0 else before


def _content(answer: Answer, display: Display) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for said in answer.said():
        if said.role != "assistant":
            continue
        if said.reasoning and display != "hidden":
            shown = said.reasoning if display == "shown" else ""
            blocks.append({"type": "thinking", "thinking": shown, "signature": sign(said.reasoning, display)})
        blocks += [_TEXT | {"text": text} for text in (said.commentary, said.text) if text]
        blocks += [_call(call) | {"input": call.arguments} for call in said.tool_calls if call.name in _theirs(answer)]
    return blocks


def _theirs(answer: Answer) -> set[str]:
    return {schema["function"]["name"] for schema in answer.ask.theirs}


def _call(call: ToolCall) -> dict[str, Any]:
    """Its id is new: clients keep the calls of all their conversations and agents apart by it."""
    id = f"toolu_{secrets.token_hex(12)}"
    return {"type": "tool_use", "id": id, "name": call.name, "input": {}, "caller": {"type": "direct"}}


def usage_of(answer: Answer) -> dict[str, Any]:
    """All fields that the reference requires. As there, `input_tokens` are those that no cache held."""
    usage, called = answer.usage, [call.name for said in answer.said() for call in said.tool_calls]
    searched, opened = called.count("browser.search"), called.count("browser.open")
    return _usage(usage) | (
        {"server_tool_use": {"web_search_requests": searched, "web_fetch_requests": opened}}
        if searched or opened
        else {}
    )


def _usage(usage: Usage) -> dict[str, Any]:
    told = {
        "input_tokens": max(0, usage.prompt_tokens - usage.cached_tokens),
        "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0},
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": min(usage.reasoning_tokens, usage.completion_tokens)},
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": None,
    }
    return told | ({"firesteel": {"ledger": dict(usage.ledger)}} if usage.ledger else {})


async def stream(service: Service, answer: Answer, id: str, display: Display) -> AsyncGenerator[bytes, None]:
    """The answer as server-sent events. Its first tells the size of the prompt without the tools that run here."""
    blocks, stop, begun = _Blocks(_theirs(answer), display), "", False
    async with aclosing(answer.events()) as events:
        async for _, event in events:
            if not begun:
                begun = True
                usage = _usage(Usage(prompt_tokens=await tokens_of(service, replace(answer.ask, tools=()))))
                yield _told("message_start", message=_head(answer, id) | {"content": [], "usage": usage} | _NO_END)
                yield PING
            stop = _stop_of(event, stop)
            if event.agent or event.kind not in _SAID:
                if progress := progress_of(event):
                    yield _told("firesteel_progress", **progress)
            else:
                for name, fields in blocks.of(event):
                    yield _told(name, **fields)
    yield _told("message_delta", delta=_end(answer, stop), usage=usage_of(answer))
    yield _told("message_stop")


def _told(name: str, **fields: Any) -> bytes:
    return sse({"type": name} | fields, name)


PING = _told("ping")


class _Blocks:
    """The blocks of a stream, as they open, grow and close."""

    def __init__(self, theirs: set[str], display: Display) -> None:
        self._theirs, self._display = theirs, display
        self._index = 0
        self._open = ""  # the kind of what is being said
        self._thought = ""

    def of(self, event: Event) -> Iterator[tuple[str, dict[str, Any]]]:
        """What an event adds, as names and fields."""
        if event.kind == "tool_call":
            assert event.call is not None
            if event.call.name in self._theirs:
                yield from self._close()
                yield self._start(_call(event.call))
                arguments = json.dumps(event.call.arguments, ensure_ascii=False)
                yield self._delta({"type": "input_json_delta", "partial_json": arguments})
                yield self._stop()
        elif event.kind == "reasoning":
            if self._display != "hidden":
                yield from self._say("reasoning", {"type": "thinking", "thinking": "", "signature": ""})
                self._thought += event.text
                if self._display == "shown":
                    yield self._delta({"type": "thinking_delta", "thinking": event.text})
        elif event.kind in ("commentary", "content"):
            yield from self._say(event.kind, _TEXT)
            yield self._delta({"type": "text_delta", "text": event.text})
        else:  # the end of a message
            yield from self._close()

    def _say(self, kind: str, block: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        if self._open != kind:
            yield from self._close()
            self._open = kind
            yield self._start(block)

    def _close(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if self._open == "reasoning":
            yield self._delta({"type": "signature_delta", "signature": sign(self._thought, self._display)})
            self._thought = ""
        if self._open:
            self._open = ""
            yield self._stop()

    def _start(self, block: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "content_block_start", {"index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "content_block_delta", {"index": self._index, "delta": delta}

    def _stop(self) -> tuple[str, dict[str, Any]]:
        self._index += 1
        return "content_block_stop", {"index": self._index - 1}
