"""Schemas as grammars, read by a small recogniser of the part of GBNF that is used."""

import json
import random
import re

import pytest

from firesteel.backends.json_grammar import Grammar, SchemaRules, literal

TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|[()|*+?]|[a-z]\w*')


class Recogniser:
    """Backtracking over sets of positions."""

    def __init__(self, grammar: Grammar) -> None:
        self.rules = {name: TOKEN.findall(body) for name, body in grammar.rules.items()}
        assert all(
            "".join(TOKEN.findall(b)) == re.sub(r'("(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\])|\s', r"\1", b)
            for b in grammar.rules.values()
        )

    def accepts(self, rule: str, text: str) -> bool:
        self.memory: dict[tuple[str, int], set[int]] = {}
        return len(text) in self._rule(rule, text, 0)

    def _rule(self, name: str, text: str, at: int) -> set[int]:
        if (name, at) not in self.memory:
            self.memory[name, at] = self._options(self.rules[name], text, at)
        return self.memory[name, at]

    def _options(self, tokens: list[str], text: str, at: int) -> set[int]:
        depth, parts = 0, [[]]
        for token in tokens:
            depth += {"(": 1, ")": -1}.get(token, 0)
            if token == "|" and not depth:
                parts.append([])
            else:
                parts[-1].append(token)
        return {end for part in parts for end in self._sequence(part, text, at)}

    def _sequence(self, tokens: list[str], text: str, at: int) -> set[int]:
        places, i = {at}, 0
        while i < len(tokens):
            if tokens[i] == "(":
                depth, end = 1, i + 1
                while depth:
                    depth += {"(": 1, ")": -1}.get(tokens[end], 0)
                    end += 1
                step, inner = (lambda p, t=tokens[i + 1 : end - 1]: self._options(t, text, p)), end
            else:
                step, inner = (lambda p, t=tokens[i]: self._one(t, text, p)), i + 1
            low, high = 1, 1
            if inner < len(tokens) and tokens[inner][0] in "*+?{":
                low, high = {"*": (0, 10**6), "+": (1, 10**6), "?": (0, 1)}.get(tokens[inner], (None, None))
                if low is None:
                    first, comma, last = tokens[inner][1:-1].partition(",")
                    low = int(first or 0)
                    high = (int(last) if last else 10**6) if comma else low
                inner += 1
            found, current = set(places) if low == 0 else set(), places
            for count in range(1, high + 1):
                current = {end for place in current for end in step(place)} - (found if count > low else set())
                if count >= low:
                    found |= current
                if not current:
                    break
            places, i = found, inner
        return places

    def _one(self, token: str, text: str, at: int) -> set[int]:
        if token[0] == '"':
            word = token[1:-1].encode().decode("unicode_escape").encode("latin-1", "replace").decode("utf-8", "replace")
            if "\\" not in token:
                word = token[1:-1]
            return {at + len(word)} if text.startswith(word, at) else set()
        if token[0] == "[":
            return {at + 1} if at < len(text) and re.fullmatch(token, text[at]) else set()
        return self._rule(token, text, at)


def accepts(schema, text: str) -> bool:
    grammar = Grammar()
    rule = SchemaRules(grammar, schema, strict=True).rule(schema)
    return Recogniser(grammar).accepts(rule, text)


PERSON = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}, "c": {"$ref": "#/$defs/c"}},
    "required": ["b"],
    "additionalProperties": False,
    "$defs": {"c": {"type": "array", "items": {"$ref": "#/$defs/c"}, "maxItems": 2}},
}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (PERSON, ['{"b":null}', '{"a": 1, "b": "x", "c": [[],[[]]]}', '{"b":"","c":[]}'],
         ["{}", '{"b":1}', '{"b":null,"a":1}', '{"b":null,}', '{"b":null,"c":[[],[],[]]}', '{"b":null,"d":1}']),
        ({"type": "object", "properties": {"a": {"const": 1}}}, ["{}", '{"a":1}'], ['{"a":2}', '{"b":1}']),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, ["{}", '{"x":true, "y":false}'], ['{"x":1}']),
        ({"enum": ["a b", 3, None]}, ['"a b"', "3", "null"], ['"a"', "4"]),
        ({"anyOf": [{"type": "number"}, {"type": "string", "minLength": 1, "maxLength": 2}]},
         ["-1.5e3", "0", '"ab"'], ['""', '"abc"', "01", "1."]),
        ({"allOf": [{"properties": {"x": {"type": "null"}}, "required": ["x"]}], "type": "object"},
         ['{"x":null}'], ["{}"]),
        ({"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "boolean"}, "minItems": 2},
         ["[null,true]", "[null, true, false]"], ["[null]", "[true,true]"]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}, ["[1,2]", "[1,2,3]"],
         ["[]", "[1]", "[1,2,3,4]"]),
        ({"type": "string"}, ['"a<b</c>"', r'"\u00e9\n"', '"<"', '"|<"'], ['"<|eot|>"', '"a\n"', '"a"b"', '"<<|"']),
        (True, ['{"a":[1,"x",{"b":null}]}', "3"], ["{", "[1,]"]),
        ({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "additionalProperties": False,
          "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "discriminator": {}},
         ['{"a":null}', '{"b":null}', '{"a":null,"b":null}'], ["{}", '{"a":1}', '{"c":null}']),
        ({"properties": {"k": {"type": "string"}}, "oneOf": [{"properties": {"k": {"const": "x"}}, "required": ["k"]}]},
         ['{"k":"x"}'], ["{}", '{"k":"y"}']),
        ({"$ref": "#/$defs/s", "minLength": 2, "$defs": {"s": {"type": "string", "maxLength": 3}}},
         ['"ab"', '"abc"'], ['"a"', '"abcd"']),
        ({"allOf": [{"$ref": "#/$defs/s", "minLength": 2}], "$defs": {"s": {"type": "string"}}}, ['"ab"'], ['"a"']),
        ({"type": "string", "enum": ["a", None, 1, True]}, ['"a"'], ["null", "1", "true"]),
        ({"type": ["number", "null"], "enum": ["a", None, 1, True]}, ["1", "null"], ['"a"', "true"]),
        ({"enum": ["a", "b"], "const": "a", "type": "string"}, ['"a"'], ['"b"']),
        ({"allOf": [{"type": "string"}], "enum": ["a", 1]}, ['"a"'], ["1"]),
    ],
)  # fmt: skip
def test_schemas(schema, good, bad):
    assert [text for text in good if not accepts(schema, text)] == []
    assert [text for text in bad if accepts(schema, text)] == []


def test_integer_ranges():
    rng = random.Random(0)
    for _ in range(60):
        low, high = sorted(rng.randint(-(10 ** rng.randint(1, 4)), 10 ** rng.randint(1, 4)) for _ in range(2))
        grammar = Grammar()
        schema = {"type": "integer", "minimum": low, "exclusiveMaximum": high + 1}
        rule = SchemaRules(grammar, schema, strict=True).rule(schema)
        reader = Recogniser(grammar)
        for number in {low - 1, low, low + 1, high - 1, high, high + 1, 0, rng.randint(-20000, 20000)}:
            assert reader.accepts(rule, str(number)) == (low <= number <= high), (low, high, number)
        assert not reader.accepts(rule, "-0") and not reader.accepts(rule, "007")


def test_text_without_words():
    grammar = Grammar()
    rule = grammar.without("</end>", "<|")
    reader = Recogniser(grammar)
    for text in ("", "a < b", "</en", "<</end", "</e</end", "x\ny"):
        assert reader.accepts(rule, text), text
    for text in ("</end>", "a</end>b", "<</end>", "</e</end>", "<|", "a<<|b"):
        assert not reader.accepts(rule, text), text


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "string", "pattern": "a"}, "'pattern'"),
        ({"type": "number", "minimum": 0}, "'minimum'"),
        ({"type": "text"}, "'text'"),
        ({"$ref": "#/$defs/none"}, "#/\\$defs/none"),
        ({"enum": []}, "not empty"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "between 3 and 2"),
        (["string"], "cannot hold"),
        ({"$ref": "#/$defs/s", "pattern": "a", "$defs": {"s": {"type": "string"}}}, "'pattern'"),
        ({"enum": ["a"], "minLength": 2}, "'minLength'"),
        ({"enum": ["a"], "type": "integer"}, "choices"),
        ({"anyOf": [{"type": "string"}], "pattern": "a"}, "'pattern'"),
        ({"anyOf": [{"type": "string"}], "type": "integer"}, "two things about 'type'"),
        ({"minItems": 1.5, "type": "array"}, "'minItems'"),
        ({"maxLength": "x} y", "type": "string"}, "'maxLength'"),
    ],
)
def test_what_cannot_be_enforced_is_refused(schema, complaint):
    with pytest.raises(ValueError, match=complaint):
        SchemaRules(Grammar(), schema if isinstance(schema, dict) else {}, strict=True).rule(schema)


def test_literals_are_escaped():
    assert literal('a"b\\\n') == r'"a\"b\\\x0A"'
    assert json.loads('"\\u003c|"') == "<|"
