"""The mask of a whole turn as one GBNF grammar: an optional free thought, then an answer or a call under its schema.

Thinking and structure combine because the grammar begins with the turn, not with the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from firesteel.backends.json_grammar import Grammar, SchemaRules, literal
from firesteel.format.atem import function_of

_END = "</atem:parameter>"


def turn_grammar(
    token: Callable[[str], int],
    json_schema: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    tool_choice: str = "auto",
) -> str | None:
    """The grammar of what may follow `<|start|>assistant`; None where everything may.

    `token` gives the id of a control token. A forced tool is called exactly once; "required" is one call or more.
    Raises ValueError for a schema that cannot be enforced, or a choice that is no tool.
    """
    functions = {function["name"]: function for function in map(function_of, tools)}
    forced = tool_choice not in ("auto", "none")
    if forced and not functions:
        raise ValueError(f"The tool choice {tool_choice!r} needs tools.")
    if forced and tool_choice != "required" and tool_choice not in functions:
        raise ValueError(f"The tool choice {tool_choice!r} is none of the tools: {', '.join(functions)}.")
    if json_schema is None and not forced:
        return None
    try:
        return _grammar(token, json_schema, functions, tool_choice)
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"A JSON schema is malformed, or refers to itself without end: {error}.") from error


def _grammar(
    token: Callable[[str], int],
    json_schema: Mapping[str, Any] | None,
    functions: Mapping[str, Mapping[str, Any]],
    tool_choice: str,
) -> str:
    forced = tool_choice not in ("auto", "none")
    grammar = Grammar()
    text = grammar.without("<|")
    message, eom, start = (f"<[{token(name)}]>" for name in ("<|message|>", "<|eom|>", "<|start|>"))
    again = f'{eom} {start} "assistant"'
    named = functions if tool_choice in ("auto", "required") else {tool_choice: functions.get(tool_choice)}
    finals = []
    if not forced:
        answer = SchemaRules(grammar, json_schema or {}, strict=True).rule(json_schema)
        finals.append(f'" to=user" {message} {answer}')
    if tool_choice != "none" and functions:
        calls = grammar.add(" | ".join(_call(grammar, function, message) for function in named.values() if function))
        finals.append(calls if tool_choice in functions else f"{calls} ({again} {calls})*")
    final = grammar.add(" | ".join(finals))
    return f'root ::= (" to=self" {message} {text} {again})? {final}\n' + grammar.text


def _call(grammar: Grammar, function: Mapping[str, Any], message: str) -> str:
    name, schema = function["name"], function.get("parameters") or {}
    rules = SchemaRules(grammar, schema, strict=False)
    body = literal(f'<atem:function_calls>\n<atem:invoke name="{name}">\n')
    required = set(schema.get("required", ()))
    for key, part in (schema.get("properties") or {}).items():
        value = _value(grammar, rules, part)
        opening = literal(f'<atem:parameter name="{key}">')
        pair = grammar.add(" ".join((opening, value, literal(f"{_END}\n"))))
        body += f" {pair}" if key in required else f" {pair}?"
    return " ".join((literal(f" to={name}"), message, body, literal("</atem:invoke>\n</atem:function_calls>")))


def _value(grammar: Grammar, rules: SchemaRules, schema: Any) -> str:
    """Strings stand raw; everything else is JSON."""
    schema = rules.resolve(schema)
    if schema is True or not isinstance(schema, Mapping):
        return grammar.without(_END, "<|")
    if isinstance(choices := schema.get("enum", [schema["const"]] if "const" in schema else None), Sequence):
        return grammar.add(" | ".join(literal(c) if isinstance(c, str) else rules.rule({"const": c}) for c in choices))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return grammar.add(" | ".join(_value(grammar, rules, option) for option in schema[union]))
    if "allOf" not in schema and "string" in rules.types(schema):
        return grammar.without(_END, "<|")
    return rules.rule(schema)
