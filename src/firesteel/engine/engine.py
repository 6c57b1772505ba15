"""Continuous batching: rows join and leave between two tokens, each with settings of its own.

- Running rows are rows 0..k-1 of the cache, so that a step reads it in place; the last one moves into a gap.
- Prompts are read in one further row, the stem, and copied from there: once for all samples of a prompt, also for
  those that start later, and what the next prompt has in common with the stem is not read again.
- Log-probabilities are those of the model's own distribution (temperature 1, nothing cut or masked) in fp32, whatever
  the sampling was: reinforcement learning needs them so.

    engine = Engine(model, tokenizer, slots=8, context=1024)
    job = engine.submit(Prompt(ids), n=4, sampling=Sampling(max_tokens=100))
    while not job.done:
        engine.step()
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import torch
from torch import Tensor

from firesteel.engine.grammar import Guide, Mask
from firesteel.engine.prompt import Prompt
from firesteel.engine.sampling import Controls, Sampling, adjust, random_numbers, sample
from firesteel.engine.thought import ThoughtBudget
from firesteel.format import Tokenizer
from firesteel.model import Cache, Decoder, Muse

_CHUNK = 1024  # prompt tokens read in one pass


@dataclass(eq=False)
class Rollout:
    """One sample, growing by one token a step.

    `top` holds (token id, log-probability), best first, as many as were asked for. `finish_reason`: "stop", "length" or
    "cancelled".
    """

    index: int
    prompt_tokens: int
    cached_tokens: int = 0
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[tuple[tuple[int, float], ...]] = field(default_factory=list)
    finish_reason: str | None = None


@dataclass(eq=False)
class Job:
    """The samples of one prompt."""

    prompt: Prompt
    sampling: Sampling
    rollouts: list[Rollout]
    keys: list[int]
    seed: int
    stop_ids: frozenset[int]
    mask: Mask | None  # at the beginning of the grammar

    @property
    def done(self) -> bool:
        return all(rollout.finish_reason for rollout in self.rollouts)


@dataclass(eq=False)
class _Row:
    """A running sample. `pending` are tokens that it must write next."""

    job: Job
    rollout: Rollout
    numbers: Iterator[float]
    budget: ThoughtBudget | None
    mask: Mask | None
    pending: deque[int]

    @property
    def adjusted(self) -> bool:
        """Whether a bias or a penalty changes its logits."""
        sampling = self.job.sampling
        return bool(sampling.logit_bias or sampling.presence_penalty or sampling.frequency_penalty)


class Engine:
    """Generates for many prompts at once. `slots` is the number of rows, `context` the most tokens of one.

    With a tokenizer, thinking budgets and grammars work; otherwise `tokenizer` is the list of ids that end a turn.
    Not safe for use from several threads at a time.
    """

    def __init__(self, model: Muse, tokenizer: Tokenizer | Sequence[int], slots: int = 8, context: int = 2048) -> None:
        assert slots > 0 and context > 1
        self.model, self.slots, self.context = model, slots, context
        self.tokenizer = tokenizer if isinstance(tokenizer, Tokenizer) else None
        self.eos_ids = frozenset(tokenizer.eos_ids if isinstance(tokenizer, Tokenizer) else tokenizer)
        self._guide: Guide | None = None
        dtype = model.model.language_model.embed_tokens.weight.dtype
        self._cache = Cache(model.config.text, slots + 1, context, dtype, model.device)
        self._rows: list[_Row] = []
        self._waiting: deque[Job] = deque()
        self._controls: Controls | None = None
        self.refresh()

    def refresh(self) -> None:
        """To be called when the model's weights have changed. Rows in flight go on with the new ones."""
        # Elsewhere than in fp32 the model itself runs, which is as fast where the arithmetic is what costs.
        fp32 = self.model.lm_head.weight.dtype == torch.float32
        self._decoder = Decoder(self.model, self.context) if fp32 else None
        self._stem: list[int] = []  # the keys of what the stem row holds
        self._stem_logits: Tensor | None = None  # (1, V) after its last token

    @property
    def busy(self) -> bool:
        return bool(self._rows or self._waiting)

    def submit(self, prompt: Prompt, n: int = 1, sampling: Sampling | None = None) -> Job:
        """Queue n samples of a prompt. Raises ValueError for what cannot be served."""
        sampling = sampling or Sampling()
        if n < 1:
            raise ValueError(f"{n} samples were asked for.")
        if not prompt.ids:
            raise ValueError("An empty prompt cannot be continued.")
        if (length := len(prompt.ids) + len(sampling.forced)) >= self.context:
            raise ValueError(f"The prompt of {length} tokens leaves no room in a context of {self.context}.")
        if sampling.thinking_budget is not None and self.tokenizer is None:
            raise ValueError("A thinking budget needs an engine with a tokenizer.")
        mask = None if sampling.grammar is None else self._mask(sampling.grammar)
        stop_ids = self.eos_ids if sampling.stop_ids is None else frozenset(sampling.stop_ids)
        seed = random.randrange(2**62) if sampling.seed is None else sampling.seed
        rollouts = [Rollout(index, len(prompt.ids)) for index in range(n)]
        job = Job(prompt, sampling, rollouts, prompt.keys(self.model.config), seed, stop_ids, mask)
        self._waiting.append(job)
        return job

    def cancel(self, what: Job | Rollout) -> None:
        """Give up all samples of a job, or one; their rows are free at once."""
        for rollout in what.rollouts if isinstance(what, Job) else [what]:
            if rollout.finish_reason is None:
                self._finish(rollout, "cancelled")

    @torch.no_grad()
    def step(self) -> list[tuple[Job, Rollout]]:
        """One more token for every row, those that join now included; returns what grew."""
        running = len(self._rows)
        logits = list(self._admit())
        if running:
            logits.insert(0, self._decode(self._rows[:running]))
        if not self._rows:
            return []
        self._advance(torch.cat(logits))
        grown = [(row.job, row.rollout) for row in self._rows]
        for job, rollout in grown:
            forced = len(job.sampling.forced)
            most = min(forced + job.sampling.max_tokens, self.context - len(job.prompt.ids))
            if rollout.token_ids[-1] in job.stop_ids and len(rollout.token_ids) > forced:
                self._finish(rollout, "stop")
            elif len(rollout.token_ids) >= most:
                self._finish(rollout, "length")
        return grown

    def _admit(self) -> Iterator[Tensor]:
        """Start waiting samples while rows are free; yields their first logits (m, V)."""
        while self._waiting and len(self._rows) < self.slots:
            job = self._waiting[0]
            starting = [r for r in job.rollouts if not r.token_ids and r.finish_reason is None]
            later = starting[self.slots - len(self._rows) :]
            starting = starting[: self.slots - len(self._rows)]
            cached = self._read(job)
            assert self._stem_logits is not None
            first = len(self._rows)
            self._cache.copy(self.slots, range(first, first + len(starting)))
            for rollout in starting:
                rollout.cached_tokens, cached = cached, len(job.keys)
                self._rows.append(self._row(job, rollout))
            self._controls = None
            if not later:
                self._waiting.popleft()
            yield self._stem_logits.expand(len(starting), -1)

    def _row(self, job: Job, rollout: Rollout) -> _Row:
        numbers, budget = random_numbers(job.seed + rollout.index), None
        if job.sampling.thinking_budget is not None:
            assert self.tokenizer is not None
            budget = ThoughtBudget(self.tokenizer, job.sampling.thinking_budget, job.sampling.after_thought)
        mask = job.mask.copy() if job.mask else None
        return _Row(job, rollout, numbers, budget, mask, deque(job.sampling.forced))

    def _mask(self, grammar: str) -> Mask:
        if self.tokenizer is None:
            raise ValueError("A grammar needs an engine with a tokenizer.")
        if self._guide is None:
            self._guide = Guide(self.tokenizer, self.model.config.text.vocab_size)
        return self._guide.mask(grammar)

    def _read(self, job: Job) -> int:
        """Let the stem hold the job's prompt; returns how many of its tokens were there already."""
        keys, cache, stem = job.keys, self._cache, self.slots
        if keys == self._stem:
            return len(keys)
        pairs = zip(keys, self._stem, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        # A row can be cut back only as long as no sliding layer has let go of anything.
        if common < len(self._stem) > min(cache.slots):
            common = 0
        common = min(common, len(keys) - 1)
        self._stem = []
        cache.lengths[stem] = common
        features = self._features(job.prompt, common)
        ids = torch.tensor([job.prompt.ids[common:]], device=self.model.device)
        start = 0
        for part in ids.split(_CHUNK, dim=1):
            used = int((part == self.model.config.image_token_id).sum())
            own = features[start : start + used] if features is not None and used else None
            hidden = self.model.hidden(part, own, attend=cache.step(part.shape[1], [stem]))
            start += used
        self._stem_logits = self.model.logits(hidden[:, -1])
        self._stem = keys
        return common

    def _features(self, prompt: Prompt, common: int) -> Tensor | None:
        """The features (n, D) of the picture tokens after the first `common` tokens of the prompt."""
        image = self.model.config.image_token_id
        if prompt.pixels is None or image not in prompt.ids[common:]:
            return None
        pixels = prompt.pixels.to(self.model.device)
        return self.model.image_features(pixels, prompt.grids)[prompt.ids[:common].count(image) :]

    def _decode(self, rows: Sequence[_Row]) -> Tensor:
        ids = torch.tensor([row.rollout.token_ids[-1] for row in rows], device=self.model.device)
        step = self._cache.step(1, range(len(rows)))
        if self._decoder is not None:
            return self._decoder(ids, step)
        return self.model.logits(self.model.hidden(ids[:, None], attend=step)[:, 0])

    def _advance(self, logits: Tensor) -> None:
        """Choose a token for each row from logits (b, V) and write it down."""
        if self._controls is None:
            settings = [row.job.sampling for row in self._rows]
            self._controls = Controls(settings, logits.shape[-1], logits.device)
        allowed = logits
        for at, row in enumerate(self._rows):
            if row.pending or not (row.mask is not None or row.adjusted):
                continue
            allowed = logits.clone() if allowed is logits else allowed
            if row.adjusted:
                adjust(allowed[at], row.job.sampling, row.rollout.token_ids[len(row.job.sampling.forced) :])
            if row.mask is not None:
                row.mask.apply(allowed[at])
        chosen = sample(allowed, self._controls, [next(row.numbers) for row in self._rows])
        for at, row in enumerate(self._rows):
            if row.pending:
                chosen[at] = row.pending[0]
        logprobs = logits.log_softmax(-1)
        own = logprobs.gather(-1, chosen[:, None])[:, 0].tolist()
        best = logprobs.topk(self._controls.top)
        top_ids, top_values = best.indices.tolist(), best.values.tolist()
        for at, (row, token) in enumerate(zip(self._rows, chosen.tolist(), strict=True)):
            rollout = row.rollout
            rollout.token_ids.append(token)
            rollout.logprobs.append(own[at])
            if count := row.job.sampling.top:
                rollout.top.append(tuple(zip(top_ids[at][:count], top_values[at][:count], strict=True)))
            if row.mask is not None:
                row.mask.accept(token)
            if row.pending:
                row.pending.popleft()
            elif row.budget is not None:
                row.pending.extend(row.budget.feed(token))

    def _finish(self, rollout: Rollout, reason: str) -> None:
        """End a sample, running or waiting."""
        rollout.finish_reason = reason
        for job in [job for job in self._waiting if job.done]:
            self._waiting.remove(job)
        place = next((at for at, row in enumerate(self._rows) if row.rollout is rollout), None)
        if place is None:
            return
        self._controls = None
        last = self._rows.pop()
        if place < len(self._rows):
            self._rows[place] = last
            self._cache.copy(len(self._rows), [place])
        self._cache.free(len(self._rows))
