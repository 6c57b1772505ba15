"""Asks the user of a thread before a tool changes something outside the sandbox.

- The question is an event of the response (`permission`), and so is what came of it (`permitted`): every tab sees both,
  and a reload loses neither. The word comes by a route of the thread.
- No word in time is a no. "always" holds for that tool in that thread, as long as this process lives.
- Whoever waits does so in this process: with several replicas, a word that reaches another one finds no question.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from firesteel.agent.events import ABOVE, Event
from firesteel.agent.loop import Permit, deny
from firesteel.agent.tools import Tool
from firesteel.format import ToolCall
from firesteel.server.service import Service


@dataclass(frozen=True, eq=False)
class _Question:
    owner: str
    thread: str
    tool: str
    word: asyncio.Future[str]


class Permissions:
    """The questions that wait for a word, and the tools that are permitted for good."""

    def __init__(self, service: Service) -> None:
        self._seconds = service.settings.permission_seconds
        self._asked: dict[str, _Question] = {}
        self._always: set[tuple[str, str, str]] = set()

    def of(self, owner: str, thread: str) -> Permit:
        """The permission of a thread's user."""
        if not self._seconds:
            return deny

        async def permit(tool: Tool, call: ToolCall) -> bool:
            return (owner, thread, tool.name) in self._always or await self._ask(owner, thread, tool, call) != "deny"

        return permit

    def answer(self, owner: str, thread: str, id: str, word: str) -> bool:
        """Answers a question: "once", "always" or "deny". False if none waits that this owner may answer."""
        asked = self._asked.get(id)
        if asked is None or (asked.owner, asked.thread) != (owner, thread):
            return False
        same = [asked]
        if word == "always":
            self._always.add((owner, thread, asked.tool))
            same = [each for each in self._asked.values() if (each.owner, each.thread, each.tool) in self._always]
        for each in same:
            if not each.word.done():
                each.word.set_result(word)
        return True

    async def _ask(self, owner: str, thread: str, tool: Tool, call: ToolCall) -> str:
        id = f"perm_{secrets.token_hex(12)}"
        asked = self._asked[id] = _Question(owner, thread, tool.name, asyncio.get_running_loop().create_future())
        _tell("permission", call, {"id": id, "seconds": self._seconds})
        word = "deny"
        try:
            async with asyncio.timeout(self._seconds):
                word = await asked.word
        except TimeoutError:
            pass
        finally:
            del self._asked[id]
        _tell("permitted", call, {"id": id, "answer": word})
        return word


def _tell(kind: Any, call: ToolCall, data: dict[str, Any]) -> None:
    above = ABOVE.get()
    assert above is not None, "permission is asked within a run"
    above.emit(Event(kind=kind, call=call, data=data))
