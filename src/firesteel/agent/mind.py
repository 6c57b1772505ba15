"""How somebody wants an answer: mode, strength, plan, limits; and the run that this makes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firesteel.agent.contemplate import Plan, contemplate
from firesteel.agent.events import Event
from firesteel.agent.limits import Budget, Limits
from firesteel.agent.loop import Permit, deny, run
from firesteel.agent.tools import Tool
from firesteel.backends import Backend
from firesteel.format import STRENGTHS, Trace, strength_number

MODES = ("instant", "thinking", "contemplating")
_SAMPLING = ("strength", "max_tokens", "temperature", "top_p", "top_k", "seed")


@dataclass(frozen=True, kw_only=True)
class Mind:
    """`strength` is a word or a number; instant ignores it. `options` are those of the requests; `permit` is asked
    before a tool changes something outside the sandbox.

    Raises ValueError for an unknown mode or strength.
    """

    mode: str = "thinking"
    strength: str = "high"
    plan: Plan = field(default_factory=Plan)
    limits: Limits = field(default_factory=Limits)
    options: dict[str, Any] = field(default_factory=dict)
    permit: Permit = deny

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"There is no mode {self.mode}; there are: {', '.join(MODES)}.")
        strength_number(self.strength)

    @property
    def slots(self) -> int:
        """How many sequences the backend should be ready for."""
        return self.plan.agents if self.mode == "contemplating" else 1

    def sampling(self) -> dict[str, Any]:
        """How hard to think and how to draw, for subagents too; what an answer must look like is not among it."""
        number = STRENGTHS["minimal"] if self.mode == "instant" else strength_number(self.strength)
        given = {name: value for name, value in self.options.items() if name in _SAMPLING}
        return {"strength": number, "max_tokens": self.limits.turn_tokens, "temperature": 0.0} | given

    def answer(
        self,
        trace: Trace,
        backend: Backend,
        tools: Sequence[Tool] = (),
        theirs: Sequence[Mapping[str, Any]] = (),
        budget: Budget | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The events of one answer to the trace; `theirs` are schemas of tools that run elsewhere.

        `budget` (else `limits` make one) counts what is used, also where the answer is cut short.
        """
        either: dict[str, Any] = {"limits": self.limits, "budget": budget, "permit": self.permit, "theirs": theirs}
        options = self.sampling() | self.options
        if self.mode == "contemplating":
            options |= {"temperature": self.options.get("temperature", self.plan.temperature)}
            return contemplate(trace, backend, self.plan, tools, **either, **options)
        return run(trace, backend, tools, **either, **options)
