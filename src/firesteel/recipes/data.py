"""Corpora as functions that return a `firesteel.train.curation.recipe.Recipe`.

- `kindling`: openly licensed text and worked problems for models of some 10 to 50 million parameters, with the passes
  that so little text allows. Expects its files in `root`; `--set sources.NAME.path=…` names others (an official dump
  with `--set sources.NAME.kind=wikipedia`), `--set sources.NAME.weight=0` leaves one out.
- `smoke`: minutes on anything. Its prose is the one book that reasoning-gym carries.

Share-alike text (Wikipedia) is trained on and attributed, never redistributed: a built corpus stays where it was built.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from firesteel.recipes.reinforcement import HELD_OUT
from firesteel.tasks import FAMILIES
from firesteel.train.curation.recipe import Recipe, Source

OURS: dict[str, Any] = {"licence": "Apache-2.0", "attribution": "Firesteel's generators"}
GYM: dict[str, Any] = {"licence": "Apache-2.0", "attribution": "reasoning-gym (Open-Thought)"}
WIKIPEDIA: dict[str, Any] = {"licence": "CC BY-SA 3.0", "attribution": "Wikipedia contributors"}
GUTENBERG: dict[str, Any] = {"licence": "public domain in the US", "attribution": "Project Gutenberg"}


def kindling() -> Recipe:
    """Simple and core Wikipedia, old books, human-written instructions, word problems, generated problems."""
    taught = tuple(name for name, family in FAMILIES.items() if not family.visual and name not in HELD_OUT)
    return Recipe(
        name="kindling",
        root="data",
        sources=(
            Source(name="simplewiki", kind="text", path="simplewiki2018.txt.xz", weight=2.0, **WIKIPEDIA),
            Source(name="enwiki", kind="text", path="enwiki_core_*.txt.bz2", weight=2.0, **WIKIPEDIA),
            Source(name="gutenberg", kind="gutenberg", path="gutenberg_190M.txt.xz", **GUTENBERG),
            Source(
                name="dolly",
                kind="jsonl",
                path="dolly15k.json.xz",
                template="{instruction}\n{context}\n{response}",
                licence="CC BY-SA 3.0",
                attribution="Databricks",
                weight=2.0,
                filters=("language",),  # short answers and lists are what it is for
            ),
            Source(
                name="gsm8k",
                kind="jsonl",
                path="gsm8k_train.jsonl.xz",
                template="{question}\n{answer}",
                licence="MIT",
                attribution="OpenAI",
                weight=3.0,
                filters=(),
            ),
            Source(name="tasks", kind="tasks", families=taught, levels=(1, 2), samples=20_000, **OURS),
        ),
    )


def smoke() -> Recipe:
    """A handful of everything that needs no file of yours. Raises ValueError where reasoning-gym is missing."""
    gym = find_spec("reasoning_gym")
    if gym is None or gym.origin is None:
        raise ValueError("The smoke corpus reads a book that reasoning-gym carries: pip install 'firesteel[data]'.")
    return Recipe(
        name="smoke",
        root=str(Path(gym.origin).parent / "data"),
        sources=(
            Source(name="book", kind="gutenberg", path="in_the_year_2889.txt", **GUTENBERG),
            Source(name="tasks", kind="tasks", families=("chain_sum", "logic"), samples=60, **OURS),
            Source(name="gym", kind="tasks", families=("gym:syllogism",), samples=40, **GYM),
        ),
        vocab_size=1024,
        evaluation_problems=20,
        evaluation_seeds=1,
    )


CORPORA = {"kindling": kindling, "smoke": smoke}
