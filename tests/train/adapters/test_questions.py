"""Named questions: the same for the same seed, drawn apart from evaluations, priced within a group."""

from itertools import islice

import pytest

from firesteel.tasks.base import HELD_OUT
from firesteel.train.adapters.questions import costs, draw
from firesteel.train.rl.reward import PENALTY


def test_a_seed_draws_the_same_questions() -> None:
    wanted = {"families": ["chain_sum", "clock"], "levels": [1, 2], "strengths": ["low", "xhigh"]}
    first, again, other = (list(islice(draw(**wanted, seed=seed), 40)) for seed in (0, 0, 1))
    assert first == again != other
    assert {question.family for question in first[:2]} == {"chain_sum", "clock"}
    assert {(question.level, question.strength) for question in first} == {
        (1, "low"),
        (1, "xhigh"),
        (2, "low"),
        (2, "xhigh"),
    }
    assert all(question.is_right(question.problem.answer) and not question.is_right("no") for question in first)


def test_training_and_evaluation_never_share_a_number() -> None:
    assert all(question.number < HELD_OUT for question in islice(draw(seed=3), 100))
    assert all(question.number >= HELD_OUT for question in islice(draw(seed=0, held_out=True), 100))


def test_longer_thoughts_cost_more_and_failing_groups_nothing() -> None:
    lengths = [10, 20, 40]
    cheap, dear, dearest = costs([1.0, 1.0, 1.0], lengths, "low")
    assert 0 > cheap > dear > dearest == -0.5
    assert costs([1.0, 0.0, 0.0], lengths, "low")[2] == pytest.approx(-0.5 / 3)
    assert costs([0.0, 0.0, 0.0], lengths, "low") == [0.0] * 3
    assert costs([1.0, 1.0, 1.0], lengths, "xhigh")[2] == pytest.approx(-PENALTY["xhigh"])
    assert costs([1.0, 1.0, 1.0], lengths, "low", scale=0.0) == [0.0] * 3


def test_what_cannot_be_asked_is_explained() -> None:
    with pytest.raises(ValueError, match="minimal, low"):
        next(draw(strengths=["brief"]))
    with pytest.raises(ValueError, match="levels 1 to 3"):
        next(draw(["chain_sum"], levels=[4]))
