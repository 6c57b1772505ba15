import asyncio
import dataclasses
import json
import random
from types import SimpleNamespace

import pytest
import torch

from firesteel.recipes import RL_RECIPES
from firesteel.tasks import FAMILIES, make
from firesteel.train.rl.config import Phase
from firesteel.train.rl.episodes import draw_call, of_problem
from firesteel.train.rl.loop import Reinforcer, reinforce
from firesteel.train.rl.loss import Weighted, packed
from firesteel.train.rl.rollouts import Rollout, sample

SMOKE = RL_RECIPES["smoke"]()


def rollouts(opened, episodes, samples=2, **options):
    async def work():
        backend = opened(slots=8, context=512)
        try:
            return await sample(backend, episodes, samples, **{"max_tokens": 128, "length": 512, "seed": 5, **options})
        finally:
            await backend.close()

    return asyncio.run(work())


def test_the_sampler_and_the_trainer_see_the_same_probabilities(kindling, opened, tmp_path):
    episodes = [of_problem(make("count", 4), 64), of_problem(make("letters", 4), 256)]
    episodes.append(draw_call(random.Random(3), FAMILIES))
    groups = rollouts(opened, episodes)
    turns = [Weighted(turn, 1.0) for group in groups for one in group for turn in one.turns]
    assert len(turns) >= 6 and any(turn.turn.images for turn in turns)
    reinforcer = Reinforcer(SMOKE, kindling, tmp_path, torch.device("cpu"))
    for rows in packed(turns, rows=4, length=512, pad=0):
        _, (_, ratio) = reinforcer._loss(rows)
        assert ratio == pytest.approx(1, abs=2e-3)


def test_a_prompt_and_its_answer_stay_within_a_row(opened):
    episode = of_problem(make("chain_sum", 0), 512)
    (group,) = rollouts(opened, [episode], length=60, max_tokens=500)
    assert all(len(turn.prompt) + len(turn.ids) <= 60 for one in group for turn in one.turns)
    assert all(one.truncated and not one.right for one in group)


def test_a_prompt_longer_than_a_row_is_refused(opened):
    with pytest.raises(ValueError, match="does not fit into rows of 20"):
        rollouts(opened, [of_problem(make("chain_sum", 1), 64)], length=20)


def test_thinking_counts_the_thought_and_not_the_answer(opened):
    ((one, _),) = rollouts(opened, [of_problem(make("chain_sum", 2), 256)])
    assert 0 < one.thinking < one.tokens
    ((none, _),) = rollouts(opened, [of_problem(make("chain_sum", 2), 1)])
    assert none.thinking == 0


def test_what_is_rewarded_becomes_more_likely_and_what_is_punished_less(kindling, opened, tmp_path, monkeypatch):
    (group,) = rollouts(opened, [of_problem(make("letters", 9), 64)], samples=12)
    good, bad, *_ = {tuple(one.turns[0].ids): one.turns[0] for one in group}.values()
    reinforcer = Reinforcer(SMOKE, kindling, tmp_path, torch.device("cpu"))

    def likelihoods():
        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr("firesteel.train.rl.loop.cispo", lambda logprobs, *_: logprobs.sum())
            passes = [next(packed([Weighted(turn, 1.0)], 1, 512, 0)) for turn in (good, bad)]
            return [float(reinforcer._loss(rows)[0]) for rows in passes]

    before = likelihoods()
    for reinforcer.step in range(3):
        reinforcer._learn([Weighted(good, 1.0), Weighted(bad, -1.0)], SMOKE.phases[0])
    after = likelihoods()
    assert after[0] - after[1] > before[0] - before[1]


def metrics(directory):
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.endswith("_s")} for row in rows]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(kindling, tmp_path, monkeypatch):
    whole = reinforce(SMOKE, kindling, tmp_path / "whole")
    assert (whole / "config.json").is_file() and (tmp_path / "whole" / "dashboard.png").stat().st_size > 10_000
    calls = iter(range(99))
    update = Reinforcer._update

    async def stopped(self, *args):
        if next(calls) == 3:
            raise KeyboardInterrupt
        await update(self, *args)

    monkeypatch.setattr(Reinforcer, "_update", stopped)
    with pytest.raises(KeyboardInterrupt):
        reinforce(SMOKE, kindling, tmp_path / "cut")
    monkeypatch.setattr(Reinforcer, "_update", update)
    reinforce(SMOKE, kindling, tmp_path / "cut")
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")


def test_a_directory_belongs_to_one_run(kindling, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="other settings"):
        reinforce(SMOKE, kindling, tmp_path)


def test_an_unknown_family_is_named(kindling, tmp_path):
    with pytest.raises(ValueError, match="no task family 'sums'"):
        reinforce(dataclasses.replace(SMOKE, families=("sums",)), kindling, tmp_path)


def test_the_penalty_halves_when_accuracy_falls(kindling, tmp_path, monkeypatch):
    reinforcer = Reinforcer(SMOKE, kindling, tmp_path, torch.device("cpu"))
    reinforcer.phase_index, reinforcer.best = 1, 1.0

    async def evaluate(*args, **options):
        return SimpleNamespace(samples=[SimpleNamespace(correct=False, thinking_tokens=3)])

    monkeypatch.setattr("firesteel.train.rl.loop.evaluate", evaluate)
    asyncio.run(reinforcer._measure(None))
    assert reinforcer.relief == 0.5
    reinforcer.phase_index = 0  # thinking is free here
    asyncio.run(reinforcer._measure(None))
    assert reinforcer.relief == 0.5


def test_operators_show_whole_answers_to_problems(kindling, tmp_path, monkeypatch):
    """A cut answer may be half of a right one, and what is right of a call is not its answer alone."""
    reinforcer = Reinforcer(SMOKE, kindling, tmp_path, torch.device("cpu"))
    right = make("chain_sum", 3)
    asked = iter([draw_call(random.Random(3), FAMILIES), *[of_problem(right, 64)] * 3])
    said = [("1", False, True), ("2", False, False), (right.answer, True, False)]
    group = [Rollout((), text, good, 0, cut) for text, good, cut in said]
    shown = []

    async def ask(backend, episodes, rng):
        shown.extend(episodes)
        return [group] * len(episodes)

    monkeypatch.setattr(reinforcer, "_ask", ask)
    monkeypatch.setattr("firesteel.train.rl.loop.draw_call", lambda *_: next(asked))
    asyncio.run(reinforcer._sampled(None, Phase(name="x", steps=1, calls=1.0, refine=0.4), random.Random(0)))
    operators = [episode for episode in shown if episode.key in ("refine", "choose")]
    assert operators and not any(episode.tools for episode in operators)
    assert all("\n1\n" not in episode.messages[-1].text for episode in operators)


def test_all_rollouts_of_an_episode_share_its_picture(opened):
    """A larger one is shrunk, but once."""
    episode = of_problem(make("geometry", 1, 3), 16)
    (group,) = rollouts(opened, [episode], samples=2, max_tokens=8)
    assert len({id(image) for one in group for turn in one.turns for image in turn.images}) == 1
