import pytest
from datatrove.data import Document

from firesteel.train.curation.filters import Clean, English, Words, make

ENGLISH = "The man and his dog walked to the river, and there they sat down to watch the water with great pleasure."
FRENCH = "Il était une fois un petit garçon qui vivait avec sa mère dans une maison au bord de la forêt, loin de tout."
PROSE = "\n".join(
    f"{who} {did} the old house by the river, and the people who lived there {then} to the town with a cart of apples."
    for who, did, then in [
        ("A traveller", "saw", "walked on every morning"),
        ("Her brother", "had painted", "sang all of the way"),
        ("The miller", "was fond of", "used to carry flour"),
        ("Nobody", "remembered", "drove slowly"),
    ]
)


def verdict(rule, text):
    return rule.filter(Document(text=text, id=""))


def test_only_english_passes_and_the_reason_names_the_language():
    assert verdict(English(), ENGLISH) is True
    assert verdict(English(), FRENCH) == (False, "language fr")


def test_cleaning_drops_what_is_nothing_but_leftovers():
    document = Document(text="A\u0301 fire (, ) burns\x00\r\n\n\n\nformula_3 hot. ", id="")
    assert Clean().filter(document) is True and document.text == "Á fire  burns\n\n hot."
    assert verdict(Clean(), " formula_12 [ ]\n") == (False, "empty")


@pytest.mark.parametrize(
    ("name", "bad", "reason"),
    [
        ("gopher", "Too short to say much.", "gopher_short_doc"),
        ("gopher", "7 8 9 " * 80, "gopher_below_avg_threshold"),
        ("repetition", "\n".join([PROSE.splitlines()[0]] * 9), "dup_line_frac"),
        ("fineweb", "\n".join(f"Item number {n}" for n in range(60)), "line_punct_ratio"),
        ("c4", PROSE + "\nvoid main() { return 0 } is code", "curly_bracket"),
    ],
)
def test_each_filter_drops_its_kind_and_keeps_prose(name, bad, reason):
    rule = make(name, dropped=None)
    assert verdict(rule, bad) == (False, reason)
    if name != "repetition":  # the pattern above repeats by design
        assert verdict(rule, PROSE + "\nAnd so it went on for many years, they say.") is True


def test_all_word_cutters_are_one_to_the_cache():
    assert Words() == Words() and hash(Words()) == hash(Words())
    assert Words().sent_tokenize('One. "Two!" Three?\nFour') == ["One.", '"Two!"', "Three?", "Four"]
