"""Stop strings in text that comes in pieces."""

import pytest

from firesteel.backends.stops import Stops


def fed(words, pieces):
    stops = Stops(words)
    text = "".join(stops.feed(piece) for piece in pieces if not stops.found)
    return text + stops.rest(), stops.found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one STOP two", ("one ", True)),
        ("one STO two ST", ("one STO two ST", False)),
        ("SSTOP", ("S", True)),
        ("one END STOP", ("one ", True)),
        ("", ("", False)),
    ],
)
def test_every_split_reads_like_the_whole(text, expected):
    for size in range(1, len(text) + 1):
        assert fed(["STOP", "", "END"], [text[i : i + size] for i in range(0, len(text), size)]) == expected


def test_the_first_that_was_found_is_told():
    stops = Stops(["STOP", "END"])
    stops.feed("one END STOP")
    assert stops.word == "END" and Stops(["STOP"]).word == ""


def test_only_what_may_be_a_beginning_is_held_back():
    assert Stops(["STOP"]).feed("fast") == "fast"
    assert Stops(["STOP"]).feed("faST") == "fa"


def test_no_more_of_a_word_is_compared_than_there_is_text():
    class Counted(str):
        taken = 0

        def __getitem__(self, place):
            Counted.taken += 1
            return super().__getitem__(place)

    assert Stops([Counted("x" * 1000)]).feed("ab") == "ab" and Counted.taken <= 2
