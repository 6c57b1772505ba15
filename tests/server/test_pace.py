"""Token buckets."""

import pytest

from firesteel.server.pace import Bucket, duration


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_bucket_lets_a_minute_burst_then_keeps_the_rate():
    clock = Clock()
    bucket = Bucket(60, clock)
    for _ in range(60):
        assert bucket.until(1) == 0
        bucket.draw(1)
    assert bucket.until(1) == pytest.approx(1)
    clock.now += 0.5
    assert bucket.until(1) == pytest.approx(0.5)
    clock.now += 0.6
    assert bucket.until(1) == 0


def test_a_debt_is_paid_before_anything_else():
    clock = Clock()
    bucket = Bucket(600, clock)
    bucket.draw(1600)
    assert bucket.until(1) == pytest.approx(100.1)


def test_a_bucket_never_holds_more_than_a_minute():
    clock = Clock()
    bucket = Bucket(60, clock)
    clock.now += 1e6
    assert bucket.level == 60


def test_headers_tell_limit_rest_and_when_it_is_whole():
    clock = Clock()
    bucket = Bucket(60, clock)
    bucket.draw(3.5)
    assert bucket.headers("requests") == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "56",
        "x-ratelimit-reset-requests": "3.5s",
    }
    bucket.draw(100)
    assert bucket.headers("tokens")["x-ratelimit-remaining-tokens"] == "0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0199, "20ms"),
        (1, "1s"),
        (8.64, "8.64s"),
        (20, "20s"),
        (59.9999, "1m0s"),
        (360, "6m0s"),
        (90.2, "1m30s"),
    ],
)
def test_durations_read_as_openai_writes_them(seconds, text):
    assert duration(seconds) == text
