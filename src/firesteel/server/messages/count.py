"""How many tokens a question has, before it is asked.

Exact where the backend's tokenizer is known: it is rendered as the backend will read it, pictures included. Elsewhere
it is an estimate, a token for four characters.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from firesteel.agent.toolbox import toolbox
from firesteel.format import STRENGTHS, Trace, image_tokens, render, strength_number
from firesteel.server.ask import Ask
from firesteel.server.errors import invalid
from firesteel.server.service import Service

_LOG = logging.getLogger("firesteel.server")


async def tokens_of(service: Service, ask: Ask) -> int:
    """The tokens of the prompt. Raises ApiError for a conversation that the model's format cannot express."""
    try:
        return await asyncio.to_thread(_tokens, service, ask, await _schemas(service, ask))
    except ValueError as error:
        raise invalid(str(error), "messages") from error


async def _schemas(service: Service, ask: Ask) -> list[Mapping[str, Any]]:
    if not ask.tools:
        return list(ask.theirs)
    async with toolbox(ask.tools, Trace(list(ask.messages)), service.backend, ask.mind, _LOG.debug) as tools:
        together = ask.mind.mode == "contemplating"
        return [*ask.theirs, *(tool.schema for tool in tools if tool.parallel_safe or not together)]


def _tokens(service: Service, ask: Ask, tools: Sequence[Mapping[str, Any]]) -> int:
    mind, tokenizer = ask.mind, service.backend.tokenizer
    if mind.options.get("tool_choice") == "none":
        tools = ()
    if tokenizer is None:
        calls = [dict(call) for message in ask.messages for call in message.tool_calls]
        said = [text for message in ask.messages for text in (message.text, message.reasoning)]
        characters = sum(map(len, said)) + len(json.dumps([*tools, *calls], ensure_ascii=False))
        return characters // 4 + sum(image_tokens(image) for message in ask.messages for image in message.images)
    strength = STRENGTHS["minimal"] if mind.mode == "instant" else strength_number(mind.strength)
    return len(render(ask.messages, tools, strength, tokenizer).ids)
