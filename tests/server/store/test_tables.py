import pytest
from sqlalchemy.dialects import sqlite

from firesteel.server.store.tables import Json, Words

DIALECT = sqlite.dialect()


@pytest.mark.parametrize(
    "words, kept",
    [
        ("plain", "plain"),
        ("é 🔥", "é 🔥"),
        ("a\0b", "a\ufffdb"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("", ""),
        (None, None),
    ],
)
def test_words_are_kept_or_replaced_where_no_database_holds_them(words, kept):
    bound = Words().process_bind_param(words, DIALECT)
    assert bound == kept


@pytest.mark.parametrize("value", [{"a": ["\0", "\ud800", 2**70, 0.1, None]}, [], "text", None])
def test_json_comes_back_as_it_was(value):
    text = Json().process_bind_param(value, DIALECT)
    assert text is None or (text.isascii() and "\0" not in text)
    assert Json().process_result_value(text, DIALECT) == value
