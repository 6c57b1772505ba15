import pytest

from firesteel.server.store.texts import query_of, snippet, words_of


@pytest.mark.parametrize(
    "said, words",
    [
        ("The Éclair, the ÉCLAIR!", ["the", "eclair"]),
        ("e\u0301clair", ["eclair"]),
        ("Straße ﬁn ½", ["strasse", "fin", "1", "2"]),
        ("snake_case foo.bar a-b 3.14", ["snake", "case", "foo", "bar", "a", "b", "3", "14"]),
        ("日本 go", ["日", "本", "go"]),
        ("हिन्दी ไทย", ["हनद", "ไ", "ท", "ย"]),
        ("Привет ﷺ"[:6], ["привет"]),
        ("\0\x02 \ud800 ' \" * : ( ) - ^ & | ! \\ %", []),
        ("", []),
    ],
)
def test_words_are_letters_and_digits_without_case_and_accents(said, words):
    assert words_of(said) == words


def test_a_word_has_an_end_and_so_has_a_query():
    assert words_of("x" * 10_000) == ["x" * 64]
    assert len(query_of(" ".join(map(str, range(1000))))) == 16


def test_no_word_holds_syntax_of_any_database():
    odd = "".join(map(chr, range(1, 0x3200)))
    assert all(word.isalnum() for word in words_of(odd))


@pytest.mark.parametrize(
    "said, words, shown",
    [
        ("An Éclair is sweet.", ["ecl"], "An \2Éclair\3 is sweet."),
        ("one\n\n two\tthree", ["two", "one"], "\2one\3 \2two\3 three"),
        ("日本語", ["本"], "日\2本\3語"),
        ("nothing of it", ["absent"], "nothing of it"),
        ("", ["x"], ""),
    ],
)
def test_a_snippet_marks_the_hits(said, words, shown):
    assert snippet(said, words) == shown


def test_a_snippet_is_short_and_says_where_it_was_cut():
    said = "before " * 1000 + "needle " + "after " * 1000
    shown = snippet(said, ["needle"])
    assert shown.startswith("…before ") and shown.endswith("…") and "\2needle\3 after" in shown and len(shown) < 220
    assert snippet("word " * 1000, ["absent"]).endswith("…")
