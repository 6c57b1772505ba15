"""Threads as files: JSON to come back, Markdown and HTML to read, JSONL to train on. All are written turn by turn.

- JSON holds the whole tree; its pictures are data URLs, and each turn has the files of its folder, so it needs nothing
  else. The bytes of a file stand, in base64, where their id comes first.
- Markdown and HTML show the path to the leaf, and name the files that each turn made. HTML is one page without scripts
  in which everything is escaped; a policy of its own forbids it to load anything.
- SFT has a line for each path from a root to a leaf that ends with an answer, as `firesteel trace --sft` writes it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from html import escape
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse

from firesteel.server.errors import invalid
from firesteel.server.files import attachment, media_type_of
from firesteel.server.responses.blobs import unpacked
from firesteel.server.store import Store, StoredResponse, Thread
from firesteel.server.threads.body import KIND, VERSION
from firesteel.server.threads.files import content_id, content_of, files_of
from firesteel.server.threads.told import thread_of, turn_of

Pieces = AsyncGenerator[str | bytes, None]
Block = tuple[str, str]  # kind (thought, text, code, picture) and text
Section = tuple[str, list[Block]]  # under its heading
_NAME = 80  # characters
_HEADINGS = {"user": "You", "system": "System", "assistant": "Answer", "tool": "Tool"}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 1rem/1.6 system-ui, sans-serif }}
body {{ max-width: 44rem; margin: 2rem auto; padding: 0 1rem }}
h2 {{ font-size: 1rem; margin: 2rem 0 .5rem }}
p, pre, blockquote {{ white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0 }}
blockquote {{ border-left: 2px solid; padding-left: 1rem; opacity: .7 }}
img {{ max-width: 100% }}
</style>
<h1>{title}</h1>
"""
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")


async def export(store: Store, thread: Thread, format: str) -> Response:
    """Raises ApiError for a format that there is not."""
    if format not in _FORMATS:
        raise invalid(f"The format is none of {', '.join(_FORMATS)}.", "format", "invalid_value")
    write, ending, media_type = _FORMATS[format]
    turns = await store.turns(thread.owner, thread.id)
    headers = {"content-disposition": attachment(f"{_name(thread)}.{ending}")}
    return StreamingResponse(write(store, thread, turns), headers=headers, media_type=media_type)


async def _json(store: Store, thread: Thread, turns: Sequence[StoredResponse]) -> Pieces:
    head = thread_of(thread) | {"object": KIND, "version": VERSION}
    yield orjson.dumps(head)[:-1] + b',"turns":['
    known: set[str] = set()
    for number, turn in enumerate(turns):
        told = await _with_uploads(store, turn.owner, await unpacked(store, turn_of(turn)))
        yield (b",\n" if number else b"\n") + orjson.dumps(told)[:-1] + b',"files":['
        comma = b""
        async for file in _folder(store, turn, known):
            yield comma + orjson.dumps(file)
            comma = b","
        yield b"]}"
    yield b"\n]}\n"


async def _sft(store: Store, thread: Thread, turns: Sequence[StoredResponse]) -> Pieces:
    for leaf in _leaves(turns):
        path = _path(turns, leaf.id)
        messages = [message for turn in path for message in turn.messages]
        if messages and messages[-1]["role"] == "assistant":
            system = [{"role": "system", "content": [{"type": "text", "text": leaf.instructions}]}]
            told = [*(system if leaf.instructions else ()), *[await _whole(store, message) for message in messages]]
            yield (json.dumps({"messages": told}, ensure_ascii=False) + "\n").encode("utf-8", "replace")


async def _markdown(store: Store, thread: Thread, turns: Sequence[StoredResponse]) -> Pieces:
    yield f"# {' '.join(thread.title.split()) or thread.id}\n"
    async for heading, blocks in _shown(store, thread, turns):
        yield f"\n## {heading}\n"
        for kind, text in blocks:
            yield f"\n{_markdown_of(kind, text)}\n"


async def _html(store: Store, thread: Thread, turns: Sequence[StoredResponse]) -> Pieces:
    yield _PAGE.format(title=escape(thread.title or thread.id))
    async for heading, blocks in _shown(store, thread, turns):
        yield f"<h2>{heading}</h2>\n"
        for kind, text in blocks:
            yield _html_of(kind, text) + "\n"


_FORMATS: dict[str, tuple[Callable[[Store, Thread, Sequence[StoredResponse]], Pieces], str, str]] = {
    "json": (_json, "json", "application/json"),
    "markdown": (_markdown, "md", "text/markdown; charset=utf-8"),
    "html": (_html, "html", "text/html; charset=utf-8"),
    "sft": (_sft, "jsonl", "application/jsonl"),
}


def _name(thread: Thread) -> str:
    """Of the file, from the title."""
    return re.sub(r"[/\\]", " ", thread.title[:_NAME]).strip() or thread.id


def _leaves(turns: Sequence[StoredResponse]) -> list[StoredResponse]:
    followed = {turn.previous for turn in turns}
    return [turn for turn in turns if turn.id not in followed]


def _path(turns: Sequence[StoredResponse], leaf: str | None) -> list[StoredResponse]:
    """From the root to a leaf."""
    known, path = {turn.id: turn for turn in turns}, []
    while leaf in known:
        turn = known.pop(leaf)
        path.append(turn)
        leaf = turn.previous
    return path[::-1]


async def _shown(store: Store, thread: Thread, turns: Sequence[StoredResponse]) -> AsyncGenerator[Section, None]:
    leaves = _leaves(turns)
    for turn in _path(turns, thread.leaf) or _path(turns, leaves[-1].id if leaves else None):
        for message in turn.messages:
            yield _HEADINGS.get(message["role"], "System"), list(_blocks(await _whole(store, message)))
        if made := [entry["name"] for entry in files_of(turn) if entry["turn"] == turn.id]:
            yield "Files", [("code", ", ".join(made))]


async def _folder(store: Store, turn: StoredResponse, known: set[str]) -> AsyncGenerator[dict[str, Any], None]:
    """The files at the end of a turn; `known` are contents whose bytes were told before."""
    for entry in files_of(turn):
        file = {"name": entry["name"], "id": content_id(entry)}
        if file["id"] not in known:
            data = await content_of(store, turn.owner, entry)
            if data is None:  # it was given, and is deleted
                continue
            known.add(file["id"])
            file["data"] = base64.b64encode(data).decode()
        yield file


async def _whole(store: Store, message: dict[str, Any]) -> dict[str, Any]:
    """A stored message as `Message.to_dict` writes it; pictures keep the bytes that they came with."""
    content = []
    for part in message.get("content", ()):
        if part["type"] == "image":
            data = await store.get_blob(part["blob"])
            assert data is not None, "a blob that a message names is kept"
            part = {"type": "image_url", "image_url": {"url": _url(data)}}
        content.append(part)
    return message | ({"content": content} if content else {})


async def _with_uploads(store: Store, owner: str, value: Any) -> Any:
    """JSON whose pictures that name an uploaded file hold its bytes."""
    if isinstance(value, list):
        return [await _with_uploads(store, owner, each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") in ("input_image", "input_file") and isinstance(id := value.get("file_id"), str):
        data = await store.file_data(owner, id)
        if data is None:
            return {"type": "input_text", "text": "[a picture that was deleted]"}
        return {"type": "input_image", "image_url": _url(data)}
    return {name: await _with_uploads(store, owner, each) for name, each in value.items()}


def _url(data: bytes) -> str:
    return f"data:{media_type_of(data)};base64,{base64.b64encode(data).decode()}"


def _blocks(message: dict[str, Any]) -> Iterator[Block]:
    """What a message shows, in order."""
    if message.get("reasoning"):
        yield "thought", message["reasoning"]
    if message.get("commentary"):
        yield "text", message["commentary"]
    for part in message.get("content", ()):
        if part["type"] == "image_url":
            yield "picture", part["image_url"]["url"]
        elif part["text"]:
            yield ("code" if message["role"] == "tool" else "text"), part["text"]
    for call in message.get("tool_calls", ()):
        function = call["function"]
        yield "code", f"{function['name']} {json.dumps(function['arguments'], ensure_ascii=False)}"


def _markdown_of(kind: str, text: str) -> str:
    if kind == "thought":
        return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
    if kind == "code":
        longest = max((len(run) for run in re.findall("`+", text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}\n{text}\n{fence}"
    return f"![picture]({text})" if kind == "picture" else text


def _html_of(kind: str, text: str) -> str:
    if kind == "picture":
        return f'<img alt="" src="{text}">' if _PICTURE.fullmatch(text) else ""
    tag = {"thought": "blockquote", "code": "pre"}.get(kind, "p")
    return f"<{tag}>{escape(text)}</{tag}>"
