"""Which requests are masked, and which are refused."""

import pytest

from firesteel.backends.grammar import turn_grammar

IDS = {"<|message|>": 1, "<|eom|>": 2, "<|start|>": 3}
TOOLS = [{"name": "read", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}, {"name": "run"}]


def test_a_free_turn_has_no_grammar():
    assert turn_grammar(IDS.__getitem__) is None
    assert turn_grammar(IDS.__getitem__, None, TOOLS, "auto") is None
    assert turn_grammar(IDS.__getitem__, None, TOOLS, "none") is None


def test_a_schema_leaves_tools_that_may_be_called():
    schema = {"type": "boolean"}
    free = turn_grammar(IDS.__getitem__, schema, TOOLS, "auto")
    assert free is not None and '" to=user"' in free and '" to=read"' in free and '" to=run"' in free
    barred = turn_grammar(IDS.__getitem__, schema, TOOLS, "none")
    assert barred is not None and '" to=user"' in barred and '" to=read"' not in barred


def test_a_forced_tool_is_the_only_recipient():
    forced = turn_grammar(IDS.__getitem__, None, TOOLS, "read")
    assert forced is not None and '" to=read"' in forced
    assert '" to=run"' not in forced and '" to=user"' not in forced


@pytest.mark.parametrize(("tools", "choice"), [((), "required"), ((), "read"), (TOOLS, "write")])
def test_choices_without_a_tool_are_refused(tools, choice):
    with pytest.raises(ValueError, match=choice):
        turn_grammar(IDS.__getitem__, None, tools, choice)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": "a"},
        {"type": "array", "minItems": "x"},
        {"type": "array", "prefixItems": 5},
        {"anyOf": 5},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": 5}}},
        {"allOf": [{"$ref": "#"}]},
        {"type": "object", "properties": [5]},
    ],
)
def test_malformed_schemas_are_refused_with_a_sentence(schema):
    with pytest.raises(ValueError, match="JSON schema"):
        turn_grammar(IDS.__getitem__, schema)
    parameters = {"properties": {"a": schema}, "$defs": schema.get("$defs"), "allOf": schema.get("allOf", [])}
    with pytest.raises(ValueError, match="JSON schema"):
        turn_grammar(IDS.__getitem__, None, [{"name": "read", "parameters": parameters}], "read")


def test_a_union_that_holds_itself_is_refused():
    parameters = {"properties": {"a": {"anyOf": [{"type": "string"}, {"$ref": "#/properties/a"}]}}}
    with pytest.raises(ValueError, match="without end"):
        turn_grammar(IDS.__getitem__, None, [{"name": "read", "parameters": parameters}], "read")
