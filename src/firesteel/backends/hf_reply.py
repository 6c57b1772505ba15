"""What a transformers model generates, read as it comes.

A tokenizer may bring a response template, which says how its model writes thoughts and calls. For the others there is
one here that knows the usual forms: <think>…</think> (Qwen, GLM, DeepSeek), [THINK]…[/THINK] and [TOOL_CALLS]
(Mistral), <tool_call> around JSON (Qwen, Hermes) or around keys and values (GLM 4). `transformers` runs either.

The templates of Llama 3.1 to 4 ask for calls as bare JSON, `{"name": …, "parameters": {…}}`. Where one did, an answer
that is nothing but such objects, each naming a tool that there is, is calls; any other JSON is an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tokenizers.decoders import DecodeStream

from firesteel.backends.base import Delta, TokenLogprob
from firesteel.backends.said import call_event
from firesteel.backends.stops import Stops
from firesteel.format import ParseEvent
from firesteel.format.atem import function_of, typed_call
from firesteel.format.parse import EventKind

_USUAL = {
    "start_anchor_pattern": r"\A",
    "fields": {
        "content": {},
        "reasoning": {"open": ["<think>", "[THINK]"], "close": ["</think>", "[/THINK]"], "repeats": True},
        "tool_calls": {
            "open": "<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "content_args": {"allow_non_json": True},
        },
        "mistral_tool_calls": {
            "open": "[TOOL_CALLS]",
            "close_pattern": r"(?=\[TOOL_CALLS\])",
            "repeats": True,
            "content": "json",
            "content_args": {"allow_non_json": True},
        },
    },
}
_MARKS = re.compile(r"</?think>|</?tool_call>|\[/?THINK\]|\[(TOOL_CALLS|ARGS|CALL_ID)\]|</?arg_(key|value)>")
_TEXTS: dict[str, EventKind] = {
    "content": "content",
    "reasoning": "reasoning",
    "reasoning_content": "reasoning",
    "thinking": "reasoning",
}
BARE = "dictionary of argument name and its value"  # so Llama's templates put it
_GLM = re.compile(r"\s*([^\s<]+)\s*((?:<arg_key>.*?</arg_key>\s*<arg_value>.*?</arg_value>\s*)*)", re.DOTALL)
_GLM_ARGUMENT = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_BARE_START = re.compile(r'\s*(\{\s*("(name|type|parameters|arguments)".*|"[a-z]*)?)?\Z', re.DOTALL)
_BARE_NEXT = re.compile(r"([\s;,]*)\{")
_DECODER = json.JSONDecoder()
_MISTRAL = re.compile(r"\s*([^\s\[<]+)(?:\[CALL_ID\](\w+))?\[ARGS\]\s*(\{.*)", re.DOTALL)


class Reading:
    """Turns the ids of sample `index` into deltas with events. `prompt` is what stands before them, as text."""

    def __init__(
        self,
        index: int,
        tokenizer: Any,
        prompt: str,
        tools: Sequence[Mapping[str, Any]],
        stop: Sequence[str],
        prompt_tokens: int = 0,
    ) -> None:
        self.index = index
        self._bare = _Bare(tools) if tools and BARE in prompt else None
        self._prompt_tokens = prompt_tokens
        self.finished = False
        self._tokenizer = tokenizer
        self._tools = tools
        self._stops = Stops(stop)
        self._stream = DecodeStream(skip_special_tokens=False)
        self._hidden: set[int] = set()
        self._begun: set[str] = set()  # kinds of text; blank space before their first word is dropped
        self._broken = False
        template = getattr(tokenizer, "response_template", None)
        if template is None:
            template = _USUAL
            opened = re.search(r"(<think>|\[THINK\])\s*\Z", prompt)  # the template wrote it
            prompt = opened[1] if opened else ""
            added = tokenizer.added_tokens_decoder.items()
            self._hidden = {id for id, token in added if token.special and not _MARKS.fullmatch(token.content)}
        self._parser = tokenizer.get_response_parser(template, prefix=prompt, tools=list(tools) or None)

    def feed(self, ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> Delta:
        """What these ids add, up to a stop string."""
        rust = self._tokenizer.backend_tokenizer
        text = "".join(self._stream.step(rust, id) or "" for id in ids if id not in self._hidden)
        events = tuple(self._events(self._parsed(lambda: self._parser.feed(text)), cut=False))
        self.finished = self._stops.found
        return Delta(
            index=self.index,
            events=events,
            token_ids=tuple(ids),
            logprobs=tuple(logprobs),
            finish_reason="stop" if self.finished else None,
            prompt_tokens=self._prompt_tokens,
            stop_string=self._stops.word,
        )

    def end(self, reason: str) -> Delta:
        """The last delta. A call that was still open when the tokens ran out is an error."""
        self.finished = True
        cut = reason == "length"
        events = list(self._events(self._parsed(lambda: self._parser.finalize()[1]), cut))
        held = ""
        if self._bare:
            held, calls = self._bare.end(cut)
            events += calls
        if text := self._stops.feed(held) + self._stops.rest():
            events.append(ParseEvent("content", text))
        return Delta(index=self.index, events=tuple(events), finish_reason=reason, prompt_tokens=self._prompt_tokens)

    def _parsed(self, step: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """What the parser makes of the next step; after an error it is not asked again."""
        if self._broken:
            return []
        try:
            return step()
        except (ValueError, KeyError, RecursionError) as error:
            self._broken = True
            return [{"type": "error", "text": f"The answer cannot be read: {' '.join(str(error).split())[:200]}"}]

    def _events(self, parsed: Sequence[Mapping[str, Any]], cut: bool) -> Iterator[ParseEvent]:
        for event in parsed:
            field = event.get("field", "")
            kind = _TEXTS.get(field)
            if event["type"] == "error":
                yield ParseEvent("error", event["text"])
            elif kind and event["type"] == "region_chunk":
                text = event["text"] if kind in self._begun else event["text"].lstrip()
                if text:
                    self._begun.add(kind)
                    yield from self._text(kind, text)
                if self._stops.found:
                    return
            elif "call" in field and event["type"] == "region_close":
                if cut:
                    yield ParseEvent("error", "A call is cut off.")
                else:
                    yield from self._calls(event["value"])

    def _text(self, kind: EventKind, text: str) -> Iterator[ParseEvent]:
        if kind == "content":
            text = self._stops.feed(self._bare.feed(text) if self._bare else text)
        if text:
            yield ParseEvent(kind, text)

    def _calls(self, value: Any) -> Iterator[ParseEvent]:
        """The calls in one value of a parser: an object, a list of them, or text in a form of its own."""
        if isinstance(value, list):
            for item in value:
                yield from self._calls(item)
        elif isinstance(value, Mapping) and isinstance(function := value.get("function", value), Mapping):
            yield call_event(str(function.get("name")), function.get("arguments", function.get("parameters", {})))
        elif mistral := _MISTRAL.fullmatch(str(value)):
            yield call_event(mistral[1], mistral[3], mistral[2] or "")
        elif glm := _GLM.fullmatch(str(value)):
            call = typed_call((glm[1], _GLM_ARGUMENT.findall(glm[2])), self._tools)
            yield call_event(call.name, call.arguments)
        else:
            yield ParseEvent("error", f"The call {str(value).strip()[:80]!r} is of no known form.")


class _Bare:
    """Holds an answer back as long as it may be calls."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._names = {function_of(tool)["name"] for tool in tools}
        self._held: str | None = ""  # none: it is no call

    def feed(self, text: str) -> str:
        """What is no call for certain."""
        if self._held is None:
            return text
        self._held += text
        if _BARE_START.match(self._held):
            return ""
        text, self._held = self._held, None
        return text

    def end(self, cut: bool) -> tuple[str, list[ParseEvent]]:
        """The text that was held back, or the calls that it is."""
        text, self._held = self._held or "", None
        calls, place = [], 0
        while match := _BARE_NEXT.match(text, place):
            try:
                call, place = _DECODER.raw_decode(text, match.end(1))
            except (ValueError, RecursionError):
                return ("", [ParseEvent("error", "A call is cut off.")]) if cut and '"name"' in text else (text, [])
            name, arguments = call.get("name"), call.get("parameters", call.get("arguments"))
            if not isinstance(name, str) or name not in self._names or not isinstance(arguments, dict):
                return text, []
            calls.append(call_event(name, arguments))
        return ("", calls) if calls and not text[place:].strip(" \n;,") else (text, [])
