"""The house's one direction: imports go down the list of rooms, and torch stays where it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import firesteel

ROOT = Path(firesteel.__file__).parent
# Downward is leftward.
ROOMS = ["model", "format", "engine", "backends", "agent", "tasks", "evals", "train", "recipes", "server", "cli"]


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path, deep: bool) -> set[str]:
    """Modules that a file imports: at its top level only, or anywhere in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if deep else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    here = room_of(path)
    if here not in ROOMS:
        assert path == ROOT / "__init__.py"
        return
    for module in imports(path, deep=True):
        if module.startswith("firesteel."):
            there = module.split(".")[1]
            assert ROOMS.index(there) <= ROOMS.index(here), f"{path} imports {module}"


def test_using_needs_no_torch():
    rooms = "firesteel, firesteel.format, firesteel.tasks, firesteel.evals.run, firesteel.backends.gguf, firesteel.cli"
    code = f"import sys, {rooms}; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
