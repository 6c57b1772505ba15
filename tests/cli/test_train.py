"""`firesteel train` and `firesteel export` as their user meets them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest

import firesteel.train
from firesteel.cli import making
from firesteel.recipes import RECIPES, RL_RECIPES
from firesteel.recipes.data import CORPORA
from tests.cli.program import picture, refused


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Path]]:
    """The runs that would have been trained."""
    runs: list[tuple[Any, Path]] = []

    def train(config: Any, directory: Path) -> Path:
        runs.append((config, directory))
        return directory / "model"

    monkeypatch.setattr(firesteel.train, "loop", SimpleNamespace(train=train), raising=False)
    return runs


def test_train(trained: list[tuple[Any, Path]], run: Any) -> None:
    assert run("train", "smoke", "--set", "seed=5", "--set", "stages.sft.steps=2")[0] == 0
    assert run("train", "smoke", "--out", "elsewhere")[0] == 0
    (first, directory), (_, other) = trained
    assert (first.seed, first.stages[1].steps) == (5, 2)
    assert (directory, other) == (Path("runs/smoke"), Path("elsewhere"))


def test_train_what_does_not_exist(trained: list[tuple[Any, Path]], run: Any) -> None:
    assert "kindling, smoke" in refused(run("train", "nonsense"))
    assert "sead" in refused(run("train", "smoke", "--set", "sead=5"))
    assert "seed" in refused(run("train", "smoke", "--set", "seed=much"))
    assert "seed" in refused(run("train", "smoke", "--set", "seed"))
    assert not trained


def test_average_with_weights_that_are_none(run: Any, tmp_path: Path) -> None:
    average = ("average", str(tmp_path / "mean"), str(tmp_path), str(tmp_path), "--weights")
    assert "--weights are numbers" in refused(run(*average, "half,half"))
    assert "as many weights" in refused(run(*average, "1,2,3"))


def test_without_the_extra(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for command in (["train", "smoke", "--out", tmp_path / "a"], ["export", tmp_path / "b"]):
        assert "pip install 'firesteel[train]'" in refused(run(*command))
    assert not list(tmp_path.iterdir())


def test_a_home_that_is_not_there(run: Any, tmp_path: Path) -> None:
    assert "~nosuchuser" in refused(run("export", tmp_path / "a", "--model", "~nosuchuser/m.gguf"))
    assert "~nosuchuser" in refused(run("bench", "peer", "--peer", "~nosuchuser/m.gguf"))


@pytest.mark.parametrize(
    ("command", "recipes"), [(making.train, RECIPES), (making.rl, RL_RECIPES), (making.build, CORPORA)]
)
def test_help_names_the_recipes(command: Any, recipes: dict[str, Any]) -> None:
    (argument,) = get_type_hints(command, include_extras=True)["recipe"].__metadata__
    assert set(argument.help.rstrip(".").split(", ")) == set(recipes)


def test_export_refuses_to_overwrite(run: Any, tmp_path: Path) -> None:
    file = picture(tmp_path / "a.png")
    assert str(tmp_path) in refused(run("export", tmp_path))
    assert file.name in refused(run("export", file))
    assert list(tmp_path.iterdir()) == [file]
