"""Rollouts through the same `run()` and engine that serve users, kept as the tokens that were really sampled.

A turn is trained on exactly as it was generated: its prompt's ids, its own ids and the log-probabilities at sampling
time, so nothing is tokenized twice. A run with tools gives one such turn for each time that the model spoke.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from PIL import Image

from firesteel.agent import Limits, run
from firesteel.backends.base import ContextExceeded
from firesteel.backends.engine import EngineBackend
from firesteel.format import Tokenizer, Trace, render
from firesteel.train.rl.episodes import Episode


@dataclass(frozen=True)
class Spoken:
    """One turn: what the model read and what it said, with the sampler's log-probabilities (nats)."""

    prompt: list[int]
    images: list[Image.Image]
    ids: list[int]
    logprobs: list[float]


@dataclass(frozen=True)
class Rollout:
    """One sample of an episode. `thinking` counts tokens of thought; a truncated sample is wrong."""

    turns: tuple[Spoken, ...]
    answer: str
    right: bool
    thinking: int
    truncated: bool

    @property
    def tokens(self) -> int:
        return sum(len(turn.ids) for turn in self.turns)


async def sample(
    backend: EngineBackend,
    episodes: Sequence[Episode],
    samples: int,
    *,
    max_tokens: int,
    length: int,
    seed: int,
) -> list[list[Rollout]]:
    """`samples` rollouts of each episode. A prompt and its answer never exceed `length` tokens.

    Raises ValueError where a prompt alone is longer.
    """
    episodes = [_shown(episode, backend.tokenizer) for episode in episodes]
    jobs = [
        _one(backend, episode, max_tokens, length, seed + index * samples + number)
        for index, episode in enumerate(episodes)
        for number in range(samples)
    ]
    done = await asyncio.gather(*jobs)
    return [list(done[index * samples : (index + 1) * samples]) for index in range(len(episodes))]


def prompt_tokens(episode: Episode, tokenizer: Tokenizer) -> int:
    schemas = [tool.schema for tool in episode.tools]
    return len(render(episode.messages, schemas, episode.strength, tokenizer).ids)


def _shown(episode: Episode, tokenizer: Tokenizer) -> Episode:
    """With pictures as the model is shown them, so that all rollouts share each one (as `loss.packed` wants it)."""
    messages = [
        replace(m, content=[replace(part, image=part.image and tokenizer.shown(part.image)) for part in m.parts])
        for m in episode.messages
    ]
    return replace(episode, messages=tuple(messages))


async def _one(backend: EngineBackend, episode: Episode, max_tokens: int, length: int, seed: int) -> Rollout:
    trace = Trace(list(episode.messages))
    schemas = [tool.schema for tool in episode.tools]
    first = prompt_tokens(episode, backend.tokenizer)
    if first >= length:
        raise ValueError(f"A prompt of {first} tokens ({episode.key}) does not fit into rows of {length}.")
    events = run(
        trace,
        backend,
        episode.tools,
        Limits(turns=3, calls=4, turn_tokens=min(max_tokens, length - first)),
        strength=episode.strength,
        temperature=1.0,
        seed=seed,
        logprobs=0,
    )
    reason = ""
    try:
        async with aclosing(events) as stream:
            async for event in stream:
                if event.kind == "done":
                    reason = event.text
    except ContextExceeded:  # by a later turn: as if it had been cut
        reason = "length"
    said = trace.messages[len(episode.messages) :]
    turns, thinking = [], 0
    for at, message in enumerate(said):
        if message.role != "assistant" or not message.token_ids:
            continue
        before = [*episode.messages, *said[:at]]
        read = render(before, schemas, episode.strength, backend.tokenizer)
        thinking += int(message.usage["reasoning_tokens"])
        if len(read.ids) + len(message.token_ids) <= length:
            turns.append(Spoken(read.ids, read.images, list(message.token_ids), list(message.logprobs)))
    truncated = reason != "stop"
    right = not truncated and bool(said) and episode.judge(said)
    return Rollout(tuple(turns), said[-1].text.strip() if said else "", right, thinking, truncated)
