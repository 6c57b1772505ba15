"""Threads from files. Nothing in a file is believed but its shape.

- Every id is made anew; a turn follows one that stands before it in the file, so that there are no circles.
- Items are read as those of a request are: the same caps, and pictures only from where a request may have them. What
  the model will be told is made of them, never taken from the file.
- A file that the turn before did not have with the same bytes was made by its turn, also where it was given: uploads
  stay with their owner, so the thread's settings name none.
- An imported turn has no events to watch again.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from firesteel.agent.mind import Mind
from firesteel.format import Message
from firesteel.server.ask import Ask, Caller
from firesteel.server.errors import ApiError, invalid
from firesteel.server.responses.blobs import packed, packed_messages
from firesteel.server.responses.body import ResponseBody, Tools
from firesteel.server.responses.items import Reader, item_id, new_response_id
from firesteel.server.responses.resource import ENDED, resource
from firesteel.server.responses.seal import Seals
from firesteel.server.service import Service
from firesteel.server.store import StoredResponse, Thread
from firesteel.server.threads.body import ThreadFile, TurnFile
from firesteel.server.threads.files import LARGEST, MOST_BYTES, Entry

_PICTURES = 10  # times as many as in a request
_PIECE = 50  # turns
_TICK = 1e-6  # seconds


def new_thread_id() -> str:
    return f"thread_{secrets.token_hex(12)}"


async def import_thread(service: Service, caller: Caller, file: ThreadFile) -> Thread:
    """Stores the thread of a file. Raises ApiError with the place of what is wrong."""
    _check(service, file)
    now, thread = time.time(), new_thread_id()
    reading = _Reading(service, caller, await service.part(Seals).ready(), thread, now)
    for number, turn in enumerate(file.turns):
        await reading.read(turn, f"turns.{number}")
    made = Thread(
        id=thread,
        owner=caller.owner,
        created=min(file.created_at, now),
        updated=now,
        title=file.title or "",
        leaf=reading.ids.get(file.leaf or "", reading.turns[-1].id if reading.turns else None),
        settings={name: value for name, value in (file.settings or {}).items() if name != "files"},
    )
    # Hidden until all turns are there, and purged if that never is; in pieces, since other writes wait for each.
    await service.store.put_thread(replace(made, deleted=now))
    for at in range(0, len(reading.turns), _PIECE):
        await service.store.put_turns(made.owner, made.id, reading.turns[at : at + _PIECE])
    await service.store.restore_thread(made.owner, made.id, 0.0)
    return made


def _check(service: Service, file: ThreadFile) -> None:
    settings, seen = service.settings, set[str]()
    if len(file.turns) > settings.messages:
        raise invalid(f"There are more than {settings.messages} turns.", "turns")
    for number, turn in enumerate(file.turns):
        if turn.id in seen:
            raise invalid(f"The turn {turn.id!r} is there twice.", f"turns.{number}.id")
        if turn.previous is not None and turn.previous not in seen:
            raise invalid(f"There is no turn {turn.previous!r} before this one.", f"turns.{number}.previous")
        seen.add(turn.id)
    most = _PICTURES * settings.images
    if sum(_pictures([turn.input, turn.output]) for turn in file.turns) > most:
        raise invalid(f"There are more than {most} pictures.", "turns")


def _pictures(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_pictures, value.values()))
    if isinstance(value, list):
        return sum(map(_pictures, value))
    return isinstance(value, str) and value.startswith(("data:", "http:", "https:"))


class _Reading:
    """Turns of a file as responses; `ids` are their new ids by those in the file."""

    def __init__(self, service: Service, caller: Caller, seals: Seals, thread: str, now: float) -> None:
        self.ids: dict[str, str] = {}
        self.turns: list[StoredResponse] = []
        self._service, self._caller, self._seals, self._thread, self._now = service, caller, seals, thread, now
        self._messages: dict[str, Sequence[Message]] = {}
        self._files: dict[str, list[Entry]] = {}  # by the turn's id in the file
        self._blobs: dict[str, tuple[str, int]] = {}  # names and sizes of contents, by their ids in the file

    async def read(self, turn: TurnFile, where: str) -> None:
        store, id = self._service.store, new_response_id()
        reader = Reader(self._service, self._caller, self._seals, self._messages.get(turn.previous or "", ()))
        await reader.read(_renamed(turn.input, id, "i"), id, f"{where}.input")
        reader.check()
        asked = len(reader.items)
        await reader.read(_renamed(turn.output, id, "o"), id, f"{where}.output")
        self.ids[turn.id], self._messages[turn.id] = id, reader.messages
        files = self._files[turn.id] = await self._folder(turn, id, f"{where}.files")
        # Turns are listed by their times, so each is later than those before it in the file.
        created = max(min(turn.created_at, self._now), self.turns[-1].created + _TICK if self.turns else 0.0)
        status = turn.status if turn.status in ENDED else "incomplete"
        previous = None if turn.previous is None else self.ids[turn.previous]
        asking = {"model": turn.model, "previous_response_id": previous, "instructions": turn.instructions or None}
        ask = Ask(model=turn.model, messages=(), mind=Mind(mode=turn.mode or "thinking"))
        told = resource(id, int(created), ResponseBody.model_validate(asking), ask, Tools({}, {}, (), {}, [])) | {
            "status": status,
            "completed_at": int(created) if status == "completed" else None,
            "output": reader.items[asked:],
            "usage": turn.usage and turn.usage.model_dump(exclude_none=True),
            "error": turn.error and turn.error.model_dump(),
        }
        self.turns.append(
            StoredResponse(
                id=id,
                owner=self._caller.owner,
                created=created,
                status=status,
                model=turn.model,
                previous=previous,
                thread=self._thread,
                body=await packed(store, told),
                request={"input": await packed(store, reader.items[:asked]), "mode": turn.mode, "files": files},
                messages=await packed_messages(store, reader.messages, reader.urls),
                instructions=turn.instructions,
            )
        )

    async def _folder(self, turn: TurnFile, id: str, where: str) -> list[Entry]:
        """The files at the end of a turn, as its row keeps them."""
        before = {entry["name"]: entry for entry in self._files.get(turn.previous or "", ())}
        files: dict[str, Entry] = {}
        for number, file in enumerate(turn.files):
            place = f"{where}.{number}"
            if file.name in files:
                raise invalid(f"The file {file.name!r} is there twice.", f"{place}.name")
            if file.data is not None:
                data = self._bytes(file.data, f"{place}.data")
                self._blobs[file.id] = await self._service.store.put_blob(data), len(data)
            if file.id not in self._blobs:
                raise invalid("The data of this file is missing: it stands where its id comes first.", f"{place}.data")
            blob, size = self._blobs[file.id]
            made = {"name": file.name, "bytes": size, "turn": id, "blob": blob}
            old = before.get(file.name, made)
            files[file.name] = old if old["blob"] == blob else made
        if sum(entry["bytes"] for entry in files.values()) > MOST_BYTES:
            raise ApiError(413, f"The files of a turn have more than {MOST_BYTES:,} bytes.", param=where)
        return list(files.values())

    def _bytes(self, data: str, where: str) -> bytes:
        most = max(LARGEST, self._service.settings.file_bytes)  # a given one may be larger than what a tool leaves
        if len(data) > most * 4 // 3 + 4:
            raise ApiError(413, f"A file has more than {most:,} bytes.", param=where)
        try:
            return base64.b64decode(data, validate=True)
        except ValueError as error:
            raise invalid("The base64 of a file is damaged.", where) from error


def _renamed(items: Sequence[dict[str, Any]], response: str, place: str) -> list[dict[str, Any]]:
    """Items by names of our own, so that one that names another item finds nothing."""
    return [
        item | {"id": item_id(response, str(item.get("type")), f"{place}{number}")} for number, item in enumerate(items)
    ]
