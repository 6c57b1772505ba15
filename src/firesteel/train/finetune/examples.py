"""Conversations to learn from, out of the shapes that people have them in.

- A file holds one JSON object a line, or one JSON list; `.gz`, `.bz2` and `.xz` are opened.
- OpenAI's shape: `messages` (and `tools`), with calls, `reasoning_content`, pictures as data URLs or as paths relative
  to the file. `firesteel trace --sft` writes it.
- ShareGPT's shape: `conversations` of `from` and `value`, with `function_call` and `observation`, `<image>` in the text
  and the pictures' paths in `images`.
- A thought at the head of an answer, `<think>…</think>`, becomes the message's reasoning.
- The strength is the example's own (`reasoning_effort` or `strength`), else that of the run. An example for which none
  is named holds at all: one is drawn, but not minimal where something is thought. (What was taught at minimal alone is
  hardly known at high, where the packaged model thinks first.)
- What cannot be learnt from is refused with its file and place, never skipped.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from firesteel.format import STRENGTHS, Message, ToolCall, strength_number
from firesteel.train.finetune.sets import SETS

_ROLES = {role: role for role in ("system", "developer", "user", "assistant", "tool")}
_ROLES |= {"human": "user", "gpt": "assistant", "model": "assistant", "function_call": "assistant"}
_ROLES |= {"observation": "tool", "function": "tool", "function_response": "tool"}
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
_PLACE = re.compile(r"<image>\n?")


@dataclass(frozen=True)
class Example:
    """A conversation that ends with the assistant's words; `place` says where it was read, for complaints."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...]
    strength: int
    place: str

    @property
    def key(self) -> str:
        """A hash of what is said and shown, whatever the strength."""
        said = [[message.to_dict() for message in self.messages], self.tools]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read(source: str | Path, strength: int | None = None) -> Iterator[Example]:
    """The examples of a file, or of a known set (`gsm8k:FILE`, see `sets`).

    `strength` (0..512) is for examples that name none. Raises ValueError, with file and line, for what cannot be read.
    """
    kind, _, rest = str(source).partition(":")
    path = Path(rest if kind in SETS else source)
    rng = random.Random(0)
    for place, record in records(path):
        try:
            yield example(SETS[kind](record) if kind in SETS else record, path.parent, place, rng, strength)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = str(error) if isinstance(error, ValueError) else f"it is of no known shape ({error!r})."
            raise ValueError(f"{place}: {reason}") from error


def example(
    record: Mapping[str, Any], folder: Path, place: str, rng: random.Random, strength: int | None = None
) -> Example:
    """One record. Pictures' paths count from `folder`. Raises ValueError for what cannot be learnt from."""
    turns = record.get("messages") or record.get("conversations")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError("there is neither a list `messages` (OpenAI) nor one `conversations` (ShareGPT) of objects.")
    pictures = record.get("images") or record.get("image") or []
    reader = _Reader(folder, [pictures] if isinstance(pictures, str) else list(pictures))
    messages = [reader.message(turn) for turn in turns]
    if record.get("system"):
        messages.insert(0, Message("system", str(record["system"])))
    if reader.pictures:
        raise ValueError(
            f"{len(reader.pictures)} of its pictures have no <image> in a text: put one where each belongs."
        )
    if not messages or messages[-1].role != "assistant":
        raise ValueError("the last message is not the assistant's: end with what it is to say.")
    named = record.get("reasoning_effort", record.get("strength"))
    if named is not None:
        strength = strength_number(named)
    elif strength is None:
        least = "low" if any(message.reasoning for message in messages) else "minimal"
        strength = rng.choice([number for number in STRENGTHS.values() if number >= STRENGTHS[least]])
    return Example(tuple(messages), _tools(record.get("tools")), strength, place)


class _Reader:
    """The messages of one record, in order: calls and pictures are matched as they come."""

    def __init__(self, folder: Path, pictures: list[str]) -> None:
        self.folder, self.pictures = folder, pictures
        self._calls: list[ToolCall] = []  # that have no result yet

    def message(self, turn: Mapping[str, Any]) -> Message:
        told = turn.get("role") or turn.get("from")
        role = _ROLES.get(str(told).lower())
        if role is None:
            raise ValueError(f"the role {told!r} is none of {', '.join(_ROLES)}.")
        if turn.get("weight") == 0:
            raise ValueError("a message has weight 0, but all that an assistant says is learnt: leave the example out.")
        content = turn.get("content", turn.get("value")) or ""
        calls = turn.get("tool_calls") or ([turn["function_call"]] if turn.get("function_call") else [])
        if told == "function_call":
            calls, content = json.loads(content), ""
        reasoning = turn.get("reasoning_content") or turn.get("reasoning") or turn.get("thinking") or ""
        if role == "assistant" and isinstance(content, str) and (thought := _THOUGHT.match(content)):
            reasoning, content = reasoning or thought[1].strip(), content[thought.end() :]
        message = Message.of(
            {
                "role": role,
                "content": self._content(content),
                "reasoning": reasoning,
                "commentary": turn.get("commentary"),
                "tool_calls": [ToolCall.of(call) for call in (calls if isinstance(calls, list) else [calls])],
                "name": turn.get("name") if role == "tool" else "",
                "tool_call_id": turn.get("tool_call_id"),
            }
        )
        if role == "assistant" and not (message.text or message.tool_calls):
            raise ValueError("an assistant's message says nothing and calls nothing.")
        return self._matched(message)

    def _matched(self, message: Message) -> Message:
        """Results in shapes without ids answer the calls in their order."""
        if message.role == "assistant":
            self._calls = list(message.tool_calls)
        elif message.role == "tool" and self._calls:
            named = [call for call in self._calls if call.id and call.id == message.tool_call_id]
            call = (named or self._calls)[0]
            self._calls.remove(call)
            return Message("tool", message.parts, name=message.name or call.name, tool_call_id=message.tool_call_id)
        return message

    def _content(self, content: Any) -> str | list[dict[str, Any]]:
        if isinstance(content, list):
            return [self._part(part) for part in content]
        if not isinstance(content, str):
            return json.dumps(content, ensure_ascii=False)  # a tool's result as it came
        if not self.pictures or "<image>" not in content:
            return content
        parts: list[dict[str, Any]] = []
        for number, text in enumerate(_PLACE.split(content)):
            if number:
                if not self.pictures:
                    raise ValueError("there are more <image> in its texts than pictures.")
                parts.append(self._picture(self.pictures.pop(0)))
            if text:
                parts.append({"type": "text", "text": text})
        return parts

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        if part.get("type") not in ("image", "image_url"):
            return part
        inner = part.get("image_url", part.get("image", part.get("path", part.get("url"))))
        return self._picture(inner.get("url") if isinstance(inner, dict) else inner)

    def _picture(self, address: Any) -> dict[str, Any]:
        if not isinstance(address, str):
            raise ValueError("a picture is given neither as a data URL nor as a path.")
        if address.startswith("data:"):
            return {"type": "image_url", "image_url": {"url": address}}
        if address.startswith(("http://", "https://")):
            raise ValueError(f"the picture {address} lies on the network: download it and name the file.")
        return {"type": "image", "image": self.folder / address.removeprefix("file://")}


def _tools(tools: Any) -> tuple[dict[str, Any], ...]:
    """Schemas in OpenAI's form; ShareGPT keeps them as JSON text."""
    listed = json.loads(tools) if isinstance(tools, str) and tools.strip() else tools or []
    functions = [tool.get("function", tool) for tool in listed]
    return tuple({"type": "function", "function": function} for function in functions)


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Places and objects of a JSON list or of lines, packed or not.

    Raises ValueError for a file that is missing, empty or no JSON.
    """
    if not path.is_file():
        raise ValueError(f"There is no file {path} to learn from.")
    with _open(path) as stream:
        first = next((line for line in stream if line.strip()), "")
        stream.seek(0)
        if first.lstrip().startswith("["):
            numbered: Iterator[tuple[str, Any]] = (
                (f"entry {n}", item) for n, item in enumerate(_list(path, stream), 1)
            )
        elif first:
            numbered = ((f"line {n}", line) for n, line in enumerate(stream, 1) if line.strip())
        else:
            raise ValueError(f"{path} is empty.")
        for number, item in numbered:
            place = f"{path}, {number}"
            try:
                record = json.loads(item) if isinstance(item, str) else item
            except ValueError as error:
                raise ValueError(f"{place}: this is not JSON: {error}.") from error
            if not isinstance(record, dict):
                raise ValueError(f"{place}: an example must be a JSON object.")
            yield place, record


def _list(path: Path, stream: IO[str]) -> Sequence[Any]:
    try:
        found = json.load(stream)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    return found if isinstance(found, list) else []


def _open(path: Path) -> IO[str]:
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix, open)
    stream: IO[str] = opener(path, "rt", encoding="utf-8")
    return stream
