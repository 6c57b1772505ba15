"""Verifiable problems, generated without end: `make("chain_sum", seed=7)`.

`FAMILIES` is the whole registry, in a fixed order: visual families first. A new family is a class and its line here.
The tasks of reasoning-gym are found by name (`gym:TASK`) and stand in no list, so nothing needs that library unasked.
"""

from __future__ import annotations

import random

from firesteel.tasks import gym
from firesteel.tasks.arithmetic import ChainSum, Equation, Product
from firesteel.tasks.base import Family, Problem
from firesteel.tasks.charts import BarChart, LineChart, PieChart
from firesteel.tasks.clocks import Clock
from firesteel.tasks.geometry import Geometry
from firesteel.tasks.interface import BoundingBox, Point
from firesteel.tasks.logic import Logic
from firesteel.tasks.reading import Reading
from firesteel.tasks.scenes import Count, Relation
from firesteel.tasks.symbols import Bases, Compare, Sequence, Sorting
from firesteel.tasks.tables import Table
from firesteel.tasks.words import Letters, Strings, WordProblem

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        BarChart(),
        LineChart(),
        PieChart(),
        Table(),
        Clock(),
        Geometry(),
        Count(),
        Relation(),
        Reading(),
        Point(),
        BoundingBox(),
        ChainSum(),
        Product(),
        Equation(),
        WordProblem(),
        Compare(),
        Sorting(),
        Sequence(),
        Bases(),
        Strings(),
        Letters(),
        Logic(),
    )
}


def make(family: str, seed: int, level: int = 1) -> Problem:
    """The problem number `seed` of a family and level: always the same one, and unrelated to any other triple's.

    Raises ValueError for a family or level that does not exist.
    """
    known = get(family)
    if not 1 <= level <= known.levels:
        raise ValueError(f"Family {family} has levels 1 to {known.levels}, not {level}.")
    return known.generate(random.Random(f"{family}/{level}/{seed}"), level)


def get(family: str) -> Family:
    """The family called `family`; raises ValueError with the names that exist."""
    if family.startswith(gym.PREFIX):
        return gym.family(family)
    if family not in FAMILIES:
        raise ValueError(f"There is no task family {family!r}. There are: {', '.join(FAMILIES)}.")
    return FAMILIES[family]
