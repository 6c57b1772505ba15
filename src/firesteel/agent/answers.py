"""When two answers are the same, and when enough of them agree.

The posterior rule is adaptive consistency (Aggarwal et al. 2023, arXiv 2305.11860): with a votes against b and a
uniform prior, P(the first is the more likely answer) is the mass of Beta(a + 1, b + 1) above one half.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import comb

LONG = 200  # characters; a longer answer is prose, of which no two are equal
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?")


def canonical(answer: str) -> str:
    """A form in which equal answers are equal: spaces, case, outer marks, number and JSON formats do not count."""
    text = " ".join(answer.split())
    boxed = re.fullmatch(r"\\boxed\{(.*)\}", text.strip("$ "))
    text = boxed[1] if boxed else text
    if text[:1] in ("{", "["):
        with suppress(ValueError):
            return json.dumps(json.loads(text), sort_keys=True)
    text = text.strip(" .!*\"'`$").casefold()
    if _NUMBER.fullmatch(text):
        number = float(text.replace(",", ""))
        return str(int(number)) if number.is_integer() else repr(number)
    return text


@dataclass
class Candidate:
    """One agent's answer. `weight` is its vote; `length` is what it took, in tokens."""

    agent: int
    answer: str
    length: int
    weight: float = 1.0


@dataclass
class Cluster:
    """Candidates that say the same, the shortest first."""

    key: str
    members: list[Candidate]

    @property
    def weight(self) -> float:
        return sum(member.weight for member in self.members)


def clusters(candidates: Sequence[Candidate]) -> list[Cluster]:
    """The most votes first; at equal votes, the shorter thought."""
    found: dict[str, Cluster] = {}
    for candidate in sorted(candidates, key=lambda c: c.length):
        key = canonical(candidate.answer)
        found.setdefault(key, Cluster(key, [])).members.append(candidate)
    return sorted(found.values(), key=lambda cluster: (-cluster.weight, cluster.members[0].length))


def posterior(first: int, second: int) -> float:
    """P(the answer with `first` votes is likelier than the one with `second`)."""
    total = first + second + 1
    return sum(comb(total, k) for k in range(first + 1)) / 2**total


def settled(candidates: Sequence[Candidate], running: int, first: int = 3, sure: float = 0.95) -> bool:
    """Whether more votes are not worth waiting for.

    The first `first` answers agree, the leader is `sure` to be the likelier one, or the `running` agents cannot change
    it. Answers too long to be compared are all waited for.
    """
    ranked = clusters(candidates)
    if not ranked or any(len(c.answer) > LONG for c in candidates):
        return not running
    lead = len(ranked[0].members)
    behind = len(ranked[1].members) if len(ranked) > 1 else 0
    return (behind == 0 and lead >= first) or posterior(lead, behind) >= sure or lead - behind > running or not running
