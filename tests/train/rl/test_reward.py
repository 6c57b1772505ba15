import pytest

from firesteel.train.rl.reward import thinking_costs, weight


def test_a_group_that_fails_pays_nothing_for_thinking():
    assert thinking_costs([0, 0, 0], [10, 500, 30], 1.0) == [0, 0, 0]


def test_a_group_pays_by_its_pass_rate_and_its_longest_thought():
    assert thinking_costs([1, 1, 1, 0], [10, 40, 20, 40], 0.5) == pytest.approx([-0.09375, -0.375, -0.1875, -0.375])


def test_groups_without_thoughts_pay_nothing():
    assert thinking_costs([1, 0], [0, 0], 0.5) == [0, 0]


def test_thinking_costs_less_the_more_of_it_was_asked_for():
    costs = [weight(strength) for strength in (1, 16, 64, 256, 512)]
    assert costs == sorted(costs, reverse=True) and costs[0] > costs[-1] > 0
    assert weight(100) == weight(64) and weight(0) == weight(1)
