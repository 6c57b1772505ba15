"""`POST /v1/decisions`: questions about an input, answered by probabilities and no text (OpenAI's `client.decisions`).

- Each question is one prompt: the conversation, the options in words as a developer's message, the question as the
  user's, at strength 0. The probability of an option is that of saying exactly it and nothing more, against the other
  options. In this order kindling reads a question as it learned to: with the options behind it, its first weights
  were right 33 times in 100 on three families of tasks where 28 are chance, with the options before it 60 times.
- Probabilities may be flattened by a temperature (Guo et al. 2017, arXiv:1706.04599). For kindling v1.8 it was fitted
  on five families of text tasks and tested on other seeds (`bench/decisions.py --count 100`, 394 questions each).
  Choices are right in 0.58 and were sure to 0.72; flattened they say 0.56, with an expected calibration error of 0.07
  instead of 0.14. Of statements it knows next to nothing (AUC 0.53) and is far too sure, so predicates are flattened
  until they come out near one half, with an error of 0.00 instead of 0.40. Other models are left as they are, as
  nothing was measured.
- A predicate is the choice between yes and no. A score is the mean of its levels, which are counted from 0.
- `confidence` is 1 less the entropy of the distribution over that of an even one: 0 knows nothing, 1 is sure.
- Pictures may stand in the user's messages, in what tools gave and in questions.

Reference: openai-python 3.52, types/decision.py and decision_create_params.py.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, StrictBool, StrictStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firesteel.backends import Request as Scored
from firesteel.backends.base import Backend, BackendFailed, complete
from firesteel.backends.merge import merged
from firesteel.format import STRENGTHS, Message, Part, ToolCall
from firesteel.server.ask import Caller, Usage
from firesteel.server.errors import invalid
from firesteel.server.http import answer_json, body_of, caller_of, connected, service_of
from firesteel.server.reading import Loose, Pictures
from firesteel.server.service import Service, work
from firesteel.server.tokens import tokenizer_of

_AT_ONCE = 4  # questions of one request
_TEMPERATURES = {("kindling", "choice"): 2.59, ("kindling", "predicate"): 88.20}


class ContentPart(Loose):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: str = ""
    data: Any = None


Content = str | list[ContentPart]


class Item(Loose):
    """A message, the call of a tool, or what it gave."""

    type: str = "message"
    role: Literal["user", "developer", "system", "assistant"] = "user"
    content: Content = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    input: str = ""
    output: Content = ""


class Option(Loose):
    value: StrictStr | StrictBool
    description: str = ""


class Level(Loose):
    label: str
    description: str = ""


class Question(Loose):
    type: Literal["predicate", "choice", "score"]
    instructions: Content
    name: str | None = None
    choices: list[Option] | None = Field(None, min_length=2, max_length=255)
    levels: list[Level] | None = Field(None, min_length=2, max_length=10)


class DecisionBody(Loose):
    model: str
    input: str | list[Item]
    questions: list[Question] = Field(min_length=1, max_length=400)


async def create(request: Request) -> Response:
    service, caller = service_of(request), caller_of(request)
    body = await body_of(request, DecisionBody)
    service.names.mode(body.model)
    tokenizer_of(service)
    pictures = Pictures(service, caller)
    conversation = await conversation_of(body.input, pictures, service.settings.messages)
    asked = []
    for at, question in enumerate(body.questions):
        shown = await parts_of(question.instructions, pictures, f"questions.{at}.instructions")
        asked.append(asked_of(question, shown, f"questions.{at}"))
    usage = Usage()
    found = await connected(request, decide(service, caller, body.model, conversation, asked, usage))
    return answer_json(
        {
            "answers": [answer_of(*each) for each in zip(body.questions, asked, found, strict=True)],
            "model": body.model,
            "usage": {
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
                "output_tokens": usage.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.total_tokens,
            },
        }
    )


async def conversation_of(given: str | list[Item], pictures: Pictures, most: int) -> list[Message]:
    """The input as messages, at most so many. Raises ApiError."""
    if isinstance(given, str):
        return [Message("user", given)]
    if len(given) > most:
        raise invalid(f"There are more than {most} items.", "input")
    messages = []
    for number, item in enumerate(given):
        where = f"input.{number}"
        try:
            if item.type == "message":
                messages.append(Message(item.role, await parts_of(item.content, pictures, f"{where}.content")))
            elif item.type in ("function_call", "custom_tool_call"):
                arguments: Any = {"input": item.input} if item.type == "custom_tool_call" else item.arguments
                call = ToolCall.of({"id": item.call_id, "name": item.name, "arguments": arguments})
                messages.append(Message("assistant", tool_calls=[call]))
            elif item.type in ("function_call_output", "custom_tool_call_output"):
                output = await parts_of(item.output, pictures, f"{where}.output")
                messages.append(Message("tool", output, tool_call_id=item.call_id))
            else:
                raise invalid(f"An item of the type {item.type!r} is not understood here.", where)
        except ValueError as error:
            raise invalid(str(error), where) from error
    return messages


async def parts_of(content: Content, pictures: Pictures, param: str) -> list[Part]:
    """What is said and shown; each text stands on a line of its own. Raises ApiError."""
    if isinstance(content, str):
        return [Part(text=content)]
    parts: list[Part] = []
    for number, part in enumerate(content):
        if part.type == "input_image":
            parts.append(await pictures.of_url(part.image_url, f"{param}.{number}"))
            continue
        if part.type == "input_json":
            try:
                text = json.dumps(part.data, ensure_ascii=False)
            except RecursionError as error:
                raise invalid("The JSON is nested too deeply.", f"{param}.{number}") from error
        elif part.type in ("input_text", "output_text", "refusal"):
            text = part.text or part.refusal
        else:
            raise invalid(f"A part of the type {part.type!r} is not understood here.", f"{param}.{number}")
        parts.append(Part(text=f"\n{text}" if parts and parts[-1].image is None else text))
    return parts


@dataclass(frozen=True)
class Asked:
    """How to answer, a question, and the words that answer it."""

    kind: str
    how: str
    question: Sequence[Part]
    options: Sequence[str]


def asked_of(question: Question, shown: Sequence[Part], where: str) -> Asked:
    """`shown` are its instructions. Raises ApiError for a question without answers to choose from."""
    if question.type == "predicate":
        return Asked(question.type, "Is what follows true? Answer yes or no.", shown, ("yes", "no"))
    if question.type == "choice":
        param, ask = f"{where}.choices", "Answer with one of:"
        values = [option.value for option in question.choices or ()]
        words = [value if isinstance(value, str) else _word(value) for value in values]
        if len(set(words)) < len(words):  # the text "true" beside the truth value
            words = [json.dumps(value, ensure_ascii=False) for value in values]
        meant = [option.description for option in question.choices or ()]
    else:
        param, ask = f"{where}.levels", "Answer with one of, from the lowest to the highest:"
        words = [level.label for level in question.levels or ()]
        meant = [level.description for level in question.levels or ()]
    if not words:
        raise invalid(f"A {question.type} needs options.", param)
    if len(set(words)) < len(words) or not all(words):
        raise invalid("Options must differ, and none may be empty.", param)
    described = [f"{word}: {meaning}" for word, meaning in zip(words, meant, strict=True) if meaning]
    return Asked(question.type, "\n".join([f"{ask} {', '.join(words)}.", *described]), shown, words)


def _word(value: bool) -> str:
    return "true" if value else "false"


async def decide(
    service: Service, caller: Caller, model: str, conversation: list[Message], asked: Sequence[Asked], usage: Usage
) -> list[list[float]]:
    """The probabilities of each question's options. Fills `usage`. Raises ApiError."""
    found: dict[int, list[float]] = {}
    at_once = min(len(asked), _AT_ONCE)
    turns = asyncio.Semaphore(at_once)

    async def judged(at: int) -> AsyncGenerator[tuple[int, list[float]], None]:
        async with turns:
            yield at, await probabilities(service.backend, conversation, asked[at], usage)

    async with work(service, caller, model, "instant", at_once, (), usage, "input") as job:
        seconds = min(service.settings.seconds, job.left)
        try:
            async with (
                asyncio.timeout(seconds),
                aclosing(merged([judged(at) for at in range(len(asked))])) as answers,
            ):
                async for at, answer in answers:
                    job.piece()
                    found[at] = answer
        except TimeoutError as error:
            message = f"{len(asked) - len(found)} questions are left after {seconds:.3g} seconds."
            raise invalid(message, "questions", "deadline_exceeded") from error
        job.outcome = "stop"
    return [found[at] for at in range(len(asked))]


async def probabilities(backend: Backend, conversation: Sequence[Message], asked: Asked, usage: Usage) -> list[float]:
    """How probable each option is as the answer, together 1. Raises ValueError for what the backend cannot score."""
    tokenizer = backend.tokenizer
    assert tokenizer is not None
    messages = [*conversation, Message("developer", asked.how), Message("user", asked.question)]
    head = tokenizer.encode(" to=user<|message|>", special=True)
    logprobs, temperature = [], _TEMPERATURES.get((backend.name, asked.kind), 1.0)
    for option in asked.options:  # one after the other, so that each finds the prompt in the cache
        words = [*tokenizer.encode(option), tokenizer.id("<|eot|>")]
        answer = Scored(
            messages=messages, strength=STRENGTHS["none"], forced=head + words, max_tokens=0, logprobs=0, temperature=0
        )
        [said] = await complete(backend, answer)
        if len(said.logprobs) != len(head + words):
            raise BackendFailed(f"{backend.name} ended before everything was scored.")
        logprobs.append(sum(token.logprob for token in said.logprobs[len(head) :]) / temperature)
        if len(logprobs) == 1:
            usage.prompt_tokens += said.prompt_tokens + len(head)
            usage.cached_tokens += said.cached_tokens
        usage.completion_tokens += len(words)
    weights = [math.exp(logprob - max(logprobs)) for logprob in logprobs]
    return [weight / sum(weights) for weight in weights]


def answer_of(question: Question, asked: Asked, found: Sequence[float]) -> dict[str, Any]:
    """An answer in the words of the protocol."""
    told: dict[str, Any] = {"type": question.type, "name": question.name}
    if question.type == "predicate":
        return told | {"probability": found[0]}
    told["confidence"] = confidence(found)
    if question.choices and question.type == "choice":
        values = [option.value for option in question.choices]
        pairs = [{"value": value, "probability": p} for value, p in zip(values, found, strict=True)]
        return told | {"choice": values[found.index(max(found))], "probabilities": pairs}
    levels = [{"label": w, "value": at, "probability": found[at]} for at, w in enumerate(asked.options)]
    return told | {"score": sum(at * p for at, p in enumerate(found)), "probabilities": levels}


def confidence(found: Sequence[float]) -> float:
    entropy = -sum(p * math.log(p) for p in found if p)
    return min(1.0, max(0.0, 1 - entropy / math.log(len(found))))


routes: list[BaseRoute] = [Route("/v1/decisions", create, methods=["POST"])]
