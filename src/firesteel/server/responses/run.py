"""One response: what is asked made of a body and of what was said before, then its events, then its place in the store.

- `instructions` are the system's words of this response alone; what is kept are the messages of input and answer.
- A chain whose beginning was deleted, or is too far back, cannot be followed: that is told, not guessed over.
- What is stored is there before the last event is sent. A run that was cut leaves no call of ours without a result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from firesteel.agent.files import write_file
from firesteel.format import Message
from firesteel.server.ask import Ask, Caller
from firesteel.server.chat.reply import tokens_of
from firesteel.server.errors import ApiError, invalid, not_found
from firesteel.server.responses.blobs import packed, packed_messages, unpacked, unpacked_messages
from firesteel.server.responses.body import SEALED, ResponseBody, Tools, chosen, mind_of_body, tools_of_body
from firesteel.server.responses.events import Form, Status, Writer
from firesteel.server.responses.fit import fitted
from firesteel.server.responses.items import Reader, new_response_id, unanswered
from firesteel.server.responses.resource import ENDED, error_of, resource, usage_of
from firesteel.server.responses.seal import Seals
from firesteel.server.service import Answer, Service
from firesteel.server.store import Item, Store, StoredResponse
from firesteel.server.store.responses import CHAIN
from firesteel.server.threads.files import Folder
from firesteel.server.threads.permission import Permissions

_PAGE = 500
_STATUS: dict[str, Status] = {"stop": "completed", "tool_calls": "completed", "length": "incomplete"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A body made ready. `items` and `input` are what this response adds to the conversation, `before` what was said
    earlier, `previous` the stored response that holds it, `urls` the data URLs of pictures, `folder` the files of a
    thread's turn.
    """

    id: str
    created: float
    caller: Caller
    body: ResponseBody
    ask: Ask
    tools: Tools
    seals: Seals
    items: Sequence[dict[str, Any]]
    before: Sequence[Message]
    previous: str | None
    input: Sequence[Message]
    urls: Mapping[int, str]
    folder: Folder | None = None


async def question(
    service: Service, caller: Caller, body: ResponseBody, cached: Mapping[str, Sequence[Message]] | None = None
) -> Question:
    """What a body asks. `cached` are conversations by the id of their last response, which is not stored. Raises
    ApiError.
    """
    cached = cached or {}
    if body.previous_response_id is not None and body.conversation is not None:
        raise invalid("A response follows another response or a conversation, not both.", "previous_response_id")
    if body.background and not body.stored:
        raise invalid("A response in the background must be stored.", "background")
    id, folder = new_response_id(), None
    if body.firesteel and body.firesteel.thread is not None:
        folder = await _folder(service, caller, body, body.firesteel.thread, id)
    seals = await service.part(Seals).ready()
    before = await earlier(service, caller, body.previous_response_id, cached)
    reader = Reader(service, caller, seals, before)
    if body.conversation is not None:
        await reader.read(await conversation_items(service, caller, body.conversation), id, "conversation", kept=True)
    told, said = len(reader.items), len(reader.messages)
    await reader.read(body.input, id, "input")
    reader.check()
    tools = await tools_of_body(service, caller, body)
    choice, theirs = chosen(body.tool_choice, tools)
    system = [Message("system", body.instructions)] if body.instructions else []
    messages: Sequence[Message] = [*system, *before, *reader.messages]
    if messages and messages[-1].role == "assistant":
        raise invalid("The conversation ends with an answer: there is nothing to answer.", "input")
    if folder and tools.here:
        folder.check()
    mind = mind_of_body(service, body, choice, tools)
    if body.firesteel and body.firesteel.thread is not None:
        mind = replace(mind, permit=service.part(Permissions).of(caller.owner, body.firesteel.thread))
    if body.truncation == "auto":
        messages = await fitted(service.backend, messages, list(theirs.values()), mind.limits.turn_tokens)
    return Question(
        id=id,
        created=time.time(),
        caller=caller,
        body=body,
        ask=Ask(
            model=body.model,
            messages=tuple(messages),
            mind=mind,
            theirs=tuple(theirs.values()),
            tools=tools.here,
            fill=partial(_fill, service.store, caller.owner, folder, tools.files),
            keep=folder.keep if folder else None,
            seconds=body.firesteel.seconds if body.firesteel else None,
        ),
        tools=tools,
        seals=seals,
        items=reader.items[told:],
        before=[*before, *reader.messages[:said]],
        previous=None if body.previous_response_id in cached else body.previous_response_id,
        input=reader.messages[said:],
        urls=reader.urls,
        folder=folder,
    )


async def _folder(service: Service, caller: Caller, body: ResponseBody, thread: str, turn: str) -> Folder:
    """The folder of a turn. Raises ApiError where the body asks for what cannot be a turn of its thread."""
    store, previous = service.store, body.previous_response_id
    if not body.stored or body.conversation is not None:
        raise invalid("A turn of a thread is stored, and belongs to no conversation.", "firesteel.thread")
    found = await store.get_thread(caller.owner, thread)
    if found is None:
        raise not_found("thread", thread)
    before = await store.get_response(caller.owner, previous) if previous is not None else None
    if previous is not None and (before is None or before.thread != thread):
        message = f"A turn follows a stored turn of its own thread; {previous!r} is none of {thread!r}."
        code = "response_in_other_thread" if before else "previous_response_not_found"
        raise invalid(message, "previous_response_id", code)
    return await Folder.of(store, found, before, turn)


async def _fill(store: Store, owner: str, thread: Folder | None, given: Mapping[str, str], folder: Path) -> None:
    """Puts the files of a thread, and those that a code interpreter is given, into the folder of the tools. Raises
    ValueError for one of the latter that cannot lie there.
    """
    if thread:
        await thread.fill(folder)
    for name, id in given.items():
        if (data := await store.file_data(owner, id)) is not None:
            await asyncio.to_thread(write_file, folder, name, data)


async def earlier(
    service: Service, caller: Caller, id: str | None, cached: Mapping[str, Sequence[Message]]
) -> Sequence[Message]:
    """The conversation up to a response. Raises ApiError where it cannot be followed."""
    if id is None:
        return []
    if id in cached:
        return cached[id]
    chain = await service.store.chain(caller.owner, id)
    param, code = "previous_response_id", "previous_response_not_found"
    if not chain:
        raise invalid(f"Previous response with id {id!r} not found.", param, code)
    if chain[0].previous is not None:
        message = f"A response before {id!r} was deleted, or there are more than {CHAIN:,}: it cannot be followed."
        raise invalid(message, param, code)
    if any(part.conversation for part in chain):
        raise invalid(f"The response {id!r} belongs to a conversation: follow that.", param, "response_in_conversation")
    if chain[-1].status not in ENDED:
        raise invalid(f"The response {id!r} has not ended yet.", param, "response_not_ended")
    return [message for part in chain for message in await unpacked_messages(service.store, part.messages)]


async def conversation_items(service: Service, caller: Caller, id: str) -> list[dict[str, Any]]:
    """All items of a conversation. Raises ApiError 404 where there is none."""
    if await service.store.get_conversation(caller.owner, id) is None:
        raise not_found("conversation", id)
    items: list[Item] = []
    while True:
        after = items[-1].id if items else None
        page = await service.store.items(caller.owner, id, after, _PAGE)
        items += page
        if len(page) < _PAGE:
            return [await unpacked(service.store, item.value) for item in items]


class Run:
    """One response while it is made: `events`, then `close`, then `save`; the resource is `response` all the time."""

    def __init__(self, service: Service, asked: Question) -> None:
        self.asked, self.begun = asked, False
        self.response = resource(asked.id, int(asked.created), asked.body, asked.ask, asked.tools)
        self._service, self._answer = service, Answer(service, asked.ask, asked.caller)
        seal = partial(asked.seals.seal, asked.caller.owner, "reasoning") if asked.body.includes(SEALED) else None
        form = Form(
            dialect=service.settings.raw_reasoning,
            names=asked.tools.names,
            seal=seal,
            tokens=partial(tokens_of, service),
        )
        self.writer = Writer(self.response, form)
        self._limit = ""

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        """What happens, up to the end of the answer. Raises ApiError as `Answer.events` does; then it may be read anew
        as long as nothing has `begun`.
        """
        self._answer = Answer(self._service, self.asked.ask, self.asked.caller)
        async with aclosing(self._answer.events()) as events:
            async for _, event in events:
                if not self.begun:
                    self.begun = True
                    for told in self._beginning():
                        yield told
                if event.kind == "limit" and not event.agent:
                    self._limit = event.text
                for told in self.writer.take(event):
                    yield told

    def _beginning(self) -> list[dict[str, Any]]:
        queued = self.response["status"] == "queued"
        self.response["status"] = "in_progress"
        return [self.writer.state(f"response.{kind}") for kind in ("created", "in_progress")[queued:]]

    def queue(self) -> list[dict[str, Any]]:
        """The first events of a response that will be made later."""
        self.response["status"] = "queued"
        return [self.writer.state(f"response.{kind}") for kind in ("created", "queued")]

    def close(self, error: ApiError | None = None, cancelled: bool = False) -> list[dict[str, Any]]:
        """The last events; the response is whole then. `error` is what it failed with."""
        reason = self._answer.reasons[0]
        status: Status = "failed" if error else "cancelled" if cancelled else _STATUS.get(reason, "incomplete")
        events = self.writer.end(status)
        self.response |= {"status": status, "usage": usage_of(self._answer.usage)}
        if error:
            self.response["error"] = error_of(error)
        elif status == "completed":
            self.response["completed_at"] = int(time.time())
        elif status == "incomplete":
            self.response["incomplete_details"] = (
                {"reason": "max_output_tokens"} if reason == "length" else {"reason": "limit", "message": self._limit}
            )
        return [*events, self.writer.last()]

    @property
    def added(self) -> list[Message]:
        """What this response adds to the conversation."""
        said = [replace(message, token_ids=(), logprobs=()) for message in self._answer.said()]
        missing = [call for call in unanswered(said) if call.name not in self.asked.tools.names]
        lost = "Error: the run ended before this was done."
        results = [Message("tool", lost, name=call.name, tool_call_id=call.id) for call in missing]
        return [*self.asked.input, *said, *results]

    async def stored(self) -> StoredResponse:
        """The row of the response as it is now."""
        store, asked = self._service.store, self.asked
        rooted = asked.previous == asked.body.previous_response_id  # else nothing else keeps what was said before
        # While it is made, only what was asked: what a dead replica had said is read from its events (`background.py`).
        added = self.added if self.response["status"] in ENDED else asked.input
        messages = added if rooted else [*asked.before, *added]
        files = {"files": asked.folder.files} if asked.folder and asked.folder.files else {}
        return StoredResponse(
            id=asked.id,
            owner=asked.caller.owner,
            created=asked.created,
            status=self.response["status"],
            background=bool(asked.body.background),
            model=asked.body.model,
            previous=asked.previous,
            conversation=asked.body.conversation,
            thread=asked.body.firesteel.thread if asked.body.firesteel else None,
            body=await packed(store, self.response),
            request={
                "input": await packed(store, list(asked.items)),
                "mode": asked.ask.mind.mode,
                "tools": list(asked.tools.here),
            }
            | files,
            messages=await packed_messages(store, messages, asked.urls),
            instructions=asked.body.instructions or "",
        )

    async def save(self) -> None:
        """Keeps a response that has ended, and what it adds to its conversation."""
        store, asked = self._service.store, self.asked
        if asked.body.stored:
            await store.put_response(await self.stored())
        items = await packed(store, [*asked.items, *self.response["output"]])
        await continued(store, asked.caller.owner, asked.body.conversation, self.response["status"], items)


async def continued(store: Store, owner: str, conversation: str | None, status: str, items: list[Any]) -> None:
    """Adds the items of a response to its conversation, if it has one; those of one that failed are not added."""
    if conversation is not None and status in ("completed", "incomplete"):
        await store.append_items(owner, conversation, items)


async def foreground(run: Run) -> AsyncGenerator[dict[str, Any], None]:
    """All events of a response that lives as long as its caller listens. Raises ApiError only before the first."""
    error = None
    try:
        async with aclosing(run.events()) as events:
            async for event in events:
                yield event
    except ApiError as failure:
        if not run.begun:
            raise
        error = failure
    closing = run.close(error)
    await run.save()
    for event in closing:
        yield event


async def whole(run: Run) -> dict[str, Any]:
    """The response when it has ended. Raises ApiError where it failed."""
    async with aclosing(run.events()) as events:
        async for _ in events:
            pass
    run.close()
    await run.save()
    return run.response
