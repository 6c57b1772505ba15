"""The response resource: all keys that the specification requires, none of them left out.

Source: ResponseResource of Open Responses 2026-04-24. What had no value in the request tells the value that was used.
"""

from __future__ import annotations

from typing import Any

from firesteel.server.ask import Ask, Usage
from firesteel.server.errors import ApiError
from firesteel.server.responses.body import ResponseBody, Text, Tools

ENDED = ("completed", "incomplete", "failed", "cancelled")


def resource(id: str, created: int, body: ResponseBody, ask: Ask, tools: Tools) -> dict[str, Any]:
    """The resource before anything was said."""
    options, reasoning = ask.mind.options, body.reasoning
    told: dict[str, Any] = {
        "id": id,
        "object": "response",
        "created_at": created,
        "completed_at": None,
        "status": "in_progress",
        "incomplete_details": None,
        "error": None,
        "model": body.model,
        "previous_response_id": body.previous_response_id,
        "instructions": body.instructions,
        "output": [],
        "tools": tools.told,
        "tool_choice": _choice(body.tool_choice),
        "truncation": body.truncation or "disabled",
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "text": _text(body.text),
        "temperature": options.get("temperature", 1.0),
        "top_p": options.get("top_p", 1.0),
        "presence_penalty": options.get("presence_penalty", 0.0),
        "frequency_penalty": options.get("frequency_penalty", 0.0),
        "top_logprobs": body.top_logprobs or 0,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": reasoning.summary if reasoning else None,
        },
        "usage": None,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "store": body.stored,
        "background": bool(body.background),
        "service_tier": "default",
        "metadata": body.metadata or {},
        "safety_identifier": body.safety_identifier,
        "prompt_cache_key": body.prompt_cache_key,
    }
    if body.conversation is not None:
        told["conversation"] = {"id": body.conversation}
    return told | ({"user": body.user} if body.user is not None else {})


def usage_of(usage: Usage) -> dict[str, Any]:
    told: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "image_tokens": usage.image_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
    return told | ({"firesteel": {"ledger": dict(usage.ledger)}} if usage.ledger else {})


def error_of(error: ApiError) -> dict[str, str]:
    """The `error` of a response that failed."""
    return {"code": error.code or "server_error", "message": error.message}


def _choice(choice: Any) -> Any:
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return {"mode": "auto"} | choice
    return "auto" if choice is None else choice


def _text(text: Text | None) -> dict[str, Any]:
    told: dict[str, Any] = {"format": {"type": "text"}}
    if text and text.format:
        format = text.format
        told["format"] = {"type": format.type}
        if format.type == "json_schema":
            told["format"] |= {
                "name": format.name,
                "description": format.description,
                "schema": format.schema_,
                "strict": bool(format.strict),
            }
    return told | ({"verbosity": text.verbosity} if text and text.verbosity else {})
