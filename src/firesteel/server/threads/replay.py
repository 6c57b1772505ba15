"""Runs a tool call of a turn again, for whoever wants to see whether the same comes out.

- The loop's own machinery does it: a trace that ends with the one open call is continued for no turn at all, so the
  same checks, limits and words of failure hold. What it is told is shown and not kept.
- The folder is a copy of the one at the end of the turn, thrown away afterwards; pictures are those that stood before
  the call. Only tools that look, compute, search or write within that copy run again.
- A search asks only where its turn could, so that what was looked for in a folder does not go to the web. A turn that
  was imported does not tell: then it asks all places that its caller may.
- Pages are not opened again: their numbers are those of the turn's browser, which also knew what addresses it might
  open. Agents are a whole answer, made with tools and limits that the turn does not keep: ask for another one. Tools
  that are not ours (MCP) need a permission, which was given for one call.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from firesteel.agent.limits import Limits
from firesteel.agent.mind import Mind
from firesteel.format import Message, Trace
from firesteel.server.access import allows
from firesteel.server.ask import Ask, Caller
from firesteel.server.errors import ApiError, not_found
from firesteel.server.http import answer_json, caller_of, connected, service_of
from firesteel.server.responses.blobs import unpacked_messages
from firesteel.server.responses.events import parts_of
from firesteel.server.responses.items import OWN_CALL
from firesteel.server.service import Answer, Service
from firesteel.server.store import StoredResponse
from firesteel.server.threads.files import Folder, files_of
from firesteel.server.threads.told import turn_of_path

_KINDS = {
    "zoom": ("zoom",),
    "mark": ("zoom",),
    "container.visual_grounding": ("ground",),
    "container.python_execution": ("python",),
    "container.view": ("files",),
    "container.file_search": ("files",),
    "container.insert": ("files",),
    "container.str_replace": ("files",),
    "container.create_web_artifact": ("artifacts",),
    "browser.search": ("web", "searxng", "folder"),
}
"""Which tools run again: by their names, what a caller asks for to have them."""

_REASONS = {
    "browser.open": "pages are open in their own turn alone",
    "browser.find": "pages are open in their own turn alone",
    "subagents.spawn_agents": "agents need a turn of their own; ask for another answer instead",
}


async def replay(request: Request) -> Response:
    """Runs a tool call of a turn again; the answer is what it gives now."""
    service, caller, turn = service_of(request), caller_of(request), await turn_of_path(request)
    trace = await _before(service, turn, request.path_params["call"])
    name = trace.messages[-1].tool_calls[0].name
    if name not in _KINDS:
        reason = _REASONS.get(name, "it may change something outside the sandbox")
        raise ApiError(403, f"The tool {name!r} does not run again: {reason}.", code="tool_not_replayed")
    had = turn.request.get("tools")
    tools = tuple(each for each in _tools(service, caller, name) if had is None or each in had)
    if not tools:
        message = f"The tool {name!r} is not served here, not allowed by this key, or was not given to this turn."
        raise ApiError(403, message, code="tool_not_served")
    began = time.monotonic()
    result = await connected(request, _run(service, caller, turn, trace, tools))
    told = {"object": "tool_call.replay", "call": request.path_params["call"], "name": name}
    return answer_json(told | {"output": parts_of(result), "seconds": round(time.monotonic() - began, 3)})


def runs_again(service: Service, caller: Caller) -> list[str]:
    """The names of the tools whose calls run again for a caller."""
    return [name for name in _KINDS if _tools(service, caller, name)]


def _tools(service: Service, caller: Caller, name: str) -> list[str]:
    """What a caller may ask for to have the tool of this name."""
    served = [each for each in service.settings.tools if each.split(":")[0] in _KINDS[name]]
    return [each for each in served if allows(caller, each)]


async def _before(service: Service, turn: StoredResponse, item: str) -> Trace:
    """The conversation up to a call, as it was when the call was made. Raises ApiError 404."""
    calls, asked = _calls(turn.body["output"]), len(_calls(turn.request["input"]))
    place = next((number for number, each in enumerate(calls) if each["id"] == item), None)
    chain = await service.store.chain(turn.owner, turn.id)
    *before, messages = [await unpacked_messages(service.store, part.messages) for part in chain]
    earlier = [message for part in before for message in part]
    # A turn that was stopped may have told of a last call whose message was never whole.
    made = [(at, call) for at, message in enumerate(messages) for call in message.tool_calls][asked:]
    if place is None or calls[place]["type"] != OWN_CALL or place >= len(made):
        raise not_found("call", item)
    at, call = made[place]
    return Trace([*earlier, *messages[:at], replace(messages[at], tool_calls=(call,))])


def _calls(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for each in items if each["type"] in (OWN_CALL, "function_call")]


async def _run(service: Service, caller: Caller, turn: StoredResponse, trace: Trace, tools: tuple[str, ...]) -> Message:
    """What the open call of a trace gives."""
    # A contemplation's calls are its agents' and no items: there is none to run again.
    mode = "instant" if turn.request.get("mode") == "instant" else "thinking"
    ask = Ask(
        model=service.names.name,
        messages=tuple(trace),
        mind=Mind(mode=mode, limits=Limits(turns=0)),
        tools=tools,
        fill=Folder(service.store, turn.owner, turn.id, files_of(turn)).fill,
    )
    result = None
    async with aclosing(Answer(service, ask, caller).events()) as events:
        async for _, event in events:
            result = event.message if event.kind == "tool_finished" else result
    if result is None:
        raise ApiError(504, "The time was up before the tool had answered.", code="tool_timeout")
    return result
