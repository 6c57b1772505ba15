"""When a server is asked again, and after how long."""

import pytest

from firesteel.backends.retry import PATIENCE, may_help, pause


@pytest.mark.parametrize(
    ("again", "statuses"), [(True, [408, 409, 429, 500, 503, 529]), (False, [400, 401, 404, 422, 501])]
)
def test_only_what_may_pass_is_asked_again(again, statuses):
    assert [may_help(status) for status in statuses] == [again] * len(statuses)


def test_pauses_double_up_to_eight_seconds():
    for attempt, longest in enumerate([0.5, 1, 2, 4, 8, 8, 8]):
        assert longest / 2 <= pause(attempt) <= longest


@pytest.mark.parametrize("after", ["7", " 7 ", "7.0"])
def test_a_server_may_name_the_pause(after):
    assert pause(3, after) == 7


def test_a_server_may_name_a_date():
    assert pause(3, "Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert pause(0, "Sat, 01 Jan 2999 00:00:00 GMT") > PATIENCE


@pytest.mark.parametrize("after", [None, "", "soon", "-5", "inf", "nan", "1e9", "Fri, 31 Dec 9999 23:59:59 -1200"])
def test_what_names_no_pause_is_passed_over(after):
    assert 0.25 <= pause(0, after) <= 0.5
