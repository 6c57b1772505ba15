"""Pictures in what is stored: each once, as a blob beside the row, however often it is named.

JSON that is sent holds pictures as data URLs; JSON that is stored names blobs in their place. So do messages, by the
store's contract: {"type": "image", "blob": SHA-256}. A picture that came as a data URL keeps its own bytes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from firesteel.format import Message, Part
from firesteel.server.store import Store

_BLOB = "firesteel:blob"  # the key that marks a place


async def packed(store: Store, value: Any) -> Any:
    """JSON with blobs in place of its data URLs."""
    if isinstance(value, str) and value.startswith("data:"):
        data = _bytes_of(value)
        if data is None:
            return value
        return {_BLOB: await store.put_blob(data), "head": value.partition(",")[0]}
    if isinstance(value, dict):
        return {_marked(name): await packed(store, each) for name, each in value.items()}
    if isinstance(value, list):
        return [await packed(store, each) for each in value]
    return value


async def unpacked(store: Store, value: Any) -> Any:
    """What `packed` was given."""
    if isinstance(value, dict):
        if _BLOB in value:
            data = await store.get_blob(value[_BLOB])
            assert data is not None, "what names a blob keeps it"
            return f"{value['head']},{base64.b64encode(data).decode()}"
        return {_unmarked(name): await unpacked(store, each) for name, each in value.items()}
    if isinstance(value, list):
        return [await unpacked(store, each) for each in value]
    return value


def placed(value: Any, of: Callable[[str], Any]) -> Any:
    """What `packed` was given, with what `of` makes of a blob's name in the place of its data URL."""
    if isinstance(value, dict):
        if _BLOB in value:
            return of(value[_BLOB])
        return {_unmarked(name): placed(each, of) for name, each in value.items()}
    return [placed(each, of) for each in value] if isinstance(value, list) else value


def _marked(name: str) -> str:
    """A caller's key, which must never be taken for ours: whoever names a blob can read it."""
    return f"{name}'" if name.startswith(_BLOB) else name


def _unmarked(name: str) -> str:
    return name[:-1] if name.startswith(_BLOB) else name


async def packed_messages(store: Store, messages: Sequence[Message], urls: Mapping[int, str]) -> list[dict[str, Any]]:
    """Messages as the store keeps them; `urls` are the data URLs that pictures came as, by `id(picture)`."""
    told = []
    for message in messages:
        content = [await _packed_part(store, part, urls) for part in message.parts]
        bare = replace(message, content=()).to_dict()
        told.append(bare | ({"content": content} if content else {}))
    return told


async def unpacked_messages(store: Store, told: Sequence[Mapping[str, Any]]) -> list[Message]:
    messages = []
    for record in told:
        content = [await _unpacked_part(store, part) for part in record.get("content", ())]
        messages.append(Message.of({**record, "content": content}))
    return messages


def data_url(image: Image.Image) -> str:
    """As PNG."""
    return f"data:image/png;base64,{base64.b64encode(_png(image)).decode()}"


async def _packed_part(store: Store, part: Part, urls: Mapping[int, str]) -> dict[str, Any]:
    if part.image is None:
        return {"type": "text", "text": part.text}
    data = _bytes_of(urls.get(id(part.image), ""))
    if data is None:
        data = await asyncio.to_thread(_png, part.image)
    return {"type": "image", "blob": await store.put_blob(data)}


async def _unpacked_part(store: Store, part: Mapping[str, Any]) -> Part:
    if part["type"] == "text":
        return Part(text=part["text"])
    data = await store.get_blob(part["blob"])
    assert data is not None, "what names a blob keeps it"
    return await asyncio.to_thread(Part.image_of, data)


def _bytes_of(url: str) -> bytes | None:
    """What a data URL holds; None for what could not be written again as it was."""
    head, comma, text = url.partition(",")
    if not comma or not head.endswith(";base64"):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data) == text.encode() else None


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
