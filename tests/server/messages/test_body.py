"""What a body asks of the model."""

import pytest

from tests.agent.scripted import calls, says
from tests.server.messages.posting import ADD, THINK, answered, asked, post, refused

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


def test_parameters_reach_the_model():
    request = asked(max_tokens=7, temperature=0.5, top_p=0.9, top_k=3, stop_sequences=["END"], tools=[ADD])
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k) == (7, 0.5, 0.9, 3)
    assert list(request.stop) == ["END"] and request.thinking_budget is None
    (tool,) = request.tools
    assert tool["function"]["name"] == "add" and tool["function"]["parameters"] == ADD["input_schema"]


def test_a_budget_closes_the_thought():
    assert asked(thinking=THINK).thinking_budget == 2000


def test_adaptive_thinking_takes_its_effort():
    strengths = [
        asked(thinking={"type": "adaptive"}, output_config={"effort": effort}).strength
        for effort in ("none", "low", "medium", "high", "xhigh", "max")
    ]
    assert strengths == [0, 16, 64, 256, 512, 512]
    assert asked(thinking={"type": "adaptive"}).strength == 256


@pytest.mark.parametrize("body", [{"thinking": {"type": "disabled"}}, {"output_config": {"effort": "none"}}])
def test_disabled_thinking_means_none(body):
    request = asked(**body)
    assert request.strength == 0 and request.thinking_budget is None


def test_a_schema_reaches_the_model():
    assert asked(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}).json_schema == SCHEMA


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "add"}, "add"),
        (None, "auto"),
    ],
)
def test_a_choice_of_tools_reaches_the_model(choice, told):
    request = asked(tools=[ADD], tool_choice=choice)
    assert request.tool_choice == told and request.parallel_calls


def test_no_tool_means_none():
    assert asked(tools=[ADD], tool_choice={"type": "none"}).tool_choice == "none"


def test_parallel_calls_can_be_switched_off():
    two = calls(("add", {"a": "1", "b": "2"}), ("add", {"a": "3", "b": "4"}))
    assert len(answered(two, tools=[ADD])["content"]) == 2
    assert (
        len(answered(two, tools=[ADD], tool_choice={"type": "auto", "disable_parallel_tool_use": True})["content"]) == 1
    )


BAD_SCHEMAS = [
    {"type": True},
    {"type": ["string", 3]},
    {"properties": ["a"]},
    {"required": "a"},
    {"required": [{}]},
    {"anyOf": [3]},
    {"properties": {"a": {"items": "string"}}},
    {"$ref": 3},
    {"type": "integer", "minimum": "a"},
    {"type": "array", "minItems": "x"},
    {"type": "string", "maxLength": -1},
    {"prefixItems": 5},
    {"prefixItems": [5]},
    {"$defs": {"a": {"anyOf": 3}}, "$ref": "#/$defs/a"},
]


@pytest.mark.parametrize("schema", BAD_SCHEMAS)
def test_what_is_no_json_schema_is_refused(schema):
    assert "no JSON schema" in refused(tools=[ADD | {"input_schema": schema}])
    assert "no JSON schema" in refused(output_config={"format": {"type": "json_schema", "schema": schema}})


def test_the_place_in_a_schema_is_told():
    schema = {"properties": {"a": {"anyOf": [{"type": "null"}, {"items": {"minItems": "x"}}]}}}
    assert "properties.a.anyOf.1.items.minItems" in refused(tools=[ADD | {"input_schema": schema}])


@pytest.mark.parametrize("part", [{"minimum": None}, {"minimum": 0, "exclusiveMinimum": True}, {"format": "date"}])
def test_what_older_schemas_say_is_left_alone(part):
    (tool,) = asked(tools=[ADD | {"input_schema": {"properties": {"a": part}}}]).tools
    assert tool["function"]["parameters"] == {"properties": {"a": part}}


def test_keywords_that_are_null_count_as_none():
    schema = {"type": "object", "properties": None, "required": None}
    (tool,) = asked(tools=[ADD | {"input_schema": schema}]).tools
    assert tool["function"]["parameters"] == {"type": "object"}


def test_threads_are_refused_so_that_clients_go_on_without():
    answer = post(says("hi"), thread={"type": "create"})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {"error_code": "thread_unsupported_request"}


def test_unknown_fields_and_tools_are_left_alone():
    request = asked(
        metadata={"user_id": "u"},
        context_management={"edits": [{"type": "clear_thinking_20251015"}]},
        service_tier="auto",
        mcp_servers=[],
        tools=[ADD | {"cache_control": {"type": "ephemeral"}}, {"type": "bash_20250124", "name": "bash"}],
    )
    assert [tool["function"]["name"] for tool in request.tools] == ["add"]


def test_tools_of_the_makers_server_are_ours_where_they_are_served():
    server_tools = [{"type": "code_execution_20260521", "name": "c"}, {"type": "web_search_20260318", "name": "w"}]
    names = [tool["function"]["name"] for tool in asked(tools=server_tools).tools]
    assert "container.python_execution" in names and not any(name.startswith("browser.") for name in names)
    assert asked(tools=server_tools, settings={"tools": ()}).tools == []


def test_a_tool_of_ours_can_be_asked_for_by_name():
    names = [tool["function"]["name"] for tool in asked(tools=[{"type": "firesteel:zoom"}]).tools]
    assert "zoom" in names
    refused(403, "permission_error", tools=[{"type": "firesteel:rockets"}])


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages.0.role"),
        ({"temperature": 3}, "temperature"),
        ({"thinking": {"type": "perhaps"}}, "thinking.type"),
        ({"output_config": {"effort": "heroic"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"tools": [{"description": "nameless"}]}, "tools.0.name"),
        ({"tools": [ADD], "tool_choice": {"type": "tool", "name": "sub"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": ["END"] * 17}, "stop_sequences"),
        ({"messages": [{"role": "user", "content": "hi"}] * 5, "settings": {"messages": 4}}, "messages"),
    ],
)
def test_wrong_values_are_refused_by_name(body, place):
    assert refused(**body).startswith(f"{place}: ")


def test_an_unknown_model_is_not_found():
    assert "claude" in refused(404, "not_found_error", model="claude")


def test_a_wrong_method_and_no_json_are_told_in_the_protocols_words():
    answer = post(says("hi"), path="/v1/messages/nothing")
    assert answer.status_code == 404 and answer.json()["type"] == "error"


@pytest.mark.parametrize(("header", "start"), [("authorization", "Bearer "), ("x-api-key", "")])
def test_a_key_may_be_shown_in_either_header(header, start):
    async def with_key(client):
        _, secret = await client.service.store.create_key(name="test", owner="ann")
        client.headers[header] = start + secret
        return {}

    assert post(says("hi"), before=with_key).status_code == 200


def test_a_stranger_is_refused_in_the_protocols_words():
    async def with_key(client):
        await client.service.store.create_key(name="test", owner="ann")
        return {}

    refused(401, "authentication_error", before=with_key)
