"""`firesteel data build`."""

import importlib.util
import json

import pytest
from rich.console import Console

from firesteel.backends import resolve
from firesteel.cli import data
from tests.agent.scripted import Scripted as Several
from tests.agent.scripted import says
from tests.cli.program import refused


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


def test_answers_keeps_what_a_model_disputes_with_itself(run, monkeypatch, tmp_path):
    asked = Several(*[says("1"), says("2")] * 12)
    monkeypatch.setattr(resolve, "open_backend", lambda address: asked)
    out = tmp_path / "pool.jsonl"
    told = json.loads(run("data", "answers", out, "--families", "count, letters", "--n", 2, "--level", 1)[1])
    assert told["problems"] == 4 and told["families"] == {"count": 2, "letters": 2}
    assert len(out.read_text().splitlines()) == 4
    assert "exists; name another file" in refused(run("data", "answers", out))
    assert "cuont" in refused(run("data", "answers", tmp_path / "other.jsonl", "--families", "cuont"))
    assert not (tmp_path / "other.jsonl").exists()
