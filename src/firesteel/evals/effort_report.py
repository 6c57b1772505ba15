"""What the samples of `effort` say: points, the order of the strengths, comparisons with the first arm.

- Intervals are 95 % bootstraps over problems (and over the models of an arm, where it has several), paired wherever two
  things answered the same problems: samples of one problem are not independent, so none is taken for a problem.
- Tokens at equal accuracy are read at the highest accuracy that both curves reach, less `TOLERANCE`: at the very top a
  curve is flat and its cost is noise.
- Every summary is made for all problems and apart for families held out from training, for levels and for families.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from firesteel.evals.curves import cost_at
from firesteel.evals.effort import Condition, Key, Model, Pool, Record, Settings, powers
from firesteel.evals.estimators import Shot, auc_oaa, chance, f1, guess_rates, majority
from firesteel.evals.stats import Difference, crossed_bootstrap, pass_at_k
from firesteel.tasks import get, make

TOLERANCE = 0.01
MAIN = ("all", "trained", "held out")  # the groups that are shown, not only kept
_ROUNDS = 2000


@dataclass(frozen=True)
class Point:
    """One arm under one condition. Tokens are those of thought, control tokens included; shares lie within 0..1.

    `pass_at` holds pass@j by j; `accuracy` is pass@1 with its interval. `chance` is what pass@k would be by guessing,
    `guess` what pass@1 would, `distinct` how many different answers the k samples of a problem give: pass@k and
    majority mean little where chance is high. `wrong_tokens` are those of wrong samples. None: not defined here.
    """

    problems: int
    pass_at: dict[int, float]
    accuracy: Difference
    majority: float
    tokens: float
    median_tokens: float
    p95_tokens: float
    wrong_tokens: float | None
    answer_tokens: float
    truncated: float
    failed: float
    empty: float
    distinct: float
    guess: float | None
    chance: float | None
    auc_oaa: float
    f1: float | None


@dataclass(frozen=True)
class Step:
    """From one strength to the next: the share of problems whose mean thought became shorter, and the accuracy gained.

    `inverted`: the accuracy surely fell.
    """

    low: str
    high: str
    shorter: float
    gain: Difference
    inverted: bool


@dataclass(frozen=True)
class Change:
    """An arm against the first one under the same condition; `tokens` is relative (-0.4: 40 % fewer)."""

    arm: str
    condition: str
    tokens: Difference | None
    accuracy: Difference

    @property
    def claim(self) -> str:
        return f"{tokens_text(self.tokens)} thinking tokens at {points_text(self.accuracy)} accuracy"


@dataclass(frozen=True)
class Equal:
    """Thinking tokens of two curves at one accuracy, and the relative difference (None: no tokens to save).

    Where a curve's cheapest point is better already its tokens are an upper bound (`curves.cost_at`).
    """

    arm: str
    against: str
    accuracy: float
    tokens: float
    other_tokens: float
    saved: Difference | None


@dataclass(frozen=True)
class Group:
    """All results over some of the problems, by arm and condition."""

    problems: int
    points: dict[str, dict[str, Point]]
    steps: dict[str, list[Step]]
    changes: list[Change]
    equals: list[Equal]


class Findings:
    """The pools of a finished plan, ready to be summarised."""

    def __init__(
        self,
        models: Sequence[Model],
        asked: Sequence[Condition],
        keys: Sequence[Key],
        record: Record,
        settings: Settings,
        held_out: Sequence[str] = (),
    ) -> None:
        self.asked, self.keys, self.settings, self.held_out = list(asked), list(keys), settings, set(held_out)
        self.arms: dict[str, list[Model]] = {}
        for model in models:
            self.arms.setdefault(model.arm, []).append(model)
        self.first = next(iter(self.arms))
        self._pools: dict[tuple[str, str], dict[Key, list[Pool]]] = {}
        for arm, members in self.arms.items():
            for condition in self.of(arm):
                of_key = {key: [pool for m in members if (pool := record.find(m, condition, key))] for key in self.keys}
                assert all(len(pools) == len(members) for pools in of_key.values()), "the plan is not finished"
                self._pools[arm, condition.name] = of_key

    def of(self, arm: str) -> list[Condition]:
        """The conditions that an arm was asked under."""
        return [condition for condition in self.asked if arm == self.first or not condition.baseline]

    def groups(self) -> dict[str, Group]:
        """All problems, those of families trained on and of families held out, of each level and of each family."""
        keys, chosen = self.keys, {"all": self.keys}
        if self.held_out:
            chosen["trained"] = [key for key in keys if key.family not in self.held_out]
            chosen["held out"] = [key for key in keys if key.family in self.held_out]
        levels, families = sorted({key.level for key in keys}), list(dict.fromkeys(key.family for key in keys))
        if len(levels) > 1:
            chosen |= {f"level {level}": [key for key in keys if key.level == level] for level in levels}
        if len(families) > 1:
            chosen |= {family: [key for key in keys if key.family == family] for family in families}
        return {name: self._group(keys) for name, keys in chosen.items() if keys}

    def _group(self, keys: list[Key]) -> Group:
        points = {
            arm: {condition.name: self._point(arm, condition.name, keys) for condition in self.of(arm)}
            for arm in self.arms
        }
        others = [arm for arm in self.arms if arm != self.first]
        return Group(
            problems=len(keys),
            points=points,
            steps={arm: self._steps(arm, keys) for arm in self.arms},
            changes=[self._change(arm, c.name, keys) for arm in others for c in self._strengths],
            equals=self._equals(keys),
        )

    @property
    def _strengths(self) -> list[Condition]:
        return [condition for condition in self.asked if not condition.baseline]

    def _table(self, arm: str, condition: str, keys: Sequence[Key], value: Callable[[Shot], float]) -> np.ndarray:
        """(models of the arm, problems): the mean of a value of the samples."""
        pools = self._pools[arm, condition]
        return np.array([[fmean(map(value, pool.shots)) for pool in pools[key]] for key in keys]).T

    def _point(self, arm: str, condition: str, keys: Sequence[Key]) -> Point:
        pools = [pool for key in keys for pool in self._pools[arm, condition][key]]
        shots = [shot for pool in pools for shot in pool.shots]
        tokens = [shot.thinking for shot in shots]
        right = self._table(arm, condition, keys, _correct)
        k, most = self.settings.samples, self.settings.max_tokens
        counts = [sum(shot.correct for shot in pool.shots) for pool in pools]
        wrong = [shot.thinking for shot in shots if not shot.correct]
        rates = [rate for key in keys for rate in self._guesses[arm, condition].get(key, ())]
        simple = [shot for pool in pools if pool.key.level == 1 for shot in pool.shots]
        hard = [shot for pool in pools if pool.key.level > 1 for shot in pool.shots]
        return Point(
            problems=len(keys),
            pass_at={j: fmean(pass_at_k(k, count, j) for count in counts) for j in powers(k)},
            accuracy=crossed_bootstrap(right, np.zeros_like(right), _ROUNDS),
            majority=fmean(majority(pool.shots) for pool in pools),
            tokens=fmean(tokens),
            median_tokens=float(np.median(tokens)),
            p95_tokens=float(np.quantile(tokens, 0.95)),
            wrong_tokens=fmean(wrong) if wrong else None,
            answer_tokens=fmean(shot.answering for shot in shots),
            truncated=fmean(shot.truncated for shot in shots),
            failed=fmean(shot.failed for shot in shots),
            empty=fmean(shot.thinking == 0 for shot in shots),
            distinct=fmean(len({shot.got for shot in pool.shots if shot.ended}) for pool in pools),
            guess=chance(rates, 1),
            chance=chance(rates, k),
            auc_oaa=auc_oaa(shots, most),
            f1=f1(auc_oaa(simple, most), fmean(map(_correct, hard))) if simple and hard else None,
        )

    @cached_property
    def _guesses(self) -> dict[tuple[str, str], dict[Key, list[float]]]:
        """The guesser's rate at each problem, one for each model, by arm and condition."""
        kinds: dict[tuple[str, int], list[Key]] = {}
        for key in self.keys:
            kinds.setdefault((key.family, key.level), []).append(key)
        found: dict[tuple[str, str], dict[Key, list[float]]] = {name: {} for name in self._pools}
        for (family, _), keys in kinds.items():
            # Drawn again, because only a problem can check an answer that was given to another.
            checks = [_check(family, key) for key in keys]
            for name, pools in self._pools.items():
                for run in range(len(self.arms[name[0]])):
                    rates = guess_rates([pools[key][run].shots for key in keys], checks)
                    for key, rate in zip(keys, rates, strict=bool(rates)):
                        found[name].setdefault(key, []).append(rate)
        return found

    def _steps(self, arm: str, keys: Sequence[Key]) -> list[Step]:
        steps = []
        for low, high in zip(self._strengths, self._strengths[1:], strict=False):
            shorter = self._table(arm, high.name, keys, _tokens) < self._table(arm, low.name, keys, _tokens)
            gained = self._table(arm, high.name, keys, _correct) - self._table(arm, low.name, keys, _correct)
            gain = crossed_bootstrap(gained, np.zeros_like(gained), _ROUNDS)
            steps.append(Step(low.name, high.name, float(shorter.mean()), gain, gain.high < 0))
        return steps

    def _change(self, arm: str, condition: str, keys: Sequence[Key]) -> Change:
        ours, theirs = (self._table(a, condition, keys, _tokens) for a in (arm, self.first))
        right, before = (self._table(a, condition, keys, _correct) for a in (arm, self.first))
        tokens = crossed_bootstrap(ours, theirs, _ROUNDS, relative=True) if theirs.any() else None
        return Change(arm, condition, tokens, crossed_bootstrap(right, before, _ROUNDS))

    def _equals(self, keys: Sequence[Key]) -> list[Equal]:
        """Each other arm's curve over the strengths against the first arm's, and against its budgets."""
        budgets = [condition for condition in self.asked if condition.budget is not None]
        curves = [(f"{self.first}, strengths", self._strengths)]
        if budgets:
            curves.append((f"{self.first}, budgets", budgets))
        found = []
        for arm in self.arms:
            for name, curve in curves:
                if (arm, curve) != (self.first, self._strengths):
                    found.append(self._equal(arm, name, curve, keys))
        return found

    def _equal(self, arm: str, name: str, curve: Sequence[Condition], keys: Sequence[Key]) -> Equal:
        tables = [
            [(self._table(a, c.name, keys, _tokens), self._table(a, c.name, keys, _correct)) for c in conditions]
            for a, conditions in ((arm, self._strengths), (self.first, curve))
        ]
        rng = np.random.default_rng(0)

        def costs(weights: np.ndarray) -> tuple[float, float, float]:
            """(accuracy, tokens, the other's tokens) of resampled problems and models."""
            drawn = []
            for kind, table in zip((arm, self.first), tables, strict=True):
                runs = mixed[kind]
                drawn.append([(float(runs @ t @ weights), float(runs @ r @ weights)) for t, r in table])
            accuracy = max(0.0, min(max(right for _, right in points) for points in drawn) - TOLERANCE)
            ours, theirs = (cost_at(points, accuracy) for points in drawn)
            assert ours is not None and theirs is not None
            return accuracy, ours, theirs

        n = len(keys)
        mixed = {a: np.full(len(self.arms[a]), 1 / len(self.arms[a])) for a in {arm, self.first}}
        accuracy, tokens, other = costs(np.full(n, 1 / n))
        ratios = []
        for _ in range(_ROUNDS // 4):
            mixed = {a: _resampled(rng, len(self.arms[a])) for a in mixed}
            _, ours, theirs = costs(_resampled(rng, n))
            if theirs > 0:
                ratios.append(ours / theirs - 1)
        saved = None
        if other > 0 and ratios:
            low, high = np.quantile(ratios, [0.025, 0.975])
            saved = Difference(tokens / other - 1, float(low), float(high))
        return Equal(arm, name, accuracy, tokens, other, saved)


def to_json(findings: Findings, groups: dict[str, Group]) -> dict[str, Any]:
    """What `effort.json` holds."""
    first = findings.first
    return {
        "settings": asdict(findings.settings) | {"problems": len(findings.keys), "tolerance": TOLERANCE},
        "models": [asdict(model) for members in findings.arms.values() for model in members],
        "first": first,
        "held_out": sorted(findings.held_out),
        "groups": {name: asdict(group) for name, group in groups.items()},
        "claims": [f"{change.arm}, {change.condition}: {change.claim}" for change in groups["all"].changes],
    }


def tokens_text(change: Difference | None) -> str:
    """-41 % [-45, -37]"""
    return "–" if change is None else f"{change.mean:+.1%} [{change.low:+.1%}, {change.high:+.1%}]"


def points_text(change: Difference) -> str:
    """+0.3 pt [-1.2, +1.8]"""
    return f"{100 * change.mean:+.1f} pt [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"


def _correct(shot: Shot) -> float:
    return float(shot.correct)


def _tokens(shot: Shot) -> float:
    return float(shot.thinking)


def _check(family: str, key: Key) -> Callable[[str], bool]:
    problem = make(*key)
    return lambda text: get(family).check(problem, text)


def _resampled(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.multinomial(count, np.full(count, 1 / count)) / count
