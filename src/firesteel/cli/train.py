"""`firesteel train`: a recipe, some changes, a directory."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from firesteel.recipes import RECIPES
from firesteel.train.config import override


def train(recipe: str, changes: Sequence[str], out: Path | None) -> None:
    """Trains, or goes on with a run that was stopped. Raises ValueError for what does not exist or is not installed."""
    if recipe not in RECIPES:
        raise ValueError(f"There is no recipe {recipe!r}. There are: {', '.join(RECIPES)}.")
    run = override(RECIPES[recipe], list(changes))
    require_extra("Training")
    from firesteel.train import loop

    directory = out or Path("runs") / run.name
    print(f"{run.name}: {directory}; stop it with Ctrl-C, go on with the same command.")
    model = loop.train(run, directory)
    print(f"{model}")


def require_extra(what: str) -> None:
    """Raises ValueError where the packages that `what` needs are not installed; looks without importing them."""
    missing = [name for name in ("torch", "safetensors", "gguf") if find_spec(name) is None]
    if missing:
        raise ValueError(f"{what} needs {' and '.join(missing)}: pip install 'firesteel[train]'")
