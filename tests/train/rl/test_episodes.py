import asyncio
import random
from collections import Counter

import pytest

from firesteel.format import STRENGTHS, Message, ToolCall
from firesteel.tasks import FAMILIES, make
from firesteel.train.rl.config import Phase
from firesteel.train.rl.episodes import Curriculum, draw_call, draw_operator, draw_problem, of_problem


def said(text):
    return [Message("assistant", text)]


def test_a_problem_is_judged_by_its_family():
    problem = make("chain_sum", 3)
    episode = of_problem(problem, 64)
    assert episode.judge(said(f" {problem.answer} ")) and not episode.judge(said("no"))


def test_what_is_half_mastered_is_drawn_most():
    curriculum, rng = Curriculum({"chain_sum/1": 1.0, "letters/1": 0.5, "logic/1": 0.0}), random.Random(0)
    drawn = Counter(curriculum.draw(rng, ["chain_sum", "letters", "logic"], [1])[0] for _ in range(500))
    assert drawn["letters"] > 5 * drawn["chain_sum"] > 0 and drawn["letters"] > 5 * drawn["logic"] > 0


def test_to_compress_what_is_mastered_is_drawn_most():
    curriculum, rng = Curriculum({"chain_sum/1": 1.0, "letters/1": 0.5, "logic/1": 0.0}), random.Random(0)
    drawn = Counter(curriculum.draw(rng, ["chain_sum", "letters", "logic"], [1], mastered=True)[0] for _ in range(500))
    assert drawn["chain_sum"] > 2 * drawn["letters"] > 8 * drawn["logic"]


def test_the_pass_rate_follows_what_is_noted():
    curriculum = Curriculum()
    for _ in range(30):
        curriculum.note("a/1", 0.9)
    assert abs(curriculum.rates["a/1"] - 0.9) < 0.01


def test_only_the_levels_and_strengths_of_the_phase_are_drawn():
    rng = random.Random(0)
    drawn = [draw_problem(rng, Curriculum(), ["chain_sum"], [2], ["low", "high"]) for _ in range(12)]
    assert {episode.key for episode in drawn} == {"chain_sum/2"}
    assert {episode.strength for episode in drawn} == {STRENGTHS["low"], STRENGTHS["high"]}


def test_a_phase_of_an_unknown_strength_is_refused():
    with pytest.raises(ValueError, match="strengths are some of"):
        Phase(name="accuracy", steps=1, strengths=("huge",))


def test_a_call_is_right_with_exactly_its_arguments_and_its_result_told():
    rng, judged = random.Random(1), Counter()
    for _ in range(200):
        episode = draw_call(rng, FAMILIES)
        wanted = calls_of(episode)
        if wanted is None:
            continue
        call, answer = wanted
        turn = Message("assistant", "", tool_calls=[call])
        told = [turn, Message("tool", "x", name=call.name, tool_call_id=call.id), *said(answer)]
        assert episode.judge(told)
        assert not episode.judge([*told[:2], *said(answer + "!?")])
        assert not episode.judge(said(answer))
        judged["told"] += 1
    assert judged["told"] > 20


def calls_of(episode):
    """A call and an answer that the judge accepts, from what it closes over; None where it wants no answer."""
    cells = dict(zip(episode.judge.__code__.co_freevars, episode.judge.__closure__, strict=True))
    wanted, told = cells["wanted"].cell_contents, cells["told"].cell_contents
    if len(wanted) != 1 or told is None:
        return None
    return ToolCall(wanted[0]["name"], wanted[0]["arguments"], "call_0"), told


def test_the_tool_of_a_call_answers_with_the_conversation_s_result():
    rng = random.Random(2)
    while not (wanted := calls_of(episode := draw_call(rng, FAMILIES))):
        pass
    tool = next(tool for tool in episode.tools if tool.name == wanted[0].name)
    (part,) = asyncio.run(tool(wanted[0].arguments))
    assert part.text


def test_answers_that_agree_give_no_prompt_for_an_operator():
    episode = of_problem(make("chain_sum", 3), 64)
    assert draw_operator(random.Random(0), episode, ["12", "12.", "12"], [True, True, True]) is None


def test_an_operator_sees_one_answer_of_each_kind_and_no_counts():
    problem = make("chain_sum", 3)
    episode = of_problem(problem, 64)
    answers, right = [problem.answer, problem.answer, "1", "1", "1"], [True, True, False, False, False]
    kinds = set()
    for seed in range(20):
        drawn = draw_operator(random.Random(seed), episode, answers, right)
        shown = drawn.messages[-1].text
        assert shown.count("Answer ") == 2 and drawn.messages[0] is episode.messages[0]
        kinds.add(drawn.key)
        if drawn.key == "refine":
            assert drawn.judge(said(problem.answer)) and not drawn.judge(said("1"))
        else:
            number = 1 + (shown.index(f"\n{problem.answer}\n") > shown.index("\n1\n"))
            assert drawn.judge(said(f"Answer {number}.")) and not drawn.judge(said(str(3 - number)))
            assert not drawn.judge(said("none"))
    assert kinds == {"refine", "choose"}


def test_where_all_answers_are_wrong_there_is_nothing_to_choose():
    episode = of_problem(make("chain_sum", 3), 64)
    keys = {draw_operator(random.Random(seed), episode, ["1", "2"], [False, False]).key for seed in range(20)}
    assert keys == {"refine"}


def test_a_question_that_needs_no_tool_is_of_the_families_that_are_trained_on(monkeypatch):
    names = []
    monkeypatch.setattr("firesteel.train.calls.make", lambda name, *args: (names.append(name), make(name, *args))[1])
    for families in (["letters", "bar_chart"], ["bar_chart"]):
        rng = random.Random(4)
        for _ in range(60):
            draw_call(rng, families)
    assert names and set(names) == {"letters"}
