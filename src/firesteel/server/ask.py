"""What every protocol's request becomes: one question to the model, and who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firesteel.agent.mind import Mind
from firesteel.format import Message

if TYPE_CHECKING:
    from firesteel.server.store import Key

LOCAL = "local"  # the owner of everything where no keys are used


@dataclass(frozen=True)
class Caller:
    """Who asks: the owner of what is stored, and the key that was shown, if any is needed."""

    owner: str = LOCAL
    key: Key | None = None


@dataclass(frozen=True, kw_only=True)
class Ask:
    """`model` is the name that the caller used. `theirs` are schemas of the caller's own tools, `tools` the names of
    those that run here. `fill` is given the working folder of the tools before they begin, `keep` when they are done.

    `n` samples of one question; `seconds` is the caller's own deadline.
    """

    model: str
    messages: tuple[Message, ...]
    mind: Mind
    theirs: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[str, ...] = ()
    fill: Callable[[Path], Awaitable[None]] | None = None
    keep: Callable[[Path], Awaitable[None]] | None = None
    n: int = 1
    seconds: float | None = None

    @property
    def cost(self) -> int:
        """How many sequences it generates at once."""
        return self.n * (self.mind.plan.agents if self.mind.mode == "contemplating" else 1)


@dataclass
class Usage:
    """Tokens of an answer, all samples and agents together. `ledger` is that of a contemplation."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    ledger: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens
