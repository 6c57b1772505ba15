"""Files that callers keep here: upload, list, read, delete (OpenAI's `client.files`).

- A body is read as it comes and no further than its cap; beyond a megabyte the file waits on disk, not in memory.
- A name is for showing: it loses folders and characters that cannot be seen, and is never a path.
- What a file is, its bytes say, not its sender. Only four kinds of raster pictures come back under their own media
  type; all else is `application/octet-stream`, is not sniffed, and is saved instead of shown, so that no browser runs
  a stranger's file under this origin.
- A file stays until it is deleted, or until the end that its upload names with `expires_after`. An owner has at most so
  many of them, and so many bytes; what has expired takes no room.

Reference: platform.openai.com/docs/api-reference/files.
"""

from __future__ import annotations

import re
import secrets
import time
import unicodedata
from collections.abc import AsyncGenerator
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firesteel.server.errors import ApiError, invalid, not_found
from firesteel.server.http import answer_json, caller_of, checked, service_of
from firesteel.server.reading import Loose
from firesteel.server.store import File, Store

PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
_FRAME = 1 << 16  # bytes of a body that are not the file
_FIELDS = 16
_LASTING = (3600, 30 * 86400)  # seconds that an upload may ask for
_PAGE = 1000
_NAME_BYTES = 255
_UNKNOWN = "application/octet-stream"
_PICTURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)


class ListQuery(Loose):
    after: str | None = None
    limit: int = Field(10_000, ge=1, le=10_000)
    order: Literal["asc", "desc"] = "desc"
    purpose: str | None = None


async def upload(request: Request) -> Response:
    service = service_of(request)
    most = service.settings.file_bytes
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise invalid("A file is sent as multipart/form-data with the fields file and purpose.")
    parser = MultiPartParser(request.headers, _body(request, most), max_files=1, max_fields=_FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise invalid(str(error.message), code="invalid_multipart") from error
    try:
        sent, purpose = form.get("file"), form.get("purpose")
        if not isinstance(sent, UploadFile):
            raise invalid("The field file is missing.", "file")
        if purpose not in PURPOSES:
            raise invalid(f"The purpose is none of {', '.join(PURPOSES)}.", "purpose")
        if (sent.size or 0) > most:
            raise _too_large(most)
        lasting = _lasting(form)
        data, name = await sent.read(), display_name(sent.filename or "")
    finally:
        await form.close()
    now = time.time()
    file = File(
        id=f"file-{secrets.token_hex(12)}",
        owner=caller_of(request).owner,
        created=now,
        name=name,
        purpose=str(purpose),
        media_type=media_type_of(data),
        bytes=len(data),
        expires=None if lasting is None else now + lasting,
    )
    settings = service.settings
    over = await service.store.put_file(file, data, settings.owner_files, settings.owner_bytes)
    if over == "bytes":
        message = f"Your files would have more than {settings.owner_bytes:,} bytes: delete some."
        raise ApiError(413, message, param="file", code="storage_full")
    if over == "files":
        headers = {"x-should-retry": "false"}  # clients would wait in vain
        message = f"You have {settings.owner_files:,} files, the most there may be: delete some."
        raise ApiError(429, message, param="file", code="too_many_files", headers=headers)
    return answer_json(told(file))


async def listing(request: Request) -> Response:
    query = checked(ListQuery, dict(request.query_params))
    found = await _found(service_of(request).store, caller_of(request).owner, query)
    data = [told(file) for file in found[: query.limit]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return answer_json({"object": "list", "data": data, **ends, "has_more": len(found) > query.limit})


async def retrieve(request: Request) -> Response:
    return answer_json(told(await _file(request)))


async def content(request: Request) -> Response:
    file = await _file(request)
    data = await service_of(request).store.file_data(file.owner, file.id)
    if data is None:  # deleted a moment ago
        raise not_found("file", file.id)
    return download(data, file.name, file.media_type)


async def delete(request: Request) -> Response:
    id = request.path_params["id"]
    if not await service_of(request).store.delete_file(caller_of(request).owner, id):
        raise not_found("file", id)
    return answer_json({"id": id, "object": "file", "deleted": True})


def told(file: File) -> dict[str, Any]:
    """A file in the words of the protocol."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created),
        "expires_at": None if file.expires is None else int(file.expires),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }


def display_name(given: str) -> str:
    """The last part of a path, without characters that control how it looks, at most as long as a file system takes."""
    last = re.split(r"[/\\]", given)[-1]
    seen = "".join(character for character in last if not unicodedata.category(character).startswith("C")).strip()
    return "file" if seen in ("", ".", "..") else seen.encode()[:_NAME_BYTES].decode(errors="ignore")


def download(data: bytes, name: str, media_type: str) -> Response:
    """An answer that is saved; that it may not run, nor be sniffed or framed, the guard says of all answers."""
    headers = {"content-disposition": attachment(name), "cache-control": "private"}
    return Response(data, headers=headers, media_type=media_type)


def attachment(name: str) -> str:
    """The header that has a browser save what it gets (RFC 6266)."""
    shown = display_name(name)
    plain = re.sub(r'[^ -~]|["\\%]', "_", shown)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"


def media_type_of(data: bytes) -> str:
    return next((kind for pattern, kind in _PICTURES if pattern.match(data)), _UNKNOWN)


async def _body(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises ApiError 413 as soon as it is longer than a file of `most` bytes can make it."""
    length = request.headers.get("content-length", "")
    size = int(length) if length.isdecimal() else 0
    if size > most + _FRAME:
        raise _too_large(most)
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most + _FRAME:
            raise _too_large(most)
        yield piece


def _lasting(form: FormData) -> int | None:
    """The seconds after which a file shall be gone. Raises ApiError."""
    anchor, given = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and given is None:
        return None
    if anchor != "created_at":
        raise invalid("A file expires some time after it was made: the anchor is created_at.", "expires_after.anchor")
    least, most = _LASTING
    digits = given if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 10 else "0"
    if not least <= int(digits) <= most:
        raise invalid(f"A file expires after {least} to {most} seconds.", "expires_after.seconds")
    return int(digits)


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"The file has more than {most:,} bytes.", param="file", code="file_too_large")


async def _file(request: Request) -> File:
    id = request.path_params["id"]
    file = await service_of(request).store.get_file(caller_of(request).owner, id)
    if file is None:
        raise not_found("file", id)
    return file


async def _found(store: Store, owner: str, query: ListQuery) -> list[File]:
    """The files behind `after`, at least one more than the limit if there are more. The store has the newest first."""
    newest_first = query.order == "desc"
    found: list[File] = []
    after = query.after if newest_first else None
    while page := await store.list_files(owner, _PAGE, after):
        found += [file for file in page if query.purpose in (None, file.purpose)]
        after = page[-1].id
        if newest_first and len(found) > query.limit:
            break
    if newest_first:
        return found
    found.reverse()
    if query.after is not None:
        ids = [file.id for file in found]
        found = found[ids.index(query.after) + 1 :] if query.after in ids else []
    return found


routes: list[BaseRoute] = [
    Route("/v1/files", upload, methods=["POST"]),
    Route("/v1/files", listing),
    Route("/v1/files/{id}", retrieve),
    Route("/v1/files/{id}", delete, methods=["DELETE"]),
    Route("/v1/files/{id}/content", content),
]
