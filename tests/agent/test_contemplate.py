import asyncio

import pytest

from firesteel.agent import Limits, tool
from firesteel.agent.contemplate import Plan, contemplate
from firesteel.backends.base import BackendFailed
from firesteel.format import Message, Trace
from tests.agent.scripted import Scripted, calls, says


def think(backend, plan, tools=(), limits=None, question="What is 2 + 3?"):
    trace = Trace([Message("user", question)])

    async def all_of_it():
        return [event async for event in contemplate(trace, backend, plan, tools, limits)]

    return trace, asyncio.run(all_of_it())


def of_kind(events, kind):
    return [event for event in events if event.kind == kind]


def test_agents_share_one_request_and_stop_when_they_agree():
    slow = says("6", thought="x" * 2000)
    backend = Scripted(says("5", "short"), slow, says("5", "2+3=5"), slow, says("5.", "2 + 3 is 5"), slow)
    trace, events = think(backend, Plan(agents=6))
    assert [r.n for r in backend.requests] == [6] and backend.running == 0
    assert trace.messages[-1].text == "5" and trace.messages[-1].reasoning == "short"
    ledger = events[-1].data
    assert (ledger["agents_started"], ledger["agents_cancelled"], ledger["agreement"]) == (6, 3, 1.0)
    assert len(of_kind(events, "agent_cancelled")) == 3
    assert ledger["total_tokens"] <= backend.tokens <= ledger["total_tokens"] + 6  # one may be on its way to each
    assert ledger["critical_path_tokens"] < ledger["total_tokens"] / 4
    assert trace.messages[-1].usage["total_tokens"] == ledger["total_tokens"]


def crowded(*lines, pause=0.0):
    """A backend whose samples slow each other."""
    backend = Scripted(*lines, pause=pause)
    backend.parallel = False
    return backend


def test_where_samples_slow_each_other_two_that_agree_are_enough():
    backend = crowded(says("5", "short"), says("5.", "2 + 3 is 5"))
    trace, events = think(backend, Plan(agents=8))
    assert [r.n for r in backend.requests] == [2] and trace.messages[-1].reasoning == "short"
    ledger = events[-1].data
    told = [ledger[f"agents_{name}"] for name in ("started", "cancelled", "spared")]
    assert told == [2, 0, 6] and ledger["agreement"] == 1.0
    assert ledger["total_tokens"] == backend.tokens


@pytest.mark.parametrize("lines", [("5", "7"), ("5" * 300, "5" * 300), ("", "5")], ids=["differ", "long", "none"])
def test_otherwise_the_others_start_and_draw_other_samples(lines):
    backend = crowded(*map(says, lines), *[says("6")] * 6)
    trace = Trace([Message("user", "What is 2 + 3?")])

    async def all_of_it():
        return [event async for event in contemplate(trace, backend, Plan(agents=8), seed=40)]

    events = asyncio.run(all_of_it())
    assert [(r.n, r.seed) for r in backend.requests] == [(2, 40), (6, 42)]
    assert [e.agent for e in of_kind(events, "agent_started")] == [*range(1, 9)]
    assert trace.messages[-1].text == "6" and backend.running == 0
    ledger = events[-1].data
    assert ledger["agents_started"] == 8 and ledger["total_tokens"] <= backend.tokens
    assert ledger["critical_path_tokens"] > 5


def test_the_first_leave_the_others_half_of_the_time():
    backend = crowded(*[says("9" * 50000)] * 2, says("5"), says("5"), pause=0.001)
    trace, events = think(backend, Plan(agents=4, seconds=0.6))
    assert trace.messages[-1].text == "5" and events[-1].data["agents_started"] == 4 and backend.running == 0


def test_who_starts_first_can_be_chosen():
    backend = Scripted(*[says("5")] * 3)
    think(backend, Plan(agents=8, first=3))
    backend.parallel = False
    assert [r.n for r in backend.requests] == [3]
    backend.lines = [says("5")] * 8
    think(backend, Plan(agents=4, first=8))
    think(backend, Plan(agents=4, early=False))
    assert [r.n for r in backend.requests] == [3, 4, 4]


def test_without_early_stop_all_vote_and_ties_go_to_the_shorter_thought():
    backend = Scripted(says("7", "long" * 9), says("5", "mid" * 5), says("7", "hm" * 20), says("5", "m"))
    trace, events = think(backend, Plan(agents=4, early=False))
    assert trace.messages[-1].text == "5" and events[-1].data["agents_cancelled"] == 0
    (vote,) = of_kind(events, "vote")
    assert [(c["answer"], c["votes"]) for c in vote.data["clusters"]] == [("5", 2.0), ("7", 2.0)]
    assert events[-1].data["total_tokens"] == backend.tokens and events[-1].data["agreement"] == 0.5


def test_refinement_follows_on_disagreement_alone_and_hides_the_counts():
    first = [says("5"), says("7"), says("7"), says("7"), says("5")]
    backend = Scripted(*first, *[says("5")] * 5)
    trace, events = think(backend, Plan(agents=5, rounds=1))
    assert [r.n for r in backend.requests] == [5, 5]
    workspace = backend.requests[1].messages[-1].text
    assert workspace.count("Answer ") == 2 and "7" in workspace and "3" not in workspace.replace("Answer 3", "")
    assert trace.messages[-1].text == "5" and [m.role for m in trace] == ["user", "assistant"]
    assert events[-1].data["rounds"] == 1 and {e.round for e in of_kind(events, "agent_started")} == {0, 1}

    backend = Scripted(*[says("5")] * 5)
    think(backend, Plan(agents=5, rounds=1))
    assert len(backend.requests) == 1


def test_agents_use_tools_of_their_own_and_only_safe_ones():
    used = []

    @tool
    async def add(a: int, b: int) -> str:
        """Adds."""
        used.append(a)
        return str(a + b)

    @tool(parallel_safe=False)
    async def write(text: str) -> str:
        """Writes."""
        return ""

    def step(request):
        assert [t["function"]["name"] for t in request.tools] == ["add"]
        last = request.messages[-1]
        return says(last.text) if last.role == "tool" else calls(("add", {"a": "2", "b": "3"}))

    backend = Scripted(*[step] * 6)
    trace, events = think(backend, Plan(agents=3, early=False), [add, write])
    assert used == [2, 2, 2] and [m.role for m in trace] == ["user", "assistant", "tool", "assistant"]
    assert trace.messages[-1].text == "5" and events[-1].data["total_tokens"] == backend.tokens


def test_what_is_late_is_left_out():
    backend = Scripted(says("5"), says("9" * 5000), says("5"), pause=0.001)
    trace, events = think(backend, Plan(agents=3, seconds=0.3, early=False))
    assert trace.messages[-1].text == "5" and events[-1].text == "stop"
    assert backend.running == 0
    backend = Scripted(says("9" * 5000), pause=0.001)
    trace, events = think(backend, Plan(agents=1, seconds=0.1))
    assert len(trace) == 1 and [e.kind for e in events[-2:]] == ["limit", "done"]


def test_of_long_answers_the_model_picks_one_and_cannot_invent_another():
    essays = [says(letter * 300) for letter in "abc"]

    def pick(request):
        before = request.messages[-1].text.partition("bbb")[0]
        return says(before.rpartition("Answer ")[2].partition(":")[0])

    trace, _ = think(Scripted(*essays, pick), Plan(agents=3))
    assert trace.messages[-1].text == "b" * 300
    trace, _ = think(Scripted(*essays, says("none, but: ddd")), Plan(agents=3))
    assert trace.messages[-1].text in ("a" * 300, "b" * 300, "c" * 300)


def test_the_choice_is_asked_without_what_the_answers_had_to_be():
    backend = Scripted(*[says(letter * 300) for letter in "abc"], says("1"))
    trace = Trace([Message("user", "x")])
    answers = {"tool_choice": "required", "json_schema": {}, "stop": ["x"], "logprobs": 0, "thinking_budget": 9}

    async def all_of_it():
        return [event async for event in contemplate(trace, backend, Plan(agents=3), strength=16, **answers)]

    asyncio.run(all_of_it())
    asked = backend.requests[-1]
    assert (asked.strength, asked.temperature, asked.max_tokens) == (16, 0.0, 1024)
    assert (asked.tool_choice, asked.json_schema, asked.stop) == ("auto", None, ())
    assert (asked.logprobs, asked.thinking_budget) == (None, None)


def test_where_the_model_cannot_choose_the_shortest_stays():
    def refuse(request):
        raise ValueError("The prompt is too long.")

    essays = [says("a" * 300), says("b" * 600), says("c" * 900)]
    for choosing in (refuse, says("2", thought="x" * 500_000)):  # it fails, or the time is up
        backend = Scripted(*essays, choosing, chunk=100, pause=0.001)
        trace, events = think(backend, Plan(agents=3, seconds=0.5))
        assert trace.messages[-1].text == "a" * 300 and events[-1].text == "stop" and backend.running == 0


def test_if_every_agent_fails_so_does_contemplating():
    def fail(request):
        raise BackendFailed("The model is gone.")

    with pytest.raises(BackendFailed, match="is gone"):
        think(Scripted(fail, fail), Plan(agents=2))


@pytest.mark.parametrize("agents", [1, 2])
def test_a_defect_of_the_backend_ends_everything(agents):
    def fail(request):
        raise ZeroDivisionError

    async def soon():
        async with asyncio.timeout(5):
            async for _ in contemplate(Trace([Message("user", "x")]), Scripted(*[fail] * agents), Plan(agents=agents)):
                pass

    with pytest.raises(ZeroDivisionError):
        asyncio.run(soon())


def test_limits_hold_for_all_agents_together():
    backend = Scripted(*[says("9" * 200, thought="x")] * 4)
    trace, events = think(backend, Plan(agents=4, early=False), limits=Limits(turns=2))
    assert backend.requests[0].n == 2 and trace.messages[-1].text == "9" * 200
    assert "2 turns" in of_kind(events, "limit")[0].text


def test_leaving_stops_all_agents():
    backend = Scripted(*[says("9" * 5000)] * 4, pause=0.001)
    trace = Trace([Message("user", "x")])

    async def leave():
        events = contemplate(trace, backend, Plan(agents=4))
        async for event in events:
            if event.kind == "content":
                break
        await events.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1 and backend.running == 0 and len(trace) == 1


@pytest.mark.parametrize("wrong", [{"agents": 0}, {"rounds": -1}, {"items": 1}, {"first": 1}])
def test_impossible_plans_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Contemplating takes|At least two"):
        Plan(**wrong)
