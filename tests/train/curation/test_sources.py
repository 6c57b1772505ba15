import json
from itertools import chain

import pytest
from datatrove.pipeline.readers import HuggingFaceDatasetReader

from firesteel.train.curation.recipe import Source
from firesteel.train.curation.sources import Admit, files, reader

LICENSED = {"licence": "CC0", "attribution": "nobody"}


def read(source, root, world=1):
    """The texts of each part."""
    block = reader(source, root)
    return [[document.text for document in block.run(None, rank, world)] for rank in range(world)]


def test_parts_share_a_file_or_take_one_each(tmp_path):
    (tmp_path / "one.txt").write_text("a\0b\0c")
    source = Source(name="s", kind="text", path="one.txt", **LICENSED)
    assert read(source, tmp_path, 2) == [["a", "c"], ["b"]]
    (tmp_path / "two.txt").write_text("d\0e")
    many = Source(name="s", kind="text", path="*.txt", **LICENSED)
    assert read(many, tmp_path, 2) == [["a", "b", "c"], ["d", "e"]]


def test_a_source_ends_where_its_megabytes_are_read(tmp_path):
    (tmp_path / "big.txt").write_text("\0".join(["x" * (1 << 18)] * 10))
    source = Source(name="s", kind="text", path="big.txt", megabytes=1, **LICENSED)
    admit = Admit(source)
    admitted = list(admit.run(reader(source, tmp_path).run()))
    assert len(admitted) == 4 and admit.stats["documents"].total == 4
    assert admitted[0].metadata["source"] == "s"
    (tmp_path / "big.txt").write_text("x" * (3 << 20))
    assert [len(document.text) for document in Admit(source).run(reader(source, tmp_path).run())] == [1 << 20]


def test_json_lines_and_arrays_fill_the_template(tmp_path):
    rows = [{"q": "1 + 1?", "a": 2}, {"q": "2 + 2?", "a": 4}]
    (tmp_path / "array.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("array.json", "lines.jsonl"):
        source = Source(name="s", kind="jsonl", path=name, template="{q} {a}", **LICENSED)
        assert read(source, tmp_path) == [["1 + 1? 2", "2 + 2? 4"]]
    odd = Source(name="s", kind="jsonl", path="lines.jsonl", **LICENSED)
    with pytest.raises(ValueError, match="a row has: q, a"):
        read(odd, tmp_path)


def test_generated_problems_do_not_depend_on_the_number_of_parts(tmp_path):
    source = Source(name="s", kind="tasks", families=("logic", "product"), samples=7, **LICENSED)
    whole, parts = read(source, tmp_path), read(source, tmp_path, 3)
    assert sorted(whole[0]) == sorted(chain(*parts)) and len(whole[0]) == 14
    assert "\nAnswer: " in whole[0][0]


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"sources\.s\.path"):
        files(Source(name="s", kind="text", path="gone", **LICENSED), tmp_path)


def test_a_dataset_by_name_needs_its_revision(tmp_path):
    source = {"name": "s", "kind": "dataset", "path": "owner/name", **LICENSED}
    with pytest.raises(ValueError, match="revision"):
        reader(Source(**source), tmp_path)
    block = reader(Source(**source, revision="0a1b"), tmp_path)
    assert isinstance(block, HuggingFaceDatasetReader)
    assert block.dataset_options == {"split": "train", "revision": "0a1b"}
