"""An answer in the words of chat completions: whole, or as chunks.

- Thoughts come under both names that clients read, `reasoning` and `reasoning_content`.
- A call comes as two deltas: first its name with empty arguments, then the arguments.
- What is neither thought nor answer (agents at work, tools that run here, votes) is told in a field `firesteel` of the
  chunk, which other clients leave alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from firesteel.agent import Event
from firesteel.format import Message, ToolCall
from firesteel.server.ask import Usage
from firesteel.server.http import event as sse
from firesteel.server.service import Answer, Service

_FINISH = {"stop": "stop", "length": "length", "limit": "length", "tool_calls": "tool_calls", "error": "stop"}


def usage_of(usage: Usage) -> dict[str, Any]:
    told: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": 0,
            "image_tokens": usage.image_tokens,
            "text_tokens": max(0, usage.prompt_tokens - usage.image_tokens),
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return told | ({"firesteel": {"ledger": dict(usage.ledger)}} if usage.ledger else {})


async def completion(service: Service, answer: Answer, id: str) -> dict[str, Any]:
    """The whole answer."""
    logprobs: list[list[dict[str, Any]]] = [[] for _ in answer.traces]
    async with aclosing(answer.events()) as events:
        async for sample, event in events:
            if event.kind == "tokens" and event.agent == 0:
                logprobs[sample] += tokens_of(service, event)
    return whole(answer, id, logprobs)


def whole(answer: Answer, id: str, logprobs: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """The answer as it is at its end."""
    wanted, theirs = "logprobs" in answer.ask.mind.options, _names(answer)
    choices = [
        {
            "index": sample,
            "message": _message(answer.said(sample), theirs),
            "logprobs": {"content": logprobs[sample], "refusal": None} if wanted else None,
            "finish_reason": _FINISH[answer.reasons[sample]],
        }
        for sample in range(answer.ask.n)
    ]
    return {
        "id": id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.ask.model,
        "choices": choices,
        "usage": usage_of(answer.usage),
    }


def _names(answer: Answer) -> set[str]:
    """Of the caller's own tools."""
    return {schema["function"]["name"] for schema in answer.ask.theirs}


def _message(said: list[Message], theirs: set[str]) -> dict[str, Any]:
    """All that was said in a turn, tools that ran here between included, as one message with the calls of `theirs`."""
    spoken = [message for message in said if message.role == "assistant"]
    content = "\n\n".join(text for m in spoken for text in (m.commentary, m.text) if text)
    reasoning = "\n\n".join(m.reasoning for m in spoken if m.reasoning)
    calls = [call_of(call) for call in (spoken[-1].tool_calls if spoken else ()) if call.name in theirs]
    told: dict[str, Any] = {
        "role": "assistant",
        "content": content or (None if calls else ""),
        "refusal": None,
        "annotations": [],
    }
    if reasoning:
        told |= {"reasoning": reasoning, "reasoning_content": reasoning}
    return told | ({"tool_calls": calls} if calls else {})


def call_of(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": call.id, "type": "function", "function": function}


def tokens_of(service: Service, event: Event) -> list[dict[str, Any]]:
    """The log-probabilities of the tokens of an event that are said to the user."""
    tokenizer = service.backend.tokenizer
    assert tokenizer is not None

    def named(id: int, logprob: float) -> dict[str, Any]:
        data = tokenizer.token_bytes(id)
        return {"token": data.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(data)}

    triples = zip(event.data["ids"], event.data["logprobs"], event.data["said"], strict=True)
    asked_top = [(id, token) for id, token, said in triples if said]
    return [
        named(id, token.logprob) | {"top_logprobs": [named(*pair) for pair in token.top]} for id, token in asked_top
    ]


async def chunks(
    service: Service, answer: Answer, id: str, include_usage: bool, keep: Callable[[dict[str, Any]], Awaitable[None]]
) -> AsyncGenerator[bytes, None]:
    """The answer as server-sent events, up to `[DONE]`; before that, `keep` is given the whole."""
    head = {"id": id, "object": "chat.completion.chunk", "created": int(time.time()), "model": answer.ask.model}
    tail = {"usage": None} if include_usage else {}

    def chunk(sample: int, delta: Mapping[str, Any], **more: Any) -> bytes:
        choice = {"index": sample, "delta": delta, "logprobs": None, "finish_reason": None} | more
        return sse(head | {"choices": [choice]} | tail)

    states = [_Sample(service, answer) for _ in answer.traces]
    begun = False
    async with aclosing(answer.events()) as events:
        async for sample, event in events:
            if not begun:
                begun = True
                for each in range(answer.ask.n):
                    yield chunk(each, {"role": "assistant", "content": "", "refusal": None})
            if event.agent or event.kind not in _SAID:
                if told := progress_of(event):
                    yield sse(head | {"choices": []} | tail | {"firesteel": told})
            else:
                for delta, more in states[sample].deltas(event):
                    yield chunk(sample, delta, **more)
    await keep(whole(answer, id, [state.logprobs for state in states]))
    if include_usage:
        yield sse(head | {"choices": [], "usage": usage_of(answer.usage)})
    yield b"data: [DONE]\n\n"


_SAID = ("reasoning", "commentary", "content", "tool_call", "tokens", "done", "message")


class _Sample:
    """What one sample said so far, as far as the next delta depends on it."""

    def __init__(self, service: Service, answer: Answer) -> None:
        self._service = service
        self._theirs = _names(answer)
        self.logprobs: list[dict[str, Any]] = []
        self._told = 0  # of them
        self._calls = 0
        self._last = ""  # the kind of what was said last
        self._begun: set[str] = set()

    def deltas(self, event: Event) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        if event.kind == "tokens":
            self.logprobs += tokens_of(self._service, event)
            return []
        if event.kind == "message":
            self._last = ""
            return []
        if event.kind == "tool_call":
            assert event.call is not None
            if event.call.name not in self._theirs:
                return []
            call, index = call_of(event.call), self._calls
            self._calls += 1
            arguments = call["function"]["arguments"]
            call["function"] = {"name": event.call.name, "arguments": ""}
            return [
                ({"tool_calls": [{"index": index} | call]}, {}),
                ({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}, {}),
            ]
        if event.kind == "done":
            more: dict[str, Any] = {"finish_reason": _FINISH[event.text]}
            return [({}, more | self._taken())]
        name = "reasoning" if event.kind == "reasoning" else "content"
        text = event.text
        if name in self._begun and self._last != event.kind:  # commentary before the answer, or a turn before this
            text = f"\n\n{text}"
        self._begun.add(name)
        self._last = event.kind
        if name == "reasoning":
            return [({"reasoning": text, "reasoning_content": text}, {})]
        return [({"content": text}, self._taken())]

    def _taken(self) -> dict[str, Any]:
        tokens, self._told = self.logprobs[self._told :], len(self.logprobs)
        return {"logprobs": {"content": tokens, "refusal": None}} if tokens else {}


def progress_of(event: Event) -> dict[str, Any]:
    """An event that has no words in other makers' protocols, in ours."""
    if event.kind in ("message", "done", "tokens"):
        return {}
    told: dict[str, Any] = {"kind": event.kind, "agent": event.agent, "round": event.round}
    if event.text:
        told["text"] = event.text
    if event.call:
        told["call"] = {"id": event.call.id, "name": event.call.name, "arguments": event.call.arguments}
    if event.kind == "tool_finished" and event.message:
        told["output"] = event.message.text
        told["images"] = len(event.message.images)
    return told | ({"data": dict(event.data)} if event.data else {})
