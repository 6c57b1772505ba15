"""Does the Muon stack need fewer tokens than a tuned AdamW? Two arms of one recipe, a ladder of horizons.

- Equal tuning: each arm tries the same number of learning rates x weight decays on a tuning seed of its own, and is
  frozen at its best. An untuned baseline alone can fake a factor of two (Wen et al. 2025, arXiv 2509.02046).
- Every horizon is a run of its own with its own decay to zero: losses on the way, before the decay, rank optimisers
  wrongly (same source). Initial weights and order of data are equal for both arms of a seed.
- Loss is that of samples that training never draws (running text is that which it reads first, for both arms). The
  target of a seed is the worse of the arms' best losses over the rungs, so both reach it; tokens to it are interpolated
  in log tokens.
- The ratio is a geometric mean over seeds with a bootstrap interval over them; three seeds know little of their spread.
- Tokens are what is claimed; seconds are given beside them, because orthogonalisation costs time and no tokens.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from firesteel.evals.curves import cost_at
from firesteel.evals.stats import Difference, paired_bootstrap
from firesteel.train.config import Run, Stage
from firesteel.train.loop import Trainer, prepare

ARMS = {"muon": True, "adamw": False}
RUNGS = (0.4, 0.6, 0.8, 1.0)  # horizons, as shares of the longest
TUNED_AT = 0.6
TUNING_SEED = 1000


@dataclass(frozen=True)
class Setting:
    """What is tuned."""

    lr: float
    weight_decay: float


@dataclass(frozen=True)
class Plan:
    """`run` gives everything but seed, steps and what is tuned; its stage `stage` is what is measured.

    Raises ValueError for a stage that is not there or learns no text, and where there is nothing to compare.
    """

    run: Run
    steps: int
    grid: tuple[Setting, ...]
    seeds: int = 3
    stage: int = 0
    validation: int = 16  # batches

    def __post_init__(self) -> None:
        if not 0 <= self.stage < len(self.run.stages) or self.run.stages[self.stage].objective != "text":
            raise ValueError(f"The recipe has no stage {self.stage} that learns text.")
        if self.seeds < 1 or len(set(self.grid)) < 2 or self.steps < 10:
            raise ValueError("Name at least one seed, two settings to choose from and ten steps.")


@dataclass(frozen=True)
class Trial:
    """One run to its end: its validation loss (nats a learnt token), the tokens it saw, its speed.

    The speed is the median over the logged steps, because whoever comes first in a seed waits for its data.
    """

    arm: str
    seed: int
    steps: int
    setting: Setting
    tokens: int
    loss: float
    tokens_per_s: float


@dataclass(frozen=True)
class Ratio:
    """AdamW's tokens over Muon's at equal loss, for one seed.

    `bound`: an arm's shortest run was already better than the target, so its tokens are too high here. For Muon the
    ratio is then a lower bound ("at least"), for AdamW an upper one.
    """

    seed: int
    loss: float
    muon: float
    adamw: float
    bound: str | None

    @property
    def value(self) -> float:
        return self.adamw / self.muon


Train = Callable[[Plan, str, int, int, Setting], Trial]


class Ladder:
    """The trials of a plan, kept as JSON lines in a directory; those done are not run again.

    `train` runs one trial. Raises ValueError for a directory of another plan.
    """

    def __init__(self, plan: Plan, directory: Path, train: Train | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.plan, self.path = plan, directory / "trials.jsonl"
        self._train = train or trainer(directory)
        settings = json.dumps(asdict(plan), indent=1)
        known = directory / "plan.json"
        if known.exists() and known.read_text() != settings:
            raise ValueError(f"{directory} holds a bench with other settings; choose another --out or delete it.")
        known.write_text(settings)
        lines = self.path.read_text().split("\n")[:-1] if self.path.exists() else []
        self.path.write_text("".join(line + "\n" for line in lines))  # without a line that a kill tore
        rows = [json.loads(line) for line in lines]
        self.trials = [Trial(**row | {"setting": Setting(**row["setting"])}) for row in rows]

    def climb(self, on_trial: Callable[[Trial, int], None] = lambda trial, left: None) -> dict[str, Setting]:
        """Tunes both arms, then runs all rungs and seeds; returns the chosen settings.

        `on_trial` is called after each trial that was really run, with how many are left.
        """
        plan = self.plan
        rungs = [rung(plan, share) for share in RUNGS]
        total = len(ARMS) * (len(plan.grid) + len(rungs) * plan.seeds)

        def done(trial: Trial) -> None:
            on_trial(trial, total - len(self.trials))

        tuned_at = rung(plan, TUNED_AT)
        for setting in plan.grid:
            for arm in ARMS:
                self._run(arm, TUNING_SEED, tuned_at, setting, done)
        chosen = {arm: min(self.tuning(arm), key=lambda trial: trial.loss).setting for arm in ARMS}
        for seed in range(plan.seeds):
            for steps in rungs:
                for arm, setting in chosen.items():
                    self._run(arm, seed, steps, setting, done)
        return chosen

    def tuning(self, arm: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.arm == arm and trial.seed == TUNING_SEED]

    def curve(self, arm: str, seed: int) -> list[Trial]:
        """The rungs of a seed, by tokens."""
        return sorted((t for t in self.trials if t.arm == arm and t.seed == seed), key=lambda t: t.tokens)

    def _run(self, arm: str, seed: int, steps: int, setting: Setting, done: Callable[[Trial], None]) -> None:
        if any((t.arm, t.seed, t.steps, t.setting) == (arm, seed, steps, setting) for t in self.trials):
            return
        trial = self._train(self.plan, arm, seed, steps, setting)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(trial)) + "\n")
        self.trials.append(trial)
        done(trial)


def rung(plan: Plan, share: float) -> int:
    return max(1, round(plan.steps * share))


def grid(lrs: Sequence[float], weight_decays: Sequence[float]) -> tuple[Setting, ...]:
    return tuple(Setting(lr, decay) for lr in sorted(set(lrs)) for decay in sorted(set(weight_decays)))


def at_edge(plan: Plan, setting: Setting) -> bool:
    """Whether the best learning rate is the first or last that was tried: then the grid should be widened."""
    lrs = sorted({s.lr for s in plan.grid})
    return setting.lr in (lrs[0], lrs[-1])


def trainer(directory: Path) -> Train:
    """Trains trials with `Trainer`. They share the tokenizer and shards in `directory`, and nothing else."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def train(plan: Plan, arm: str, seed: int, steps: int, setting: Setting) -> Trial:
        tokenizer, text = prepare(plan.run, directory)
        run = trial_run(plan, arm, seed, steps, setting)
        (stage,) = run.stages
        (directory / "shards").mkdir(exist_ok=True)
        # A directory of its own, so that no trial goes on from another's checkpoint.
        with TemporaryDirectory(dir=directory, prefix="trial-") as folder:
            own = Path(folder)
            for shared in ("tokenizer", "shards"):
                (own / shared).symlink_to((directory / shared).resolve(), target_is_directory=True)
            learner = Trainer(run, own, tokenizer, text and text.resolve(), device)
            learner.fit()
            speed = median(row["tokens_per_s"] for row in learner.metrics.rows())
            loss = learner.validation_loss(stage, plan.validation)
        return Trial(arm, seed, steps, setting, steps * stage.rows * stage.length, loss, speed)

    return train


def trial_run(plan: Plan, arm: str, seed: int, steps: int, setting: Setting) -> Run:
    """The run of one trial: one stage, whose name carries the seed because shards are kept by it."""
    stage: Stage = plan.run.stages[plan.stage]
    optim = dataclasses.replace(stage.optim, lr=setting.lr, weight_decay=setting.weight_decay, muon=ARMS[arm])
    stage = dataclasses.replace(stage, name=f"{stage.name}-seed{seed}", steps=steps, optim=optim)
    # Nobody resumes a trial, so none is stopped for checkpoints on its way.
    return dataclasses.replace(plan.run, stages=(stage,), seed=seed, checkpoint_every=steps + 1)


def ratios(ladder: Ladder) -> list[Ratio]:
    """One for each seed of a ladder that was climbed."""
    found = []
    for seed in range(ladder.plan.seeds):
        curves = {arm: ladder.curve(arm, seed) for arm in ARMS}
        # Quality is what rises: the loss with its sign turned.
        points = {arm: [(math.log(t.tokens), -t.loss) for t in trials] for arm, trials in curves.items()}
        target = max(min(t.loss for t in trials) for trials in curves.values())
        tokens = {arm: cost_at(known, -target) for arm, known in points.items()}
        assert tokens["muon"] is not None and tokens["adamw"] is not None
        bounds = [arm for arm, trials in curves.items() if trials[0].loss < target]
        bound = {"muon": "at least", "adamw": "at most"}[bounds[0]] if bounds else None
        found.append(Ratio(seed, target, math.exp(tokens["muon"]), math.exp(tokens["adamw"]), bound))
    return found


def overall(found: Sequence[Ratio]) -> Difference:
    """The geometric mean of the ratios with its 95 % interval over seeds."""
    logs = paired_bootstrap([math.log(one.adamw) for one in found], [math.log(one.muon) for one in found])
    return Difference(math.exp(logs.mean), math.exp(logs.low), math.exp(logs.high))


def speed(ladder: Ladder, arm: str) -> float:
    """Tokens a second, the median of the longest runs."""
    return median(ladder.curve(arm, seed)[-1].tokens_per_s for seed in range(ladder.plan.seeds))


def to_json(ladder: Ladder, chosen: dict[str, Setting]) -> dict[str, Any]:
    found = ratios(ladder)
    ratio = overall(found)
    return {
        "plan": asdict(ladder.plan),
        "chosen": {arm: asdict(setting) | {"edge": at_edge(ladder.plan, setting)} for arm, setting in chosen.items()},
        "ratio": asdict(ratio),
        "seconds_ratio": ratio.mean * speed(ladder, "muon") / speed(ladder, "adamw"),
        "seeds": [asdict(one) | {"ratio": one.value} for one in found],
        "trials": [asdict(trial) for trial in ladder.trials],
    }


def draw(ladder: Ladder, path: Path) -> None:
    """Validation loss against tokens, a line for each arm and seed; beside it what the tuning found."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, arm in enumerate(ARMS):
        for seed in range(ladder.plan.seeds):
            trials = ladder.curve(arm, seed)
            label = arm if seed == 0 else None
            left.plot([t.tokens for t in trials], [t.loss for t in trials], "o-", color=f"C{index}", label=label)
        for decay, style in zip(sorted({s.weight_decay for s in ladder.plan.grid}), "-:" * 9, strict=False):
            tried = sorted(
                (t for t in ladder.tuning(arm) if t.setting.weight_decay == decay), key=lambda t: t.setting.lr
            )
            label = f"{arm}, weight decay {decay:g}"
            lrs, losses = [t.setting.lr for t in tried], [t.loss for t in tried]
            right.plot(lrs, losses, "o" + style, color=f"C{index}", label=label, alpha=0.8)
    left.set(xlabel="training tokens, each point a run of its own", ylabel="validation loss (nats)", xscale="log")
    right.set(xlabel="learning rate, tuning seed", xscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
