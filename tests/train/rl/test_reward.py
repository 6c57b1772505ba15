import pytest

from firesteel.train.rl.reward import penalised, weight


def test_a_group_that_fails_pays_nothing_for_thinking():
    assert penalised([0, 0, 0], [10, 500, 30], 1.0) == [0, 0, 0]


def test_in_a_mastered_group_the_shortest_right_thought_is_worth_most():
    worth = penalised([1, 1, 1, 0], [10, 40, 20, 40], 0.5)
    assert worth[0] > worth[2] > worth[1] > worth[3]
    assert worth[1] == pytest.approx(1 - 0.5 * 0.75) and worth[3] == pytest.approx(-0.5 * 0.75)


def test_a_right_answer_is_worth_more_than_a_wrong_one_of_any_length():
    worth = penalised([1, 0], [100, 0], 0.5)
    assert worth[0] > worth[1]


def test_groups_without_thoughts_are_left_as_they_are():
    assert penalised([1, 0], [0, 0], 0.5) == [1, 0]


def test_thinking_costs_less_the_more_of_it_was_asked_for():
    costs = [weight(strength) for strength in (1, 16, 64, 256, 512)]
    assert costs == sorted(costs, reverse=True) and costs[0] > costs[-1] > 0
    assert weight(100) == weight(64) and weight(0) == weight(1)
