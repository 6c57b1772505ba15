import random

import pytest

from firesteel.evals.estimators import Shot, auc_oaa, chance, f1, guess_rates, majority


def shot(got, correct=False, thinking=10, **options):
    return Shot(got, correct, thinking, 3, **options)


def test_the_most_frequent_answer_wins_and_ties_go_to_the_shorter_thought():
    assert majority([shot("7", True), shot("8"), shot("7.", True)])
    assert not majority([shot("7", True), shot("8"), shot("8")])
    assert majority([shot("7", True, 5), shot("8", False, 6)])
    assert not majority([shot("7", True, 6), shot("8", False, 5)])


def test_who_did_not_end_does_not_vote():
    cut = [shot("8", truncated=True), shot("8", truncated=True), shot("", failed=True)]
    assert majority([*cut, shot("7", True)])
    assert not majority(cut)


def test_auc_oaa_is_the_mean_of_oaa_over_all_thresholds():
    shots = [shot("a", True, 0), shot("a", True, 40), shot("b", False, 0), shot("a", True, 150)]
    oaa = [sum(s.correct and s.thinking < t for s in shots) / 4 for t in range(1, 101)]
    assert auc_oaa(shots, 100) == pytest.approx(sum(oaa) / 100, abs=1e-9)


def test_f1_is_drawn_to_the_worse_side():
    assert f1(0.5, 0.5) == 0.5 and f1(1.0, 0.0) == 0 and f1(0.0, 0.0) == 0
    assert f1(0.9, 0.1) == pytest.approx(0.18)


def test_chance_is_that_of_guessing_from_the_own_answers():
    """Ten possible answers, guessed evenly: 10 % each, 81 % in sixteen guesses."""
    rng = random.Random(0)
    truths = [str(i % 10) for i in range(200)]
    pools = [[shot(str(rng.randrange(10))) for _ in range(16)] for _ in truths]
    rates = guess_rates(pools, [lambda text, truth=truth: text == truth for truth in truths])
    assert chance(rates, 1) == pytest.approx(0.1, abs=0.01)
    assert chance(rates, 16) == pytest.approx(1 - 0.9**16, abs=0.02)


def test_what_is_said_here_is_no_guess_and_what_did_not_end_is_no_hit():
    pools = [[shot("1", True)] * 4, [shot("2", True)] * 4, [shot("1", truncated=True)] * 4]
    checks = [lambda text, truth=truth: text == truth for truth in ("1", "2", "2")]
    assert guess_rates(pools, checks) == [0.0, 0.0, 0.5]
    assert guess_rates(pools[:1], checks[:1]) == [] and chance([], 16) is None
