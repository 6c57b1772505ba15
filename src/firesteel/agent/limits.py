"""How much a run may use, and what it used. One place: the loop spends from a budget before it acts.

Runs beneath a run (subagents, the agents of Contemplating) spend from the same budget.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`tokens` are generated ones, in all and in one turn; prices are per million tokens, in the unit of `cost`.

    `turns`: with 0, a run ends well once the open calls of its trace have results. `reply_chars`: a tool's longer reply
    is cut in its middle. None is no limit.
    """

    turns: int = 32
    calls: int = 128
    tokens: int | None = None
    turn_tokens: int = 4096
    seconds: float | None = None
    cost: float | None = None
    prompt_price: float = 0.0
    completion_price: float = 0.0
    reply_chars: int = 20_000

    def start(self) -> Budget:
        """A budget whose clock runs from now on (within a running event loop)."""
        now = asyncio.get_running_loop().time()
        return Budget(self, None if self.seconds is None else now + self.seconds)


class LimitReached(Exception):
    """Names the limit in a sentence for the user."""


@dataclass
class Budget:
    """What is used so far. `deadline` is a time of the event loop's clock. What a child uses, its parent uses too."""

    limits: Limits
    deadline: float | None
    parent: Budget | None = None
    turns: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def child(self, limits: Limits | None = None, seconds: float | None = None) -> Budget:
        """A budget within this one; its clock starts now."""
        now = asyncio.get_running_loop().time()
        ends = [end for end in (self.deadline, None if seconds is None else now + seconds) if end is not None]
        return Budget(limits or self.limits, min(ends, default=None), self)

    @property
    def cost(self) -> float:
        limits = self.limits
        return (self.prompt_tokens * limits.prompt_price + self.completion_tokens * limits.completion_price) / 1e6

    def turn(self) -> int:
        """Begins a turn; returns how many tokens it may generate. Raises LimitReached."""
        limits = self.limits
        left = self.parent.turn() if self.parent else limits.turn_tokens
        if self.turns >= limits.turns:
            raise LimitReached(f"The limit of {limits.turns} turns is reached.")
        if limits.cost is not None and self.cost >= limits.cost:
            raise LimitReached(f"The limit of {limits.cost:g} on the cost is reached.")
        left = min(left, limits.turn_tokens)
        if limits.tokens is not None:
            left = min(left, limits.tokens - self.completion_tokens)
            if left <= 0:
                raise LimitReached(f"The limit of {limits.tokens} generated tokens is reached.")
        self.turns += 1
        return left

    def call(self) -> None:
        """Begins a tool call. Raises LimitReached."""
        if self.parent:
            self.parent.call()
        if self.calls >= self.limits.calls:
            raise LimitReached(f"The limit of {self.limits.calls} tool calls is reached.")
        self.calls += 1

    def used(self, prompt: int, cached: int, completion: int) -> None:
        """Counts the tokens of a turn."""
        if self.parent:
            self.parent.used(prompt, cached, completion)
        self.prompt_tokens += prompt
        self.cached_tokens += cached
        self.completion_tokens += completion

    def ledger(self) -> dict[str, float]:
        return {
            "turns": self.turns,
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": self.cost,
        }
