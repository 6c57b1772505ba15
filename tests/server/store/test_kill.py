from tests.server.store.kill import WRITERS, kill


def test_what_was_acknowledged_survives_kill_9(url):
    outcome = kill(url, times=5)
    assert outcome.acknowledged > WRITERS
    assert (outcome.lost, outcome.corrupt) == ([], [])
