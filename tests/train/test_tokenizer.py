import json

import pytest

from firesteel.format import Tokenizer
from firesteel.train.tokenizer import generation_config, special_tokens, train_tokenizer

TEXTS = ["The year 2024 and the year 1999 were years of 365 days; don't count 2024 twice."] * 30


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    assert train_tokenizer(iter(TEXTS), 600, out=out) == out / "tokenizer.json"
    return out


def test_the_vocabulary_is_filled(directory):
    tokenizer = Tokenizer(directory / "tokenizer.json")
    assert tokenizer.vocab_size == 600
    assert tokenizer.id("<|begin_of_text|>") == 472 and tokenizer.id("<|reserved_special_token_127|>") == 599
    assert tokenizer.id("<|unused_471|>") == 471  # so little text cannot fill it
    assert len(tokenizer.encode("The year")) == 2  # and something was learned


def test_every_digit_is_a_token(directory):
    tokenizer = Tokenizer(directory / "tokenizer.json")
    assert [tokenizer.decode([token]) for token in tokenizer.encode("2024 365")] == list("2024 365")
    learned = [tokenizer.token_bytes(token) for token in range(472) if b"<|" not in tokenizer.token_bytes(token)]
    assert not [token for token in learned if len(token) > 1 and any(byte in b"0123456789" for byte in token)]


def test_special_tokens():
    tokens = special_tokens()
    assert len(set(tokens)) == 128
    assert tokens[7:9] == ["<|eom|>", "<|eot|>"] and tokens[2] == "<|reserved_special_token_2|>"


def test_a_turn_does_not_end_with_its_first_thought():
    assert generation_config(8064)["eos_token_id"] == [8065, 8072]


def test_transformers_opens_the_directory(directory):
    from transformers import AutoTokenizer, GenerationConfig

    theirs = AutoTokenizer.from_pretrained(directory)
    ours = Tokenizer(directory / "tokenizer.json")
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == (
        "<|begin_of_text|>",
        "<|eot|>",
        "<|finetune_right_pad|>",
    )
    assert len(theirs) == 600
    assert theirs.model_max_length > 1e9  # how far a model reads is for its config.json to say
    text = "The <|start|>user<|message|> year 2024<|eot|>"
    assert theirs.encode(text, add_special_tokens=False) == theirs.encode(text) == ours.encode(text, special=True)
    assert theirs.chat_template == (directory / "chat_template.jinja").read_text(encoding="utf-8")
    assert GenerationConfig.from_pretrained(directory).eos_token_id == [473, 480]


def test_the_processor_configuration_holds_the_published_numbers(directory):
    image = json.loads((directory / "processor_config.json").read_text())["image_processor"]
    assert (image["patch_size"], image["merge_size"], image["temporal_patch_size"]) == (14, 2, 2)
    assert image["max_image_tokens"] == 4096


def test_a_vocabulary_without_room_for_bytes(tmp_path):
    with pytest.raises(ValueError, match="384"):
        train_tokenizer([], 383, out=tmp_path)
