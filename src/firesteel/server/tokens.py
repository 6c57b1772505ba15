"""Text to tokens and back: `POST /tokenize`, `POST /detokenize`, in vLLM's shapes.

- A prompt is read as `/v1/completions` reads it: `<|begin_of_text|>` first, unless `add_special_tokens` is false, and
  control strings in it stay text.
- Messages are read as `/v1/chat/completions` reads them, with the strength that the model's name or `reasoning_effort`
  gives. They bring their own control tokens, so `add_special_tokens` does nothing for them.
- `GET /tokenizer_info` tells what lm-eval asks a server whose tokens it counts.

Reference: docs.vllm.ai, "OpenAI-Compatible Server", tokenizer API.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firesteel.format import STRENGTHS, Tokenizer, render
from firesteel.server.chat.body import ChatMessage, Tool, messages_of
from firesteel.server.errors import invalid
from firesteel.server.http import answer_json, body_of, caller_of, service_of
from firesteel.server.reading import Loose, Pictures, function_tool, strength_of
from firesteel.server.service import Service


class TokenizeBody(Loose):
    model: str | None = None
    prompt: str | None = None
    messages: list[ChatMessage] | None = Field(None, min_length=1)
    tools: list[Tool] | None = None
    reasoning_effort: str | int | None = None
    add_special_tokens: bool = True
    add_generation_prompt: bool = True
    return_token_strs: bool | None = None


class DetokenizeBody(Loose):
    model: str | None = None
    tokens: list[int]


def tokenizer_of(service: Service) -> Tokenizer:
    """Raises ApiError 400 where the model runs elsewhere."""
    if service.backend.tokenizer is None:
        raise invalid(f"The tokens of {service.names.name} are not known here.", "model", "no_tokenizer")
    return service.backend.tokenizer


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """A text as the beginning of a document. It is a stranger's: no string in it becomes a control token."""
    return [tokenizer.id("<|begin_of_text|>"), *tokenizer.encode(text)]


def checked_ids(tokenizer: Tokenizer, ids: list[int], param: str) -> list[int]:
    """`ids`, if all of them exist. Raises ApiError 400."""
    if wrong := [id for id in ids if not 0 <= id < tokenizer.vocab_size]:
        raise invalid(f"Token id {wrong[0]} is outside the vocabulary of {tokenizer.vocab_size}.", param)
    return ids


async def tokenize(request: Request) -> Response:
    service = service_of(request)
    tokenizer = tokenizer_of(service)
    body = await body_of(request, TokenizeBody)
    mode = service.names.mode(body.model) if body.model else None
    if (body.prompt is None) == (body.messages is None):
        raise invalid("Either a prompt or messages are needed.", "prompt")
    if body.prompt is not None:
        ids = await asyncio.to_thread(encode, tokenizer, body.prompt)
        ids = ids if body.add_special_tokens else ids[1:]
    else:
        assert body.messages is not None
        messages = await messages_of(body.messages, Pictures(service, caller_of(request)))
        functions = [tool.function for tool in body.tools or () if tool.type == "function" and tool.function]
        tools = [function_tool(f.name, f.description, f.parameters) for f in functions]
        strength = strength_of(body.reasoning_effort, service.settings.strength)
        if mode == "instant":
            strength = STRENGTHS["minimal"]
        try:
            rendered = await asyncio.to_thread(
                render, messages, tools, strength, tokenizer, generation_prompt=body.add_generation_prompt
            )
        except ValueError as error:
            raise invalid(str(error), "messages") from error
        ids = rendered.ids
    told: dict[str, Any] = {"count": len(ids), "max_model_len": service.backend.context, "tokens": ids}
    strings = [tokenizer.token_bytes(id).decode("utf-8", "replace") for id in ids] if body.return_token_strs else None
    return answer_json(told | {"token_strs": strings})


async def detokenize(request: Request) -> Response:
    service = service_of(request)
    tokenizer = tokenizer_of(service)
    body = await body_of(request, DetokenizeBody)
    if body.model:
        service.names.mode(body.model)
    return answer_json({"prompt": tokenizer.decode(checked_ids(tokenizer, body.tokens, "tokens"))})


async def info(request: Request) -> Response:
    service = service_of(request)
    tokenizer = tokenizer_of(service)
    begin, end = "<|begin_of_text|>", "<|end_of_text|>"
    return answer_json(
        {
            "tokenizer_class": "Tokenizer",
            "vocab_size": tokenizer.vocab_size,
            "model_max_length": service.backend.context,
            "bos_token": begin,
            "eos_token": end,
            "pad_token": "<|finetune_right_pad|>",
            "bos_token_id": tokenizer.id(begin),
            "eos_token_id": tokenizer.id(end),
        }
    )


routes: list[BaseRoute] = [
    Route("/tokenize", tokenize, methods=["POST"]),
    Route("/detokenize", detokenize, methods=["POST"]),
    Route("/tokenizer_info", info),
]
