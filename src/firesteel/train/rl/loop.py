"""Reinforcement learning: sample groups, judge them, one update, again; a directory with weights and a dashboard out.

The policy that is trained is the very module that the engine samples from, so that sampler and trainer differ by
rounding at most. What is drawn is a function of the seed and the step; a stopped run goes on from its last checkpoint.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from firesteel.backends.engine import EngineBackend
from firesteel.evals.run import evaluate
from firesteel.format import Tokenizer
from firesteel.model import load, save
from firesteel.tasks import FAMILIES
from firesteel.train.batches import device_batch
from firesteel.train.learner import Learner, precision
from firesteel.train.metrics import Metrics
from firesteel.train.optim import MuonAdamW, trapezoid
from firesteel.train.rl import dashboard
from firesteel.train.rl.checkpoint import claim, read_place, restore, store
from firesteel.train.rl.config import Phase, RLRun
from firesteel.train.rl.episodes import Curriculum, Episode, draw_call, draw_operator, draw_problem
from firesteel.train.rl.loss import Rows, Weighted, cispo, decoupled, packed, shortest_right, token_logprobs
from firesteel.train.rl.reward import thinking_costs, weight
from firesteel.train.rl.rollouts import Rollout, prompt_tokens, sample
from firesteel.train.tokenizer import write_companions

_MEASURED_SEED = 1000  # evaluations are run with small seeds, so these problems are nobody's test


AfterPhase = Callable[[Phase, EngineBackend], Awaitable[None]]


def reinforce(
    run: RLRun, start: Path, directory: Path, device: str | None = None, after_phase: AfterPhase | None = None
) -> Path:
    """Trains the checkpoint in `start` by `run`, in `directory`; returns the directory of the finished model.

    `after_phase` is awaited when a phase has ended, with the policy to be asked. Raises ValueError when the directory
    belongs to a run with other settings, or for families that do not exist.
    """
    if unknown := [name for name in (*run.families, *run.held_out) if name not in FAMILIES]:
        raise ValueError(f"There is no task family {unknown[0]!r}. There are: {', '.join(FAMILIES)}.")
    directory.mkdir(parents=True, exist_ok=True)
    claim({"start": str(start), **dataclasses.asdict(run)}, directory / "run.json")
    reinforcer = Reinforcer(
        run, start, directory, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    )
    asyncio.run(reinforcer.fit(after_phase))
    return reinforcer.save("model")


class Reinforcer:
    """The state of a run: policy, optimiser, curriculum, and where it stands."""

    def __init__(self, run: RLRun, start: Path, directory: Path, device: torch.device) -> None:
        self.run, self.directory, self.device = run, directory, device
        self.model = load(start, torch.float32, str(device))
        self.tokenizer = Tokenizer(start / "tokenizer.json")
        self.dtype = precision(run.precision, device)
        self.learner = Learner(self.model, self.dtype)
        if run.compile:
            self.learner.compile_parts(spread=False)
        optim = run.optim
        self.optimiser = MuonAdamW(
            self.model, optim.lr, optim.adam_lr_scale, optim.weight_decay, optim.muon, self.dtype
        )
        self.curriculum = Curriculum()
        self.families = list(run.families) or [name for name in FAMILIES if name not in run.held_out]
        self.phase_index, self.step = 0, 0
        self.relief, self.best = 1.0, 0.0  # what the guard left of the penalty, and the accuracy it guards
        self.metrics = Metrics(directory / "metrics.jsonl")

    @property
    def total(self) -> int:
        """Updates over all phases."""
        return sum(phase.steps for phase in self.run.phases[: self.phase_index]) + self.step

    def save(self, name: str) -> Path:
        """The policy as a checkpoint directory in the run's."""
        out = self.directory / name
        save(self.model, out)
        (out / "tokenizer.json").write_bytes(self.tokenizer.path.read_bytes())
        begin = self.tokenizer.id("<|begin_of_text|>")
        write_companions(out, first_special=begin, max_image_tokens=self.tokenizer.max_image_tokens)
        return out

    async def fit(self, after_phase: AfterPhase | None = None) -> None:
        """Trains from wherever the last checkpoint stands to the end of the last phase."""
        run = self.run
        self._resume()
        self.metrics.truncate(self.phase_index, self.step)
        backend = EngineBackend.of(self.model, self.tokenizer, slots=self.run.slots, context=self.run.length)
        try:
            if (self.phase_index, self.step) == (0, 0):
                await self._measure(backend)
            for index, phase in enumerate(self.run.phases):
                if index < self.phase_index:
                    continue
                if index > self.phase_index:
                    self.phase_index, self.step = index, 0
                for _ in tqdm(range(self.step, phase.steps), desc=phase.name, unit="step", mininterval=5):
                    await self._update(backend, phase)
                    if self.step % self.run.measure_every == 0 or self.step == phase.steps:
                        await self._measure(backend)
                    if self.step % self.run.checkpoint_every == 0 or self.step == phase.steps:
                        self._store()
                    if run.keep_every and self.total % run.keep_every == 0:
                        self.save(f"kept/{self.total:05}")
                if after_phase:
                    await after_phase(phase, backend)
        finally:
            await backend.close()
        dashboard.plot(self.metrics.rows(), [phase.name for phase in self.run.phases], self.directory / "dashboard.png")

    # ---------------------------------------------------------------- one update

    async def _update(self, backend: EngineBackend, phase: Phase) -> None:
        run, began = self.run, time.perf_counter()
        rng = random.Random(f"{run.seed}/{phase.name}/{self.step}")
        episodes, groups = await self._sampled(backend, phase, rng)
        sampled = time.perf_counter()
        right = [[float(one.right) for one in group] for group in groups]
        costs = [
            thinking_costs(verdicts, [one.thinking for one in group], weight(episode.strength))
            for verdicts, group, episode in zip(right, groups, episodes, strict=True)
        ]
        if phase.imitate:
            worths = shortest_right(right, [[one.thinking for one in group] for group in groups])
        else:
            worths = decoupled(right, costs, phase.penalty * self.relief)
        weighted = []
        for group, worth in zip(groups, worths, strict=True):
            if worth is not None:
                pairs = zip(group, worth, strict=True)
                weighted += [Weighted(turn, value) for one, value in pairs if value for turn in one.turns]
        for episode, group in zip(episodes, groups, strict=True):
            self.curriculum.note(episode.key, sum(one.right for one in group) / len(group))
        row: dict[str, Any] = {"stage": self.phase_index, "step": self.step + 1, "kind": "update"}
        row |= dashboard.of_groups(episodes, groups)
        row["flops"] = self._flops(groups)
        if weighted:
            learnt, flops = self._learn(weighted, phase)
            row |= learnt | {"flops": row["flops"] + flops}
            await backend.refresh()
        self.step += 1
        row |= {"sampling_s": round(sampled - began, 2), "learning_s": round(time.perf_counter() - sampled, 2)}
        self.metrics.write(row)

    async def _sampled(
        self, backend: EngineBackend, phase: Phase, rng: random.Random
    ) -> tuple[list[Episode], list[list[Rollout]]]:
        """Plain prompts first; those on which the samples disagree become prompts of the operators."""
        run = self.run
        operators = round(run.prompts * phase.refine)
        problems = (self.curriculum, self.families, phase.levels, phase.strengths, phase.mastered)
        episodes = [
            draw_call(rng, self.families) if rng.random() < phase.calls else draw_problem(rng, *problems)
            for _ in range(run.prompts - operators)
        ]
        groups = await self._ask(backend, episodes, rng)
        if operators:
            further = []
            for episode, group in zip(episodes, groups, strict=True):
                if episode.tools:  # what is right there are the calls as well, which an answer does not show
                    continue
                whole = [one for one in group if not one.truncated]
                drawn = draw_operator(rng, episode, [one.answer for one in whole], [one.right for one in whole])
                if drawn and prompt_tokens(drawn, self.tokenizer) <= run.length - run.max_tokens:
                    further.append(drawn)
            further = further[:operators]
            groups += await self._ask(backend, further, rng)
            episodes += further
        return episodes, groups

    async def _ask(
        self, backend: EngineBackend, episodes: Sequence[Episode], rng: random.Random
    ) -> list[list[Rollout]]:
        run = self.run
        seed = rng.randrange(2**31)
        return await sample(backend, episodes, run.samples, max_tokens=run.max_tokens, length=run.length, seed=seed)

    def _learn(self, weighted: Sequence[Weighted], phase: Phase) -> tuple[dict[str, float], float]:
        """One update; returns what it was like, and its floating-point operations (6 a parameter and token)."""
        run, optim = self.run, self.run.optim
        tokens = sum(len(item.turn.ids) for item in weighted)
        entropy = ratio = loss = flops = 0.0
        for rows in packed(weighted, run.rows, run.length, self.tokenizer.id("<|finetune_right_pad|>")):
            part, (entropy_here, ratio_here) = self._loss(rows)
            (part / tokens).backward()
            loss += part.item() / tokens
            flops += 6.0 * self._parameters * np.count_nonzero(rows.batch.docs)
            entropy, ratio = entropy + entropy_here / tokens, max(ratio, ratio_here)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip)
        factor = trapezoid(self.step, phase.steps, optim.warmup, optim.decay)
        for group in self.optimiser.param_groups:
            group["lr"] = optim.lr * factor
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        told = {
            "loss": round(loss, 5),
            "grad_norm": round(norm.item(), 4),
            "entropy": round(entropy, 4),
            "max_ratio": round(ratio, 3),
            "learnt": tokens,
        }
        return told, flops

    @property
    def _parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def _flops(self, groups: Sequence[Sequence[Rollout]]) -> float:
        """Of sampling: 2 a parameter and token that is read or said (no attention)."""
        sampled = sum(len(group[0].turns[0].prompt) for group in groups if group[0].turns)
        sampled += sum(one.tokens for group in groups for one in group)
        return 2.0 * self._parameters * sampled

    def _loss(self, rows: Rows) -> tuple[Tensor, tuple[float, float]]:
        """Summed loss of a pass; summed entropy of the policy at its tokens, and the largest ratio to the sampler."""
        data = device_batch(rows.batch, self.device)
        # In the order of the learnt tokens, as the learner gives its states.
        learnt = rows.batch.mask.astype(bool)
        advantage, sampled = (
            torch.from_numpy(array[learnt]).to(self.device) for array in (rows.advantage, rows.sampled)
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            hidden, targets = self.learner.hidden(data)
        logits = self.model.logits(hidden.float())
        logprobs, entropy = token_logprobs(logits, targets)
        ratio = (logprobs.detach() - sampled).exp().max().item()
        return cispo(logprobs, sampled, advantage, self.run.ratio_cap), (entropy, ratio)

    # ---------------------------------------------------------------- measuring, and what it decides

    async def _measure(self, backend: EngineBackend) -> None:
        """Greedy accuracy and thinking on unseen problems, held-out families apart; guards the penalty."""
        run = self.run
        row: dict[str, Any] = {"stage": self.phase_index, "step": self.step, "kind": "measure"}
        for name, families in (("trained", self.families), ("held_out", list(run.held_out))):
            if not families:
                continue
            report = await evaluate(
                backend, families, run.measured, _MEASURED_SEED, concurrency=run.slots, max_tokens=run.max_tokens
            )
            right = [one.correct for one in report.samples]
            row[f"{name}_asked"] = len(right)
            row[f"{name}_accuracy"] = round(sum(right) / len(right), 4)
            row[f"{name}_thinking"] = round(sum(one.thinking_tokens for one in report.samples) / len(right), 2)
        accuracy = row["trained_accuracy"]
        self.best = max(self.best, accuracy)
        error = (self.best * (1 - self.best) / row["trained_asked"]) ** 0.5
        if self.run.phases[self.phase_index].penalty and accuracy < self.best - run.tolerance - error:
            self.relief /= 2
        self.metrics.write(row | {"relief": self.relief})

    # ---------------------------------------------------------------- checkpoints

    def _store(self) -> None:
        place = {
            "stage": self.phase_index,
            "step": self.step,
            "relief": self.relief,
            "best": self.best,
            "rates": self.curriculum.rates,
        }
        store(self.directory, self.model, self.optimiser, place)

    def _resume(self) -> None:
        place = read_place(self.directory)
        if place is None:
            return
        restore(self.directory, self.model, self.optimiser)
        self.phase_index, self.step = place["stage"], place["step"]
        self.relief, self.best = place["relief"], place["best"]
        self.curriculum = Curriculum(place["rates"])
