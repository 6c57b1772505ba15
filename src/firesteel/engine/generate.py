"""Generation that blocks until it is done: for rollouts, evaluation and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from firesteel.engine.engine import Engine, Rollout
from firesteel.engine.prompt import Prompt
from firesteel.engine.sampling import Sampling
from firesteel.format import Tokenizer
from firesteel.model import Muse


def generate(
    model: Muse,
    prompts: Sequence[Prompt | Sequence[int]],
    tokenizer: Tokenizer | Sequence[int],
    *,
    n: int = 1,
    sampling: Sampling | None = None,
    slots: int = 16,
) -> list[list[Rollout]]:
    """n samples of each prompt, in order. `slots` of them run at a time; the context is what the longest needs.

    `tokenizer` may be the ids that end a turn. With a seed, prompt j draws from seed + j * n on, so that equal prompts
    do not give equal samples. Raises ValueError for what cannot be served. For many calls keep an `Engine`.
    """
    sampling = sampling or Sampling()
    whole = [prompt if isinstance(prompt, Prompt) else Prompt(prompt) for prompt in prompts]
    if not whole:
        return []
    given = max(len(prompt.ids) for prompt in whole) + len(sampling.forced)
    context = given + max(1, sampling.max_tokens)  # an engine takes no prompt that fills it, whatever comes behind
    engine = Engine(model, tokenizer, slots=min(slots, n * len(whole)), context=context)
    jobs = []
    for number, prompt in enumerate(whole):
        seed = None if sampling.seed is None else sampling.seed + number * n
        jobs.append(engine.submit(prompt, n, replace(sampling, seed=seed)))
    while engine.busy:
        engine.step()
    return [job.rollouts for job in jobs]
