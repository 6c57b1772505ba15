"""`firesteel data build`."""

import importlib.util

import pytest
from rich.console import Console

from firesteel.cli import data


def test_an_unknown_corpus_is_named(tmp_path):
    with pytest.raises(ValueError, match="There are: kindling, smoke"):
        data.build("embers", [], tmp_path)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(data, "find_spec", lambda name: None if name == "datatrove" else find(name))
    with pytest.raises(ValueError, match=r"needs datatrove: pip install 'firesteel\[data\]'"):
        data.build("kindling", [], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_source_that_is_not_there_stops_the_build(tmp_path):
    with pytest.raises(ValueError, match="'simplewiki' finds no file"):
        data.build("kindling", [f"root={tmp_path}"], tmp_path / "out")


def test_the_table_tells_what_was_dropped(capsys):
    manifest = {"name": "tiny", "documents": 30, "tokens": 4000, "sources": []}
    source = {"name": "notes", "weight": 2.0, "in": {"documents": 20, "characters": 9000}}
    source["dropped"] = {"gopher": {"gopher_short_doc": 3, "gopher_long_doc": 1}, "evaluation": {"asked by x": 1}}
    source["out"] = {"documents": 15, "tokens": 2000, "mixture": {"documents": 30, "tokens": 4000, "share": 1.0}}
    manifest["sources"].append(source)
    Console(width=120).print(data.table(manifest))
    line = next(line for line in capsys.readouterr().out.splitlines() if "notes" in line)
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["notes", "20", "15", "2,000", "2", "100.0%", "gopher 4, evaluation 1"]
