"""Conversations in which tools are called: what a small mind must have seen before it can use tools that it never saw.

- Names, parameters and values are drawn at random, so that copying them from the schema and from the question is all
  that can be learnt. Some tools are everyday ones (weather, search, sums), asked for as people ask.
- Nearly half of the calls go on with the tool's result and an answer that tells it; in some conversations, tools are
  there and the question needs none.
- Four in ten are texts to say again, without a tool: an argument is a few tokens of copying, these are dozens.
- The thought names the tool, with more strength its arguments too, as the tasks' worked solutions do.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from firesteel.format import Message, ToolCall
from firesteel.tasks import FAMILIES, make
from firesteel.tasks.base import HELD_OUT, Problem, thought
from firesteel.tasks.lexicon import NAMES, TRADES, WORDS

_VERBS = (
    "add", "ask", "book", "buy", "call", "check", "close", "count", "draw", "find", "fix", "get", "hide", "list",
    "make", "mark", "move", "open", "order", "paint", "pick", "plan", "play", "print", "put", "read", "rent", "save",
    "search", "sell", "send", "set", "show", "sort", "start", "stop", "take", "tell", "turn", "write",
)  # fmt: skip
_PLACES = (
    "Paris", "Rome", "London", "Berlin", "Oslo", "Tokyo", "Cairo", "Lima", "Boston", "San Francisco", "New York",
    "Madrid", "Delhi", "Sydney",
)  # fmt: skip
_TEXTS = ("text", "query", "message", "title", "name", "item", "topic", "note", "subject", "word")
_NUMBERS = ("count", "number", "times", "amount", "limit", "minutes", "size", "level", "page", "a", "b", "x", "y")
_CHOICES = {
    "colour": ("red", "blue", "green", "black"),
    "unit": ("celsius", "fahrenheit"),
    "mode": ("fast", "slow"),
    "day": ("today", "tomorrow"),
}


@dataclass(frozen=True)
class _Tool:
    """A function and one way to ask for it."""

    schema: dict[str, Any]
    request: str
    arguments: dict[str, Any]
    result: str


def conversation(
    rng: random.Random, strength: int, families: Iterable[str] = FAMILIES
) -> tuple[list[Message], list[dict[str, Any]]]:
    """Messages that end with the assistant's, and the schemas of the tools that are there.

    Questions that need no tool are of those of `families` that have no pictures.
    """
    if rng.random() < 0.4:
        return _said_after(rng, strength), []
    tools = [_everyday(rng) if rng.random() < 0.4 else _made_up(rng) for _ in range(1 if rng.random() < 0.75 else 2)]
    if len({tool.schema["name"] for tool in tools}) < len(tools):
        tools = tools[:1]
    schemas = [{"type": "function", "function": tool.schema} for tool in tools]
    textual = [name for name in families if not FAMILIES[name].visual]
    if rng.random() < 0.15 and textual:  # a question that needs none of them
        problem = make(rng.choice(textual), rng.randrange(HELD_OUT), 1)
        said = Message("assistant", problem.answer, thought(problem, strength))
        return [Message("user", problem.question), said], schemas
    used = tools[0]
    rng.shuffle(schemas)
    name, arguments = used.schema["name"], used.arguments
    listed = ", ".join(f"{key} {_plain(value)}" for key, value in arguments.items())
    call = ToolCall(name, arguments, "call_0")
    messages = [
        Message("user", used.request),
        Message("assistant", "", _thought(strength, f"{name}.", f"{name}: {listed}."), tool_calls=[call]),
    ]
    if len(tools) == 1 and rng.random() < 0.6:  # with two there would be no room in a row
        reasoning = _thought(strength, f"It says {used.result}.", f"{name} says {used.result}.")
        messages += [
            Message("tool", used.result, name=name, tool_call_id="call_0"),
            Message("assistant", _told(used.result), reasoning),
        ]
    return messages, schemas


def _said_after(rng: random.Random, strength: int) -> list[Message]:
    """A text to repeat: the same skill as an argument's, with many more tokens of it in a row."""
    pieces = [_piece(rng) for _ in range(rng.randint(2, 24))]
    text = rng.choice((" ", " ", ", ")).join(pieces)
    question = rng.choice(("Say after me: {}", "Repeat: {}", "Copy this text.\n{}", "{}\nSay that again.")).format(text)
    return [Message("user", question), Message("assistant", text, _thought(strength, "Say it.", "Say it again."))]


def _piece(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(WORDS)
    if kind < 0.6:
        return rng.choice((*NAMES, *_PLACES))
    if kind < 0.75:
        return str(rng.randint(0, 10 ** rng.randint(1, 5)))
    letters = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 6)))
    return letters.capitalize() if kind > 0.9 else letters


def _thought(strength: int, terse: str, full: str) -> str:
    return thought(Problem(family="call", level=1, question="", answer="", terse=terse, full=full), strength)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _told(result: str) -> str:
    """A result in the answer's words."""
    if not result.startswith("{"):
        return result
    return ", ".join(f"{key} {_plain(value)}" for key, value in json.loads(result).items())


def _words(rng: random.Random, most: int = 4) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, most)))


def _result(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.4:
        return str(rng.randint(0, 999))
    if kind < 0.8:
        return _words(rng, 3)
    return json.dumps({rng.choice(_TEXTS): rng.choice(WORDS), rng.choice(_NUMBERS): rng.randint(0, 99)})


def _schema(rng: random.Random, name: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if rng.random() < 0.8:
        parameters["required"] = list(properties)
    schema = {"name": name, "description": description, "parameters": parameters}
    if rng.random() < 0.15:
        del schema["description"]
    return schema


def _made_up(rng: random.Random) -> _Tool:
    verb, noun = rng.choice(_VERBS), rng.choice((*WORDS, *TRADES))
    name = rng.choice((f"{verb}_{noun}", f"{verb}_{noun}", f"{verb}{noun.capitalize()}", f"{noun}.{verb}", verb))
    properties: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        key, schema, value = _parameter(rng)
        properties[key], arguments[key] = schema, value
    pairs = [f"{key} {_plain(value)}" for key, value in arguments.items()]
    if len(pairs) > 1 and rng.random() < 0.5:
        listed = ", ".join(pairs[:-1]) + " and " + pairs[-1]
    else:
        listed = ", ".join(pairs)
    request = rng.choice(
        (
            f"Call {name} with {listed}.",
            f"Use {name}: {listed}.",
            f"{verb.capitalize()} the {noun} with {listed}.",
            f"Please {verb} a {noun}: {listed}",
        )
    )
    return _Tool(_schema(rng, name, f"{verb.capitalize()}s the {noun}.", properties), request, arguments, _result(rng))


def _parameter(rng: random.Random) -> tuple[str, dict[str, Any], Any]:
    """A name, its schema, a value."""
    kind = rng.random()
    value: Any
    if kind < 0.45:
        key, value = rng.choice(_TEXTS), rng.choice((_words(rng), rng.choice(NAMES), rng.choice(_PLACES)))
        schema: dict[str, Any] = {"type": "string"}
    elif kind < 0.75:
        key, value, schema = rng.choice(_NUMBERS), rng.randint(0, 10 ** rng.randint(1, 4)), {"type": "integer"}
    elif kind < 0.82:
        key, value, schema = rng.choice(_NUMBERS), round(rng.uniform(0, 100), 1), {"type": "number"}
    else:
        key = rng.choice(list(_CHOICES))
        value = rng.choice(_CHOICES[key])
        schema = {"type": "string", "enum": list(_CHOICES[key])}
    if rng.random() < 0.3:
        schema["description"] = f"The {key}."
    return key, schema, value


def _everyday(rng: random.Random) -> _Tool:
    """Tools that many people offer, asked for as they ask."""
    text, number = {"type": "string"}, {"type": "number"}
    place, words = rng.choice(_PLACES), _words(rng)
    a, b = rng.randint(0, 999), rng.randint(0, 99)
    sign, told = rng.choice((("+", "plus"), ("*", "times"), ("-", "minus")))
    sums = {"+": a + b, "*": a * b, "-": a - b}
    where = rng.choice(("location", "city", "place"))
    described = {"type": "string", "description": rng.choice(("City name", "The city", "City and state"))}
    kinds = (
        (
            rng.choice(("get_weather", "weather", "get_current_weather")),
            "Get the current weather for a location",
            {where: rng.choice((text, described))},
            rng.choice(("What is the weather in {}?", "What's the weather like in {}?", "How is the weather in {}?")),
            {where: place},
            rng.choice(("sunny", "rain", "clear, 21 degrees", '{"sky": "clear", "degrees": 21}', "18 degrees, cloudy")),
        ),
        (
            rng.choice(("search", "web_search", "browser.search")),
            "Search the web.",
            {"query": text},
            rng.choice(("Search for {}.", "Look up {}.", "Find something about {}.")),
            {"query": words},
            _words(rng, 3),
        ),
        (
            rng.choice(("container.python_execution", "python", "run_python")),
            "Runs Python code and returns what it prints.",
            {"code": text},
            rng.choice((f"What is {a} {told} {b}? Use Python.", f"Compute {a}{sign}{b} with Python.")),
            {"code": f"print({a}{sign}{b})"},
            str(sums[sign]),
        ),
        (
            rng.choice(("add", "sum")),
            "Adds two numbers.",
            {"a": number, "b": number},
            rng.choice((f"Add {a} and {b}.", f"What is {a} plus {b}? Use the tool.")),
            {"a": a, "b": b},
            str(a + b),
        ),
        (
            rng.choice(("send_message", "message")),
            "Sends a message to somebody.",
            {"to": text, "text": text},
            rng.choice(("Send {0} the message: {1}", "Tell {0}: {1}")),
            {"to": rng.choice(NAMES), "text": words},
            "sent",
        ),
    )
    name, description, properties, request, arguments, result = rng.choice(kinds)
    asked = request.format(*arguments.values()) if "{" in request else request
    return _Tool(_schema(rng, name, description, dict(properties)), asked, dict(arguments), result)
