import pytest
from hypothesis import given
from hypothesis import strategies as st

from firesteel.format import SPECIAL_OFFSETS, Tokenizer
from firesteel.train.tokenizer import write_companions

TEXT = "Hello 1234 wörld <|eot|> x² \U0001f600\r\n  foo <|unused_900|> <|reserved_special_token_2|>"


@given(st.text() | st.just(TEXT))
def test_every_text_comes_back(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(tokenizer.token_bytes(token) for token in ids) == text.encode()
    assert all(token < tokenizer.vocab_size - 128 for token in ids)


def test_control_strings_need_permission(tokenizer):
    eot = tokenizer.id("<|eot|>")
    assert eot not in tokenizer.encode(TEXT)
    assert tokenizer.encode("a<|eot|>", special=True) == [*tokenizer.encode("a"), eot]
    assert tokenizer.decode([eot]) == "<|eot|>" and tokenizer.token_bytes(eot) == b"<|eot|>"


def test_ids_are_the_published_offsets(tokenizer):
    first = tokenizer.vocab_size - 128
    assert {token: tokenizer.id(token) - first for token in SPECIAL_OFFSETS} == SPECIAL_OFFSETS
    assert tokenizer.eos_ids == [first + 1, first + 8]


def test_half_a_character_decodes_to_a_replacement(tokenizer):
    ids = tokenizer.encode("\U0001f600")
    assert len(ids) > 1 and tokenizer.decode(ids[:1]) == "\ufffd"


def test_what_a_picture_may_take_stands_beside_the_file(tokenizer, tmp_path):
    copy = tmp_path / "tokenizer.json"
    copy.write_bytes(tokenizer.path.read_bytes())
    assert Tokenizer(copy).max_image_tokens == 4096  # the published number
    write_companions(tmp_path, first_special=tokenizer.vocab_size - 128, max_image_tokens=36)
    assert Tokenizer(copy).max_image_tokens == 36
    assert Tokenizer(copy, 25).max_image_tokens == 25


def test_errors(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="no token"):
        tokenizer.id("<|nothing|>")
    with pytest.raises(ValueError, match="outside"):
        tokenizer.token_bytes(tokenizer.vocab_size)
    with pytest.raises(ValueError, match="no tokenizer file"):
        Tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="not a tokenizer file"):
        Tokenizer(tmp_path / "tokenizer.json")
