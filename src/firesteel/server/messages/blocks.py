"""The blocks of a message's content, and how they become messages of a trace.

- Text blocks are paragraphs: neighbours are joined with a blank line.
- A block of an unknown type is no reason to refuse. In a question or a result a note says that it stood there, so that
  nobody answers as if it had been read; in an answer it is left out.
- Results must answer calls that stand before them, and every call needs its result, as the reference demands; between
  them any order and any run of equal roles is taken.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from firesteel.format import Message, Part, ToolCall
from firesteel.server.ask import Caller
from firesteel.server.errors import ApiError, invalid, not_found
from firesteel.server.messages.thoughts import thought_of
from firesteel.server.reading import Loose, Pictures
from firesteel.server.service import Service

_MOST_PDFS = 10  # of a request; each is read by a process of its own


class Text(Loose):
    text: str


class ImageSource(Loose):
    type: Literal["base64", "url", "file"]
    data: str = ""
    url: str = ""
    file_id: str = ""


class Image(Loose):
    source: ImageSource


class Thinking(Loose):
    thinking: str = ""
    signature: str = ""


class ToolUse(Loose):
    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    input: dict[str, Any] = Field({})


class Other(Loose):
    type: str


_SIMPLE = {"text": "Text", "image": "Image"}
_SHOWN = _SIMPLE | {"document": "Document", "search_result": "SearchResult"}
_BLOCKS = _SHOWN | {"thinking": "Thinking", "tool_use": "ToolUse", "tool_result": "ToolResult"}


def _one_of(names: Mapping[str, str]) -> Discriminator:
    """Chooses a block's class by its type. The tags begin with capitals, which keeps them out of errors' paths."""

    def name(block: Any) -> str:
        type = block.get("type") if isinstance(block, dict) else None
        return names.get(type, "Other") if isinstance(type, str) else "Other"

    return Discriminator(name)


def _listed(content: Any) -> Any:
    """Content is a list of blocks; a string is short for one of text."""
    if content is None:
        return []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


Simple = Annotated[
    Annotated[Text, Tag("Text")] | Annotated[Image, Tag("Image")] | Annotated[Other, Tag("Other")],
    _one_of(_SIMPLE),
]


class DocumentSource(Loose):
    type: Literal["base64", "text", "content", "url", "file"]
    data: str = ""
    content: Annotated[list[Simple], BeforeValidator(_listed)] = Field([])
    file_id: str = ""


class Document(Loose):
    source: DocumentSource
    title: str | None = None
    context: str | None = None


class SearchResult(Loose):
    source: str
    title: str = ""
    content: list[Simple] = Field([])


Shown = Annotated[
    Annotated[Text, Tag("Text")]
    | Annotated[Image, Tag("Image")]
    | Annotated[Document, Tag("Document")]
    | Annotated[SearchResult, Tag("SearchResult")]
    | Annotated[Other, Tag("Other")],
    _one_of(_SHOWN),
]


class ToolResult(Loose):
    tool_use_id: str
    content: Annotated[list[Shown], BeforeValidator(_listed)] = Field([])
    is_error: bool | None = None


Block = Annotated[
    Annotated[Text, Tag("Text")]
    | Annotated[Image, Tag("Image")]
    | Annotated[Document, Tag("Document")]
    | Annotated[SearchResult, Tag("SearchResult")]
    | Annotated[Thinking, Tag("Thinking")]
    | Annotated[ToolUse, Tag("ToolUse")]
    | Annotated[ToolResult, Tag("ToolResult")]
    | Annotated[Other, Tag("Other")],
    _one_of(_BLOCKS),
]
Content = Annotated[list[Block], BeforeValidator(_listed)]


class MessageParam(Loose):
    role: Literal["user", "assistant", "system"]
    content: Content


class Reader:
    """Reads the messages of one request."""

    def __init__(self, service: Service, caller: Caller) -> None:
        self._service, self._caller = service, caller
        self._pictures = Pictures(service, caller)
        self._pdfs = 0

    async def messages(self, given: Sequence[MessageParam]) -> list[Message]:
        """The conversation without its system field. Raises ApiError for what cannot be read."""
        messages: list[Message] = []
        waiting: dict[str, str] = {}  # calls without results: name by id
        for number, message in enumerate(given):
            where = f"messages.{number}"
            if message.role == "assistant":
                if waiting and messages[-1].role != "assistant":
                    raise _unanswered(waiting, where)
                said = _said(message.content)
                waiting |= {call.id: call.name for call in said.tool_calls}
                if said.content or said.reasoning or said.tool_calls:
                    messages.append(said)
                continue
            asked = []
            for place, block in enumerate(message.content):
                param = f"{where}.content.{place}"
                if isinstance(block, ToolResult):
                    if block.tool_use_id not in waiting:
                        raise invalid(f"There is no call {block.tool_use_id!r} before this result.", param)
                    name = waiting.pop(block.tool_use_id)
                    parts = await self._parts(block.content, param)
                    if block.is_error:
                        parts = [Part(text="Error: "), *parts]
                    messages.append(Message("tool", parts, name=name, tool_call_id=block.tool_use_id))
                else:
                    asked.append((block, param))
            if asked or not message.content:
                messages.append(Message(message.role, _spaced([await self._part(*each) for each in asked])))
        if waiting:
            raise _unanswered(waiting, f"messages.{len(given) - 1}")
        if given[-1].role == "assistant":
            raise invalid("The conversation must end with the user: an answer cannot be begun for the model.", where)
        return messages

    async def _parts(self, blocks: Sequence[Any], where: str) -> list[Part]:
        return _spaced([await self._part(block, f"{where}.content.{place}") for place, block in enumerate(blocks)])

    async def _part(self, block: Any, where: str) -> list[Part]:
        match block:
            case Text():
                return [Part(text=block.text)]
            case Image(source=source):
                if source.type == "base64":
                    return [await self._pictures.of_base64(source.data, where)]
                if source.type == "url":
                    return [await self._pictures.of_url(source.url, where)]
                return [await self._pictures.of_file(source.file_id, where)]
            case Document():
                head = [f"[Document: {block.title or 'without a title'}]", *([block.context] if block.context else [])]
                return [Part(text="\n".join(head)), *await self._document(block.source, where)]
            case SearchResult():
                head = [f"[Search result: {block.title}, {block.source}]"]
                return [Part(text=head[0]), *await self._parts(block.content, where)]
            case Thinking() | ToolUse():
                raise invalid("Only the assistant thinks and calls tools.", where)
        assert isinstance(block, Other)
        return [Part(text=f"[A block of the type {block.type!r} stood here, which cannot be read.]")]

    async def _document(self, source: DocumentSource, where: str) -> list[Part]:
        if source.type == "text":
            return [Part(text=source.data)]
        if source.type == "content":
            return await self._parts(source.content, where)
        if source.type == "url":
            raise invalid("Documents are not fetched from the web here: send them as base64 or as text.", where)
        if source.type == "file":
            found = await self._service.store.file_data(self._caller.owner, source.file_id)
            if found is None:
                raise not_found("file", source.file_id)
            data = found
        else:
            try:
                data = base64.b64decode(source.data, validate=True)
            except (binascii.Error, ValueError) as error:
                raise invalid("The base64 of a document is damaged.", where) from error
        try:
            if not data.startswith(b"%PDF-"):
                return [Part(text=data.decode())]
            return [Part(text="\n\n".join(await self._pages(data, where)))]
        except UnicodeDecodeError as error:
            raise invalid("A document is a PDF or text in UTF-8.", where) from error

    async def _pages(self, data: bytes, where: str) -> list[str]:
        most = self._service.settings.file_bytes
        if len(data) > most:
            raise ApiError(413, f"A document has more than {most:,} bytes.", param=where)
        from firesteel.agent.web.pdf import pages_of_pdf  # which is slow to import

        self._pdfs += 1
        if self._pdfs > _MOST_PDFS:
            raise invalid(f"There are more than {_MOST_PDFS} PDF documents.", where)
        try:
            return await asyncio.to_thread(pages_of_pdf, data)
        except ValueError as error:
            raise invalid(str(error), where) from error


def _said(blocks: Sequence[Any]) -> Message:
    """What the assistant said. Blocks that only the original's servers can read are left out."""
    return Message(
        "assistant",
        "\n\n".join(block.text for block in blocks if isinstance(block, Text) and block.text),
        reasoning="\n\n".join(
            thought for b in blocks if isinstance(b, Thinking) and (thought := thought_of(b.thinking, b.signature))
        ),
        tool_calls=[ToolCall(block.name, block.input, block.id) for block in blocks if isinstance(block, ToolUse)],
    )


def _spaced(blocks: Sequence[Sequence[Part]]) -> list[Part]:
    """The parts of all blocks, with blank lines between neighbouring texts."""
    spaced: list[Part] = []
    for part in (part for parts in blocks for part in parts):
        if spaced and part.image is None and spaced[-1].image is None:
            part = Part(text=f"\n\n{part.text}")
        spaced.append(part)
    return spaced


def _unanswered(waiting: dict[str, str], where: str) -> ApiError:
    return invalid(f"These calls have no result before this: {', '.join(waiting)}.", where)
