"""The record of a conversation: parts make messages, messages make a trace; on disk one JSON object a line.

A message also holds what is known about how it came to be (token ids, log-probabilities, usage), so that one record
serves the agent, the API's storage, training, evaluation logs and replay. Traces only ever grow.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from firesteel.format.images import load_image

ROLES = ("system", "developer", "user", "assistant", "tool")
_LIST = (list, tuple)
_FORMS: dict[str, Any] = {
    **dict.fromkeys(("reasoning", "reasoning_content", "commentary", "name", "tool_call_id"), str),
    **dict.fromkeys(("tool_calls", "token_ids", "logprobs"), _LIST),
    "content": (str, *_LIST),
    "usage": Mapping,
}
_BEGINNING = b'{"role": '  # of every line that is written here


@dataclass(frozen=True)
class Part:
    """A piece of content: some text, or a picture where `image` is set (RGB)."""

    text: str = ""
    image: Image.Image | None = None

    @classmethod
    def text_of(cls, text: str) -> Part:
        return cls(text=text)

    @classmethod
    def image_of(cls, image: Image.Image | Path | str | bytes) -> Part:
        """A picture from anything that `load_image` opens. Raises ValueError if it cannot."""
        return cls(image=load_image(image))

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Part:
        """From `{"type": "text" | "image_url" | "image", ...}`.

        An `image_url` must be a base64 data URL; `image` may be an open picture, bytes or a path, so a server must
        not let strangers use it. Raises ValueError for other types and for pictures that cannot be read.
        """
        if not isinstance(item, Mapping):
            raise ValueError("A content part must be an object.")
        kind = item.get("type")
        if kind == "text" and isinstance(item.get("text"), str):
            return cls(text=item["text"])
        if kind == "image_url":
            url = item.get("image_url")
            return cls(image=load_image(_data_of_url(url.get("url") if isinstance(url, Mapping) else url)))
        if kind == "image" and isinstance(item.get("image"), (Image.Image, bytes, str, Path)):
            return cls.image_of(item["image"])
        raise ValueError(f"A content part of type {kind!r} with the keys {sorted(item)} is not understood.")


@dataclass(frozen=True)
class ToolCall:
    """One call. It also reads like the JSON object it stands for: `call["name"]`, `dict(call)`."""

    name: str
    arguments: dict[str, Any]
    id: str = ""

    def keys(self) -> tuple[str, str]:
        return ("name", "arguments")

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> ToolCall:
        """From `{"id", "function": {"name", "arguments"}}` or the bare function; arguments may be JSON text."""
        function = item.get("function", item) if isinstance(item, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name := function.get("name"), str):
            raise ValueError("A tool call needs a name.")
        arguments = function.get("arguments", {})
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments or "{}")
            except (ValueError, RecursionError) as error:
                raise ValueError(f"The arguments of the call to {name!r} are not JSON: {error}.") from error
        if not isinstance(arguments, Mapping):
            raise ValueError(f"The arguments of the call to {name!r} must be an object.")
        return cls(name, dict(arguments), item.get("id") or "")


@dataclass(frozen=True)
class Message:
    """What one role said. `content` may be given as a string and is kept as parts.

    Assistant: `reasoning` is the private thought, `commentary` is said to the user while the turn goes on, `content` is
    the answer. Tool results name their tool by `name` or by `tool_call_id`. Raises ValueError for an unknown role.
    """

    role: str
    content: str | Sequence[Part] = ()
    reasoning: str = ""
    commentary: str = ""
    tool_calls: Sequence[ToolCall] = ()
    name: str = ""
    tool_call_id: str = ""
    token_ids: Sequence[int] = ()
    logprobs: Sequence[float] = ()
    usage: dict[str, float] = field(default_factory=dict)  # counts of tokens, seconds

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"The role {self.role!r} is none of {', '.join(ROLES)}.")
        parts = (Part(text=self.content),) if isinstance(self.content, str) and self.content else tuple(self.content)
        object.__setattr__(self, "content", parts)
        for name in ("tool_calls", "token_ids", "logprobs"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """As an OpenAI-style dict, pictures as data URLs; what `of` reads back. Empty fields are left out."""
        return self._dict(lambda image: {"type": "image_url", "image_url": {"url": _data_url(_png(image))}})

    def _dict(self, of_image: Callable[[Image.Image], dict[str, Any]]) -> dict[str, Any]:
        record: dict[str, Any] = {"role": self.role}
        record["content"] = [
            {"type": "text", "text": part.text} if part.image is None else of_image(part.image) for part in self.parts
        ]
        record["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}} for call in self.tool_calls
        ]
        for name in ("reasoning", "commentary", "name", "tool_call_id", "token_ids", "logprobs", "usage"):
            record[name] = getattr(self, name)
        return {name: value for name, value in record.items() if value or name == "role"}

    @property
    def parts(self) -> tuple[Part, ...]:
        assert isinstance(self.content, tuple)
        return self.content

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text for part in self.parts)

    @property
    def images(self) -> list[Image.Image]:
        return [part.image for part in self.parts if part.image is not None]

    @classmethod
    def of(cls, item: Message | Mapping[str, Any]) -> Message:
        """From an OpenAI-style dict (or a message, unchanged). Raises ValueError for what it cannot read."""
        if isinstance(item, Message):
            return item
        if not isinstance(item, Mapping):
            raise ValueError("A message must be an object.")
        for name, form in _FORMS.items():
            if item.get(name) and not isinstance(item[name], form):
                raise ValueError(f"The {name!r} of a message cannot be {item[name]!r:.100}.")
        content = item.get("content") or ""
        return cls(
            role=str(item.get("role")),
            content=content
            if isinstance(content, str)
            else [part if isinstance(part, Part) else Part.of(part) for part in content],
            reasoning=item.get("reasoning") or item.get("reasoning_content") or "",
            commentary=item.get("commentary") or "",
            tool_calls=[
                call if isinstance(call, ToolCall) else ToolCall.of(call) for call in item.get("tool_calls") or ()
            ],
            name=item.get("name") or "",
            tool_call_id=item.get("tool_call_id") or "",
            token_ids=item.get("token_ids") or (),
            logprobs=item.get("logprobs") or (),
            usage=dict(item.get("usage") or {}),
        )


@dataclass
class Trace:
    """A growing list of messages. With `path`, each appended message is also written there at once.

    Pictures are written inside the line (PNG, base64), or, with `pictures`, as files in that folder beside the trace.
    """

    messages: list[Message] = field(default_factory=list)
    path: Path | None = None
    pictures: str | None = None

    @classmethod
    def open(cls, path: Path, pictures: str | None = None, *, mend: bool = True) -> Trace:
        """Reads the trace at `path`, if there is one, and goes on writing to it.

        A last line without its end was torn by a crash; it is left out and, with `mend`, cut off the file. Raises
        ValueError for any other bad line, and then the file stays as it is.
        """
        messages = []
        if path.exists():
            *lines, torn = path.read_bytes().split(b"\n")
            for number, line in enumerate(lines, start=1):
                try:
                    messages.append(_message_of_line(line, path.parent))
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"{path}, line {number}: {error}") from error
            if torn[: len(_BEGINNING)] != _BEGINNING[: len(torn)]:
                raise ValueError(f"{path}, line {len(lines) + 1}: this is no line of a trace.")
            if torn and mend:
                with path.open("r+b") as file:
                    file.truncate(sum(len(line) + 1 for line in lines))
        return cls(messages, path, pictures)

    def append(self, message: Message) -> None:
        self.messages.append(message)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            line = json.dumps(self._record(message), ensure_ascii=False)
            # What is no text (lone surrogates, such as file names can hold) must not stop a conversation.
            with self.path.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(line + "\n")

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)

    def _record(self, message: Message) -> dict[str, Any]:
        return message.to_dict() if self.pictures is None else message._dict(self._file)

    def _file(self, image: Image.Image) -> dict[str, Any]:
        assert self.path is not None
        png = _png(image)
        name = f"{self.pictures}/{hashlib.sha256(png).hexdigest()[:24]}.png"
        target = self.path.parent / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(png)
        return {"type": "image", "file": name}


def _message_of_line(line: bytes, folder: Path) -> Message:
    record = json.loads(line.decode("utf-8"))
    if not isinstance(record, dict):
        raise ValueError("a message must be a JSON object.")
    if isinstance(content := record.get("content"), list):
        record["content"] = [_opened(item, folder) for item in content]
    return Message.of(record)


def _opened(item: Any, folder: Path) -> Any:
    """A part, its picture read from the file that it names."""
    if not isinstance(item, dict) or "file" not in item:
        return item
    if not isinstance(item["file"], str):
        raise ValueError("a picture must name its file.")
    file = (folder / item["file"]).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ValueError(f"the picture {item['file']} lies outside the folder of the trace.")
    return {"type": "image", "image": file}


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _data_of_url(url: Any) -> bytes:
    if not isinstance(url, str) or not url.startswith("data:"):
        raise ValueError("An image_url must be a data: URL (data:image/png;base64,...).")
    header, _, data = url.partition(",")
    if not header.endswith(";base64"):
        raise ValueError("An image_url must be encoded in base64.")
    return _base64(data)


def _base64(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("The base64 of a picture is damaged.") from error
