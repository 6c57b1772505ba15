import asyncio
import json

from firesteel.agent import Limits, run, tool
from firesteel.agent.mind import Mind
from firesteel.agent.subagents import spawn_agents
from firesteel.agent.toolbox import toolbox
from firesteel.format import Message, Trace
from tests.agent.scripted import Scripted, calls, says


def follow(trace, backend, tools, limits=None):
    async def all_of_it():
        return [event async for event in run(trace, backend, tools, limits)]

    return asyncio.run(all_of_it())


def spawning(template, *params, **more):
    children = [{"title": f"t{i}", "params": p} for i, p in enumerate(params)]
    return calls(
        ("subagents.spawn_agents", {"message_template": template, "subagents": json.dumps(children)} | more),
    )


def echo(request):
    return says("I read: " + request.messages[0].text)


def test_children_get_their_own_message_and_answer_at_once():
    children = Scripted(echo, echo, echo)
    parent = Scripted(spawning("Look at {place}.", {"place": "A"}, {"place": "B"}, {"place": "{C}"}), says("done"))
    trace = Trace([Message("user", "Look at all.")])
    events = follow(trace, parent, [spawn_agents(children)])
    assert trace.messages[2].text.split("\n\n") == [
        "1. t0: I read: Look at A.",
        "2. t1: I read: Look at B.",
        "3. t2: I read: Look at {C}.",  # a value is no template
    ]
    assert {e.agent for e in events if e.kind == "content"} == {0, 1, 2, 3}
    assert [e.agent for e in events if e.kind == "agent_started"] == [1, 2, 3]
    assert events[-1].data["completion_tokens"] == parent.tokens + children.tokens


def test_long_answers_are_cut_and_bad_calls_are_told():
    trace = Trace([Message("user", "x")])
    script = [
        spawning("Say much about {x}.", {"x": "y" * 50}, max_response_chars="20"),
        spawning("Say {x}."),
        spawning("Say {x}.", {"z": 1}),
        says("ok"),
    ]
    follow(trace, Scripted(*script), [spawn_agents(Scripted(echo))])
    replies = [m.text for m in trace if m.role == "tool"]
    assert replies[0] == "1. t0: I read: Say much abo… (cut, 74 characters)"
    assert "1 to 16 agents" in replies[1] and "placeholder {x}" in replies[2]


def test_a_child_that_fails_does_not_take_the_others_along():
    class Half(Scripted):
        async def stream(self, request):
            if "bad" in request.messages[0].text:
                raise ValueError("The server refuses.")
            async for delta in super().stream(request):
                yield delta

    trace = Trace([Message("user", "x")])
    events = follow(
        trace,
        Scripted(spawning("{x}", {"x": "good"}, {"x": "bad"}), says("ok")),
        [spawn_agents(Half(echo))],
    )
    assert trace.messages[2].text == "1. t0: I read: good\n\n2. t1: (no answer: error)"
    assert [e.text for e in events if e.kind == "error"] == ["The server refuses."]


def test_children_have_tools_and_spend_from_the_parents_budget():
    @tool
    async def add(a: int, b: int) -> str:
        """Adds."""
        return str(a + b)

    def use(request):
        last = request.messages[-1]
        return says(last.text) if last.role == "tool" else calls(("add", {"a": "1", "b": "2"}))

    trace = Trace([Message("user", "x")])
    backend = Scripted(spawning("{x}", {"x": "a"}, {"x": "b"}), says("ok"))
    events = follow(trace, backend, [spawn_agents(Scripted(*[use] * 4), [add])], Limits(calls=3))
    assert trace.messages[2].text == "1. t0: 3\n\n2. t1: 3"
    assert events[-1].data["calls"] == 3 and events[-1].data["turns"] == 6
    trace = Trace([Message("user", "x")])
    backend = Scripted(spawning("{x}", {"x": "a"}, {"x": "b"}), says("ok"))
    follow(trace, backend, [spawn_agents(Scripted(*[use] * 4), [add])], Limits(calls=2))
    assert sorted(trace.messages[2].text.split("\n\n")) == ["1. t0: 3", "2. t1: (no answer: limit)"]


def test_leaving_the_parent_ends_the_children():
    children = Scripted(*[says("a" * 5000)] * 4, pause=0.001)
    trace = Trace([Message("user", "x")])

    async def leave():
        events = run(trace, Scripted(spawning("{x}", *[{"x": i} for i in range(4)])), [spawn_agents(children)])
        async for event in events:
            if event.kind == "content" and event.agent == 4:
                break
        assert children.running == 4
        await events.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1 and children.running == 0


def test_children_think_as_hard_as_the_parent_and_answer_in_their_own_form():
    backend = Scripted(spawning("{x}", {"x": "a"}), echo, says("ok"))
    asked = {"tool_choice": "subagents.spawn_agents", "json_schema": {}, "stop": ["x"], "top_p": 0.5, "seed": 7}
    mind = Mind(strength="low", limits=Limits(turn_tokens=2000), options=asked)
    trace = Trace([Message("user", "x")])

    async def all_of_it():
        async with toolbox(["agents"], trace, backend, mind, print) as tools:
            return [event async for event in mind.answer(trace, backend, tools)]

    asyncio.run(all_of_it())
    parent, child, _ = backend.requests
    for name in ("strength", "max_tokens", "temperature", "top_p", "seed"):
        assert getattr(child, name) == getattr(parent, name)
    assert (child.tool_choice, child.json_schema, child.stop) == ("auto", None, ())
