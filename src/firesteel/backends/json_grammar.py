"""JSON Schema to GBNF, llama.cpp's grammar language (the wheel's own converter speaks another dialect).

Objects keep the order of their properties; between tokens stands at most one space. A string never holds `<|`, so that
no control token can stand in an answer. What cannot be masked is refused (`strict`) or not enforced; keywords that say
nothing about the text (`_SILENT`) are passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_CHARACTER = r'[^"\\<\x00-\x1F\x7F] | escape'
_COMMON = {
    "escape": r'"\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})',
    "character": _CHARACTER,
    "string": r'"\"" (character | "<"+ ([^"\\<|\x00-\x1F\x7F] | escape))* "<"* "\""',
    "integer": '"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": 'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "space": '" "?',
    "value": "string | number | boolean | null | array | object",
    "array": '"[" (value ("," space value)*)? "]"',
    "object": '"{" (pair ("," space pair)*)? "}"',
    "pair": 'string ":" space value',
}
_TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")
_DIGITS = 15  # the most digits of a bounded integer
_SILENT = {"title", "description", "default", "examples", "format", "deprecated", "readOnly", "writeOnly", "strict"}
_SILENT |= {"$defs", "definitions", "$schema", "$id", "$comment", "discriminator"}
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_TYPES_OF = {str: {"string"}, bool: {"boolean"}, int: {"integer", "number"}, float: {"number"}, type(None): {"null"}}
_TYPES_OF |= {list: {"array"}, dict: {"object"}}
_KNOWN = {
    "": {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"},
    "string": {"minLength", "maxLength"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties"},
}


def literal(text: str) -> str:
    """A GBNF literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else _escape(ord(c)) for c in escaped) + '"'


def _escape(code: int) -> str:
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


class Grammar:
    """Grows rule by rule; `text` is the whole grammar."""

    def __init__(self) -> None:
        self.rules = dict(_COMMON)

    @property
    def text(self) -> str:
        return "".join(f"{name} ::= {body}\n" for name, body in self.rules.items())

    def add(self, body: str) -> str:
        """A new rule; returns its name."""
        name = f"r{len(self.rules)}"
        self.rules[name] = body
        return name

    def without(self, *words: str) -> str:
        """The rule of any text in which none of `words` occurs (Aho and Corasick 1975, as a right-linear grammar)."""
        states = sorted({word[:n] for word in words for n in range(len(word))}, key=len)
        letters = sorted({letter for word in words for letter in word})
        names = {state: self.add("") for state in states}
        others = "".join("\\" + c if c in "\\]^-" else c for c in letters)
        for state in states:
            options = [f"[^{others}] {names['']}", '""']
            for letter in letters:
                text = state + letter
                if not text.endswith(words):
                    onwards = next(text[i:] for i in range(len(text) + 1) if text[i:] in names)
                    options.append(f"{literal(letter)} {names[onwards]}")
            self.rules[names[state]] = " | ".join(options)
        return names[""]


class SchemaRules:
    """Adds the rules of one schema to a grammar. With `strict`, a keyword that cannot be masked raises ValueError."""

    def __init__(self, grammar: Grammar, root: Mapping[str, Any], strict: bool) -> None:
        self.grammar, self.root, self.strict = grammar, root, strict
        self._references: dict[str, str] = {}

    def rule(self, schema: Any) -> str:
        """The name of the rule of the JSON texts that the schema allows."""
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, Mapping):
            raise ValueError(f"A JSON schema cannot hold {schema!r}.")
        if self.strict:
            schema = self._gathered(schema)
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        if "const" in schema or "enum" in schema:
            choices = schema["enum"] if "enum" in schema else [schema["const"]]
            if not isinstance(choices, Sequence) or not choices:
                raise ValueError("The enum of a JSON schema must be a list that is not empty.")
            if self.strict:
                choices = self._possible(choices, schema)
            return self.grammar.add(" | ".join(literal(_json(choice)) for choice in choices))
        for union in ("anyOf", "oneOf"):
            if union in schema:
                return self.grammar.add(" | ".join(self.rule(option) for option in schema[union]))
        if "allOf" in schema:
            return self.rule(self._merged(schema))
        kinds = self.types(schema)
        self._check(schema, kinds)
        return self.grammar.add(" | ".join(getattr(self, f"_{kind}")(schema) for kind in kinds))

    def resolve(self, schema: Any) -> Any:
        """The schema behind local references."""
        for _ in range(16):
            if not (isinstance(schema, Mapping) and "$ref" in schema):
                return schema
            schema = self._target(schema["$ref"])
        raise ValueError("The JSON schema refers to itself without end.")

    def _target(self, path: Any) -> Any:
        target: Any = self.root
        path = str(path)
        for key in path.removeprefix("#").strip("/").split("/"):
            key = key.replace("~1", "/").replace("~0", "~")
            if not path.startswith("#") or (key and not (isinstance(target, Mapping) and key in target)):
                raise ValueError(f"The JSON schema refers to {path!r}, which is not in it.")
            target = target[key] if key else target
        return target

    def types(self, schema: Mapping[str, Any]) -> list[str]:
        """The types that a schema without unions allows."""
        declared = schema.get("type")
        if declared is None:
            declared = next((k for k in ("object", "array", "string", "integer") if _KNOWN[k] & schema.keys()), _TYPES)
        kinds = [declared] if isinstance(declared, str) else list(declared)
        for kind in kinds:
            if kind not in _TYPES:
                raise ValueError(f"The type {kind!r} of a JSON schema is none of {', '.join(_TYPES)}.")
        return kinds

    def _gathered(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema with what stands beside a reference or a union moved into it, where it is enforced."""
        asked = {key: value for key, value in schema.items() if key not in _SILENT}
        if "allOf" in asked or ("$ref" in asked and len(asked) > 1):
            asked = self._merged(asked)
        for union in ("anyOf", "oneOf"):
            if union in asked and len(asked) > 1:
                options = asked.pop(union)
                return {union: [{"allOf": [asked, option]} for option in options]}
        return asked

    def _possible(self, choices: Sequence[Any], schema: Mapping[str, Any]) -> list[Any]:
        """The choices that the keywords beside them allow."""
        self._check({key: value for key, value in schema.items() if key not in ("enum", "const", "type")}, ())
        if "const" in schema:
            choices = [choice for choice in choices if _json(choice) == _json(schema["const"])]
        if "type" in schema:
            kinds = set(self.types(schema))
            choices = [choice for choice in choices if kinds & _TYPES_OF.get(type(choice), set())]
        if not choices:
            raise ValueError("A JSON schema allows none of its own choices.")
        return list(choices)

    def _check(self, schema: Mapping[str, Any], kinds: Sequence[str]) -> None:
        known = _SILENT.union(_KNOWN[""], *(_KNOWN.get(kind, ()) for kind in kinds))
        unknown = [key for key in schema if key not in known]
        if self.strict and unknown:
            raise ValueError(f"The JSON schema keyword {unknown[0]!r} cannot be enforced while generating.")
        for key in _COUNTS:
            if not isinstance(count := schema.get(key) or 0, int) or count < 0:
                raise ValueError(f"The {key!r} of a JSON schema must be a whole number.")

    def _reference(self, path: str) -> str:
        if path not in self._references:
            self.resolve({"$ref": path})  # refuses references to nothing but each other
            name = self._references[path] = self.grammar.add("")  # named before it is known: it may refer to itself
            self.grammar.rules[name] = self.rule(self._target(path))
        return self._references[path]

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for part in self._parts(schema):
            for key, value in part.items():
                if key == "properties":
                    old = merged.get(key, {})
                    both = {n: {"allOf": [old[n], v]} for n, v in value.items() if old.get(n, v) != v}
                    value = old | value | both
                elif key == "required":
                    value = [*merged.get(key, ()), *value]
                elif merged.get(key, value) != value and key not in _SILENT:
                    raise ValueError(f"A JSON schema says two things about {key!r} at one place.")
                merged[key] = value
        return merged

    def _parts(self, schema: Any) -> Iterator[Mapping[str, Any]]:
        """All that a schema demands, without references and `allOf`."""
        if schema is True:
            return
        yield {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        if "$ref" in schema:
            yield from self._parts(self._target(schema["$ref"]))
        for part in schema.get("allOf", ()):
            yield from self._parts(part)

    def _string(self, schema: Mapping[str, Any]) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if not least and most is None:
            return "string"
        return rf'"\"" character{{{least},{"" if most is None else most}}} "\""'

    def _integer(self, schema: Mapping[str, Any]) -> str:
        low, high = schema.get("minimum"), schema.get("maximum")
        if (above := schema.get("exclusiveMinimum")) is not None:
            low = above + 1 if low is None else max(low, above + 1)
        if (below := schema.get("exclusiveMaximum")) is not None:
            high = below - 1 if high is None else min(high, below - 1)
        if low is None and high is None:
            return "integer"
        limit = 10**_DIGITS - 1
        low, high = -limit if low is None else -int(-low // 1), limit if high is None else int(high // 1)
        if low > high:
            raise ValueError(f"No integer lies between {low} and {high}, as the JSON schema demands.")
        options = []
        if low < 0:
            options += [f'"-" ({option})' for option in _range(max(1, -high), -low)]
        if high >= 0:
            options += _range(max(0, low), high)
        return " | ".join(options)

    def _number(self, schema: Mapping[str, Any]) -> str:
        return "number"

    def _boolean(self, schema: Mapping[str, Any]) -> str:
        return "boolean"

    def _null(self, schema: Mapping[str, Any]) -> str:
        return "null"

    def _array(self, schema: Mapping[str, Any]) -> str:
        first = [self.rule(item) for item in schema.get("prefixItems", ())]
        more = schema.get("items", True)
        least = max(schema.get("minItems", 0), len(first)) - len(first)
        joined = ' "," space '.join(first)
        if first and more is False:
            return f'"[" {joined} "]"'
        most = schema.get("maxItems")
        if most is not None and most < len(first) + least:
            raise ValueError("An array of the JSON schema must have more items than it may have.")
        item = self.rule(more)
        upper = "" if most is None else str(most - len(first))
        if first:
            return f'"[" {joined} ("," space {item}){{{least},{upper}}} "]"'
        if most == 0:
            return '"[]"'
        rest = f'("," space {item}){{{max(least - 1, 0)},{"" if most is None else most - 1}}}'
        return f'"[" {item} {rest} "]"' if least else f'"[" ({item} {rest})? "]"'

    def _object(self, schema: Mapping[str, Any]) -> str:
        properties, required = schema.get("properties", {}), set(schema.get("required", ()))
        extra = schema.get("additionalProperties", not properties)
        for name in required - properties.keys():
            properties = {**properties, name: extra if isinstance(extra, Mapping) else True}
        # Backwards: what may follow when nothing has been written yet (head), and when something has (tail).
        head = tail = '""'
        if extra is not False:
            pair = self.grammar.add(f'string ":" space {self.rule(extra)}')
            tail = self.grammar.add(f'("," space {pair})*')
            head = self.grammar.add(f"({pair} {tail})?")
        for name, part in reversed(properties.items()):
            pair = self.grammar.add(f'{literal(_json(name))} ":" space {self.rule(part)}')
            here, onwards = f"{pair} {tail}", f'"," space {pair} {tail}'
            if name not in required:
                here, onwards = f"{here} | {head}", f"{onwards} | {tail}"
            head, tail = self.grammar.add(here), self.grammar.add(onwards)
        return f'"{{" {head} "}}"'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("<|", "\\u003c|")


def _range(low: int, high: int) -> list[str]:
    """The decimal integers low..high, none negative, as alternatives."""
    options = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        options += _between(str(first), str(min(high, 10**length - 1)))
    return options


def _between(low: str, high: str) -> list[str]:
    """Digit strings of one length from low to high."""
    if low == high:
        return [literal(low)]
    rest = len(low) - 1
    if not rest:
        return [f"[{low}-{high}]"]
    if re.fullmatch("0+", low[1:]) and re.fullmatch("9+", high[1:]):
        return [f"[{low[0]}-{high[0]}] [0-9]{{{rest}}}"]
    if low[0] == high[0]:
        return [f"{literal(low[0])} ({' | '.join(_between(low[1:], high[1:]))})"]
    options = [f"{literal(low[0])} ({' | '.join(_between(low[1:], '9' * rest))})"]
    if int(high[0]) - int(low[0]) > 1:
        options.append(f"[{int(low[0]) + 1}-{int(high[0]) - 1}] [0-9]{{{rest}}}")
    return [*options, f"{literal(high[0])} ({' | '.join(_between('0' * rest, high[1:]))})"]
