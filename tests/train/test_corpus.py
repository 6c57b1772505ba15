import json
import lzma

import numpy as np
import pytest

from firesteel.format import Tokenizer
from firesteel.train.corpus import documents, encode_corpus, tidy
from firesteel.train.tokenizer import train_tokenizer

LONG = "The quick brown fox jumps over the lazy dog. " * 8


def test_documents_split_at_nul_bytes_and_drop_stubs(tmp_path):
    path = tmp_path / "text.txt.xz"
    path.write_bytes(lzma.compress(f"{LONG} one\0stub\0{LONG} formula_12 (, ) two\n".encode()))
    first, second = documents(path)
    assert first.endswith("one") and second.endswith("two")
    assert "formula_12" not in second and "(, )" not in second


def test_documents_of_json_lines(tmp_path):
    path = tmp_path / "text.jsonl"
    path.write_text(json.dumps({"text": LONG}) + "\n")
    assert list(documents(path)) == [LONG.strip()]


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(ValueError, match="missing"):
        list(documents(tmp_path / "missing.txt"))


def test_encoded_corpus_decodes_to_the_documents(tmp_path):
    source = tmp_path / "text.txt"
    source.write_text(f"{LONG}first\0{LONG}<|eot|> second")
    tokenizer = Tokenizer(train_tokenizer([LONG], 512, out=tmp_path))
    encode_corpus([source], tokenizer, tmp_path / "text.npy", megabytes=1)
    ids = np.load(tmp_path / "text.npy")
    begin = tokenizer.id("<|begin_of_text|>")
    assert ids.dtype == np.uint16 and ids[0] == begin and (ids == begin).sum() == 2
    assert tokenizer.id("<|eot|>") not in ids  # control strings in a corpus are plain text
    texts = {tokenizer.decode(part[1:].tolist()) for part in np.split(ids, np.nonzero(ids == begin)[0]) if len(part)}
    assert texts == {f"{LONG}first", f"{LONG}<|eot|> second"}


def test_tidy_text_stays_as_it_is():
    messy = "Cafe\u0301 (, )\x07 and\r\n\n\n \nformula_3 tea"
    assert tidy(messy) == "Café  and\n\n tea"
    assert tidy(tidy(messy)) == tidy(messy)


def test_one_long_document_is_cut_and_not_lost(tmp_path):
    long, short = tmp_path / "long.txt", tmp_path / "short.txt"
    long.write_text("x" * (3 << 20))
    assert [len(text) for text in documents(long, 1)] == [1 << 20]
    short.write_text("\0".join(["x" * (3 << 18)] * 3))
    assert [len(text) for text in documents(short, 1)] == [3 << 18]


def test_sources_without_text_are_refused(tmp_path):
    (tmp_path / "stub.txt").write_text("stub")
    tokenizer = Tokenizer(train_tokenizer([LONG], 512, out=tmp_path))
    with pytest.raises(ValueError, match="no document of at least 200"):
        encode_corpus([tmp_path / "stub.txt"], tokenizer, tmp_path / "text.npy", megabytes=1)
    assert not (tmp_path / "text.npy").exists()


def test_blank_lines_are_passed_over_and_lines_without_text_are_named(tmp_path):
    path = tmp_path / "text.jsonl"
    path.write_text(f"\n{json.dumps({'text': LONG})}\n\n")
    assert list(documents(path)) == [LONG.strip()]
    for line in ('{"txt": "x"}', "{", "[1]"):
        path.write_text(f"{json.dumps({'text': LONG})}\n{line}\n")
        with pytest.raises(ValueError, match="line 2: not an object with a text"):
            list(documents(path))
