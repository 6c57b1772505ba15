import json

import pytest

from firesteel.agent.answers import Candidate, canonical, clusters, posterior, settled


@pytest.mark.parametrize(
    "one, other",
    [
        ("42", " 42. "),
        ("1,000", "1000"),
        ("3.0", "3"),
        ("**Red circle**", "red  circle"),
        ('{"b": 1, "a": [2]}', '{"a":[2],"b":1}'),
        ("$\\boxed{7}$", "7"),
        ("'yes'", "Yes!"),
    ],
)
def test_equal_answers_are_equal(one, other):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    "one, other", [("42", "-42"), ("1.5", "15"), ("ab", "ba"), ("[1, 2]", "[2, 1]"), ("10:5", "105")]
)
def test_different_answers_are_not(one, other):
    assert canonical(one) != canonical(other)


def test_an_answer_too_deep_to_be_read_is_a_text():
    assert canonical("[" * 1200) == "[" * 1200


def votes(*answers):
    return [Candidate(agent, answer, length=10 + agent) for agent, answer in enumerate(answers)]


def test_clusters_rank_by_votes_then_by_shortness():
    ranked = clusters([*votes("a", "b", "b"), Candidate(9, "c", 1), Candidate(8, "c", 50)])
    assert [(c.key, len(c.members)) for c in ranked] == [("c", 2), ("b", 2), ("a", 1)]
    assert ranked[0].members[0].length == 1
    ranked = clusters([*votes("a", "a"), Candidate(3, "b", 5, weight=2.5)])
    assert ranked[0].key == "b"


def box(*numbers):
    return json.dumps({"bbox_2d": numbers})


def test_places_that_are_near_are_one_and_the_most_central_speaks():
    first, middle, last = box(100, 100, 300, 300), box(110, 90, 330, 310), box(130, 80, 340, 320)
    ranked = clusters(votes(first, box(900, 900, 950, 950), middle, last))
    assert [len(c.members) for c in ranked] == [3, 1]
    assert ranked[0].members[0].answer == middle
    weighty = [*votes(box(0, 0, 9, 9), box(5, 5, 9, 9)), Candidate(9, box(500, 500, 600, 600), 1, weight=2.5)]
    assert clusters(weighty)[0].members[0].agent == 9
    assert settled(votes(box(0, 0, 90, 90), box(5, 5, 90, 90), box(9, 0, 95, 90)), 5)


def test_only_places_in_a_picture_are_compared_by_distance():
    assert len(clusters(votes('{"price": [10, 20]}', '{"price": [11, 20]}'))) == 2
    assert len(clusters(votes(box(1, 2, 3, 4), json.dumps({"point_2d": [1, 2]})))) == 2
    assert len(clusters(votes('{"point_2d": [1, 2]}', '{"point_2d": [1, 2, 3]}', '{"point_2d": [1.2.3, 4]}'))) == 3


def test_the_posterior_is_that_of_a_beta_distribution():
    assert posterior(0, 0) == 0.5 and posterior(1, 1) == 0.5
    assert posterior(4, 0) == 31 / 32 and posterior(0, 4) == 1 / 32
    assert posterior(2, 1) == pytest.approx(0.6875)  # the mass of Beta(3, 2) above 1/2


def test_votes_are_settled_when_more_cannot_matter():
    assert not settled([], 8) and settled([], 0)
    assert not settled(votes("a", "a"), 6) and settled(votes("a", "a", "a"), 5)
    assert not settled(votes("a", "b", "a", "a"), 4)
    assert settled(votes("a", "b", "a", "a", "a", "a", "a"), 1)
    assert settled(votes("a", "b", "a", "a"), 1)  # 3 to 1, one to come
    assert not settled(votes("x" * 300, "x" * 300, "x" * 300), 1)  # prose is waited for
