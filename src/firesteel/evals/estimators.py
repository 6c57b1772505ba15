"""From the k samples of each problem to what is reported: votes, thinking-adjusted accuracy and the level of chance.

- pass@1 is the mean of the k samples, pass@j is unbiased (`stats.pass_at_k`).
- OptimalThinkingBench (Aggarwal et al. 2025, arXiv 2508.13141): OAA_t is the share of samples that are right with fewer
  than t thinking tokens, AUC_OAA its mean over t in 0..t_max, F1 the harmonic mean of AUC_OAA on simple problems and
  the accuracy on hard ones. Their t_max is 1000; ours is the cap on tokens. Their simple and hard problems are two
  sets; ours are level 1 and the levels above it, so the numbers do not compare with theirs.
- Chance is a model that guesses: what it says to the other problems of a family and level, given here. With few
  possible answers k guesses hit often, and pass@k says little beyond that level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firesteel.agent.answers import Candidate, clusters


@dataclass(frozen=True)
class Shot:
    """One sample. `truncated` (the cap came first) and `failed` (the backend gave up) are never `correct`."""

    got: str
    correct: bool
    thinking: int
    answering: int
    truncated: bool = False
    failed: bool = False

    @property
    def ended(self) -> bool:
        return not self.truncated and not self.failed


def majority(shots: Sequence[Shot]) -> bool:
    """Whether the most frequent answer is right; at equal votes the shorter thought's, as Contemplating decides it.

    Samples without an answer do not vote; where none votes the problem is lost.
    """
    votes = [Candidate(i, shot.got, shot.thinking) for i, shot in enumerate(shots) if shot.ended and shot.got]
    ranked = clusters(votes)
    return bool(ranked) and shots[ranked[0].members[0].agent].correct


def auc_oaa(shots: Sequence[Shot], most: int) -> float:
    """AUC_OAA with t_max = `most` tokens: a right sample of L thinking tokens counts for 1 - L / t_max.

    That is the integral itself; the paper's sum over whole t differs by less than 1 / t_max.
    """
    assert shots and most > 0
    return sum(max(0.0, 1 - shot.thinking / most) for shot in shots if shot.correct) / len(shots)


def f1(simple: float, hard: float) -> float:
    """The harmonic mean, 0 where both are."""
    return 2 * simple * hard / (simple + hard) if simple + hard > 0 else 0.0


def guess_rates(pools: Sequence[Sequence[Shot]], checks: Sequence[Callable[[str], bool]]) -> list[float]:
    """For each problem of one family and level: how often what is said to the others would be right here.

    `pools` are the samples of each problem, `checks` what its answers are checked by. No rate without other problems.
    """
    if len(pools) < 2:
        return []
    said = [Counter(shot.got if shot.ended else None for shot in shots) for shots in pools]
    everything: Counter[str | None] = sum(said, Counter())
    rates = []
    for own, check in zip(said, checks, strict=True):
        others = everything - own
        hits = sum(count for answer, count in others.items() if answer is not None and check(answer))
        rates.append(hits / others.total())
    return rates


def chance(rates: Sequence[float], k: int) -> float | None:
    """pass@k of the guesser; None without rates."""
    return sum(1 - (1 - rate) ** k for rate in rates) / len(rates) if rates else None
