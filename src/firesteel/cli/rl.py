"""`firesteel rl`: a recipe, a checkpoint to start from, a directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from firesteel.cli.export import export
from firesteel.cli.train import require_extra
from firesteel.recipes import RL_RECIPES
from firesteel.train.config import override


def rl(recipe: str, start: str, changes: Sequence[str], out: Path | None) -> None:
    """Trains, or goes on with a run that was stopped. Raises ValueError for what does not exist or is not installed."""
    if recipe not in RL_RECIPES:
        raise ValueError(f"There is no recipe {recipe!r}. There are: {', '.join(RL_RECIPES)}.")
    run = override(RL_RECIPES[recipe](), list(changes))
    require_extra("Training")
    from firesteel.train.rl.loop import reinforce

    directory = out or Path("runs") / run.name
    print(f"{run.name}: {directory}; stop it with Ctrl-C, go on with the same command.")
    policy = Path(start)
    if not (policy / "config.json").is_file():
        policy = directory / "start"
        if not policy.exists():
            export(policy, start)
    print(f"{reinforce(run, policy, directory)}")
