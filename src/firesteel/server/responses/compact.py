"""`POST /v1/responses/compact`: a conversation made short.

The output is, as OpenAI's, the user's own messages and one compaction item. That item holds, sealed, what the model
itself wrote when it was asked for a summary. The messages are the newest ones, up to `_KEPT` characters, since they say
what is wanted even where a small model sums up badly. A conversation that is too long for the context is summed up
from its newest turns.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Any

from pydantic import Field

from firesteel.format import Message
from firesteel.server.ask import Ask, Caller
from firesteel.server.errors import invalid
from firesteel.server.reading import Loose, mind_of
from firesteel.server.responses.body import Items, Short
from firesteel.server.responses.fit import fitted
from firesteel.server.responses.items import Reader, item_id, new_response_id
from firesteel.server.responses.resource import usage_of
from firesteel.server.responses.run import earlier
from firesteel.server.responses.seal import Seals
from firesteel.server.service import Answer, Service

_KEPT = 20_000
_TASK = (
    "Write a summary of our conversation so far, from which you could go on without reading it: what I want, what was "
    "found out and decided, what was done with which result, what is still to do. Write only the summary."
)


class CompactBody(Loose):
    model: str
    input: Items = Field(default_factory=list)
    previous_response_id: str | None = None
    instructions: str | None = None
    prompt_cache_key: Short | None = None


async def compaction(service: Service, caller: Caller, body: CompactBody) -> dict[str, Any]:
    """The compacted conversation. Raises ApiError."""
    id, seals = new_response_id(), await service.part(Seals).ready()
    before = await earlier(service, caller, body.previous_response_id, {})
    reader = Reader(service, caller, seals, before)
    await reader.read(body.input, id, "input")
    reader.check()
    said = [*before, *reader.messages]
    if not said:
        raise invalid("There is nothing to compact.", "input")
    mind = mind_of(service, body.model, None)
    system = [Message("system", body.instructions)] if body.instructions else []
    messages = [*system, *said, Message("user", _TASK)]
    fitting = await fitted(service.backend, messages, [], mind.limits.turn_tokens)
    answer = Answer(service, Ask(model=body.model, messages=tuple(fitting), mind=mind), caller)
    async with aclosing(answer.events()) as events:
        async for _ in events:
            pass
    summary = "\n\n".join(message.text for message in answer.said() if message.text)
    kept, left = [], _KEPT
    for number, message in reversed(list(enumerate(said))):
        if message.role == "user" and message.text:
            left -= len(message.text)
            if left < 0:
                break
            kept.append(_message(item_id(id, "message", f"o{number}"), message.text))
    sealed = seals.seal(caller.owner, "compaction", summary)
    output = [
        *reversed(kept),
        {"id": item_id(id, "compaction", "o"), "type": "compaction", "encrypted_content": sealed},
    ]
    return {
        "id": id,
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": output,
        "usage": usage_of(answer.usage),
    }


def _message(id: str, text: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return {"id": id, "type": "message", "status": "completed", "role": "user", "content": content}
