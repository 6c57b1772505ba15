"""The bench of optimisers on a landscape whose ratio is known, and once for real on the smallest model."""

import dataclasses
import json
import math

import pytest
import torch
from PIL import Image

from firesteel.recipes import RECIPES
from firesteel.train.config import override
from firesteel.train.ladder import (
    ARMS,
    RUNGS,
    TUNING_SEED,
    Ladder,
    Plan,
    Setting,
    Trial,
    at_edge,
    draw,
    grid,
    overall,
    ratios,
    to_json,
    trainer,
    trial_run,
)
from firesteel.train.optim import MuonAdamW

RUN = override(RECIPES["smoke"], [])
GRID = grid([1e-3, 2e-3, 4e-3], [0.0, 0.1])
BEST = {"muon": Setting(2e-3, 0.1), "adamw": Setting(4e-3, 0.0)}


def landscape(ratio, asked, spread=0.0):
    """AdamW needs `ratio` times the tokens, and each arm is best at its own setting."""

    def train(plan, arm, seed, steps, setting):
        asked.append((arm, seed, steps, setting))
        luck = 0.0 if seed == TUNING_SEED else spread * (seed - 1)
        needed = ratio * math.exp(luck) if arm == "adamw" else 1.0
        off = abs(math.log(setting.lr / BEST[arm].lr)) + abs(setting.weight_decay - BEST[arm].weight_decay)
        loss = 1 + (steps / needed) ** -0.5 + 0.1 * off
        return Trial(arm, seed, steps, setting, steps * 100, loss, 100 if arm == "muon" else 120)

    return train


def climbed(tmp_path, ratio=1.5, spread=0.0, seeds=3):
    asked = []
    ladder = Ladder(Plan(RUN, 1000, GRID, seeds), tmp_path, landscape(ratio, asked, spread))
    return ladder, ladder.climb(), asked


def test_both_arms_are_tuned_alike_and_frozen_at_their_best(tmp_path):
    ladder, chosen, asked = climbed(tmp_path)
    assert chosen == BEST
    tuned = {arm: [setting for a, seed, _, setting in asked if a == arm and seed == TUNING_SEED] for arm in ARMS}
    assert tuned["muon"] == tuned["adamw"] == list(GRID)
    measured = [job for job in asked if job[1] != TUNING_SEED]
    assert len(measured) == len(ARMS) * len(RUNGS) * 3
    assert all(setting == chosen[arm] for arm, _, _, setting in measured)
    assert at_edge(ladder.plan, chosen["adamw"]) and not at_edge(ladder.plan, chosen["muon"])


def test_the_ratio_of_tokens_at_equal_loss_is_found(tmp_path):
    ladder, _, _ = climbed(tmp_path, 1.5)
    for ratio in ratios(ladder):
        assert ratio.value == pytest.approx(1.5, rel=0.01) and ratio.bound is None
        assert ratio.adamw == pytest.approx(100_000) and ratio.loss == pytest.approx(1 + (1000 / 1.5) ** -0.5)
    mean = overall(ratios(ladder))
    assert mean.low == pytest.approx(mean.mean) and mean.high == pytest.approx(1.5, rel=0.01)


def test_a_worse_muon_gives_a_ratio_below_one(tmp_path):
    ladder, _, _ = climbed(tmp_path, 0.8)
    assert overall(ratios(ladder)).mean == pytest.approx(0.8, rel=0.01)


def test_the_interval_is_over_seeds(tmp_path):
    ladder, _, _ = climbed(tmp_path, 1.5, spread=0.1)
    mean = overall(ratios(ladder))
    assert mean.mean == pytest.approx(1.5, rel=0.01)
    assert (mean.low, mean.high) == (
        pytest.approx(1.5 * math.exp(-0.1), rel=0.01),
        pytest.approx(1.5 * math.exp(0.1), rel=0.01),
    )


def test_what_lies_beyond_the_ladder_is_a_bound(tmp_path):
    ladder, _, _ = climbed(tmp_path, 4.0)
    assert {ratio.bound for ratio in ratios(ladder)} == {"at least"}
    assert overall(ratios(ladder)).mean == pytest.approx(2.5)  # 1 / the lowest rung


def test_a_killed_bench_runs_nothing_twice(tmp_path):
    asked = []
    train = landscape(1.5, asked)

    def killed(*arguments):
        if len(asked) == 15:
            raise KeyboardInterrupt
        return train(*arguments)

    plan = Plan(RUN, 1000, GRID)
    with pytest.raises(KeyboardInterrupt):
        Ladder(plan, tmp_path, killed).climb()
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"arm": "mu')
    left = []
    ladder = Ladder(plan, tmp_path, train)
    ladder.climb(lambda trial, more: left.append(more))
    assert len(asked) == len(set(asked)) == len(ladder.trials) == 36
    assert left == list(range(20, -1, -1))
    with pytest.raises(ValueError, match="other settings"):
        Ladder(dataclasses.replace(plan, steps=500), tmp_path, train)


def test_arms_differ_in_the_optimiser_alone():
    plan = Plan(RUN, 100, GRID)
    muon, adamw = (trial_run(plan, arm, 2, 60, GRID[3]) for arm in ARMS)
    assert muon.seed == adamw.seed == 2
    (first,), (second,) = muon.stages, adamw.stages
    assert (first.optim.muon, second.optim.muon) == (True, False)
    assert dataclasses.replace(first, optim=second.optim) == second
    assert dataclasses.replace(first.optim, muon=False) == second.optim
    assert (first.steps, first.optim.lr, first.optim.weight_decay) == (60, GRID[3].lr, GRID[3].weight_decay)
    assert first.name != trial_run(plan, "muon", 3, 60, GRID[3]).stages[0].name  # so seeds share no data


def test_nonsense_is_refused():
    for change in ({"steps": 5}, {"seeds": 0}, {"grid": GRID[:1]}, {"stage": 7}):
        with pytest.raises(ValueError):
            dataclasses.replace(Plan(RUN, 100, GRID), **change)


def test_weight_decay_reaches_the_hidden_matrices_of_both_arms():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    for muon in ARMS.values():
        groups = MuonAdamW(model, 1e-3, 0.75, 0.1, muon).param_groups
        decayed = [p for group in groups if group["weight_decay"] == 0.1 for p in group["params"]]
        assert [p.shape for p in decayed] == [(4, 4)]


def test_results_can_be_kept_and_drawn(tmp_path):
    ladder, chosen, _ = climbed(tmp_path)
    found = json.loads(json.dumps(to_json(ladder, chosen)))
    assert found["ratio"]["mean"] == pytest.approx(1.5, rel=0.01)
    assert found["seconds_ratio"] == pytest.approx(1.5 / 1.2, rel=0.01)
    assert found["chosen"]["adamw"]["edge"] is True
    draw(ladder, tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").width > 1000


def test_a_trial_really_trains_and_leaves_only_what_is_shared(tmp_path):
    changes = ["stages.0.rows=2", "stages.0.mix.visual=0.0", "stages.0.mix.captions=0.0", "tokenizer_samples=150"]
    plan = Plan(override(RECIPES["smoke"], changes), 10, GRID, validation=2)
    train = trainer(tmp_path)
    first = train(plan, "muon", 0, 10, Setting(4e-3, 0.0))
    shorter = train(plan, "muon", 0, 2, Setting(4e-3, 0.0))
    assert first.loss < shorter.loss < 7.5 and first.tokens == 10 * 2 * 320
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards", "tokenizer"]
