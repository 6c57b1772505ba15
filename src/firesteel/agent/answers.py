"""When two answers are the same, and when enough of them agree.

Places in a picture are the same where they nearly are, and the most central of them speaks for the others: no two
readings of a box agree to the last digit, so that votes on equal ones would elect whichever came first. This is what
minimum Bayes risk decoding chooses (Kumar and Byrne 2004).

The posterior rule is adaptive consistency (Aggarwal et al. 2023, arXiv 2305.11860): with a votes against b and a
uniform prior, P(the first is the more likely answer) is the mass of Beta(a + 1, b + 1) above one half.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import comb

LONG = 200  # characters; a longer answer is prose, of which no two are equal
NEAR = 40  # thousandths of the picture's side: how far the numbers of one place may lie apart
_PLACE = re.compile(r'"(bbox_2d|point_2d)": \[([-\d., ]+)\]')
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?")


def canonical(answer: str) -> str:
    """A form in which equal answers are equal: spaces, case, outer marks, number and JSON formats do not count."""
    text = " ".join(answer.split())
    boxed = re.fullmatch(r"\\boxed\{(.*)\}", text.strip("$ "))
    text = boxed[1] if boxed else text
    if text[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
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
    """Candidates that say the same, the shortest first; of places the most central first."""

    key: str
    members: list[Candidate]

    @property
    def weight(self) -> float:
        return sum(member.weight for member in self.members)

    @property
    def shortest(self) -> int:
        return min(member.length for member in self.members)


def clusters(candidates: Sequence[Candidate]) -> list[Cluster]:
    """The most votes first; at equal votes, the shorter thought."""
    found: dict[str, Cluster] = {}
    placed: dict[str, list[_Placed]] = {}
    for candidate in sorted(candidates, key=lambda c: c.length):
        key = canonical(candidate.answer)
        if numbers := _numbers(key):
            shape = _PLACE.sub(lambda place: f"{place[1]} of {place[2].count(',') + 1}", key)
            placed.setdefault(shape, []).append(_Placed(candidate, key, numbers))
        else:
            found.setdefault(key, Cluster(key, [])).members.append(candidate)
    near = [cluster for members in placed.values() for cluster in _near(members)]
    return sorted([*found.values(), *near], key=lambda cluster: (-cluster.weight, cluster.shortest))


@dataclass(frozen=True)
class _Placed:
    candidate: Candidate
    key: str
    numbers: tuple[float, ...]

    def far(self, other: _Placed) -> float:
        return max(abs(mine - theirs) for mine, theirs in zip(self.numbers, other.numbers, strict=True))


def _numbers(key: str) -> tuple[float, ...]:
    """The coordinates in a canonical answer, if it has any."""
    try:
        return tuple(float(number) for place in _PLACE.finditer(key) for number in place[2].split(","))
    except ValueError:
        return ()


def _near(members: list[_Placed]) -> Iterator[Cluster]:
    """The place that most others lie near, with them; then what is left, in the same way."""
    while members:
        centre = max(members, key=partial(_support, members))
        close = sorted((other for other in members if centre.far(other) <= NEAR), key=centre.far)
        yield Cluster(centre.key, [other.candidate for other in close])
        members = [other for other in members if centre.far(other) > NEAR]


def _support(members: Sequence[_Placed], place: _Placed) -> tuple[float, float]:
    """The votes of what lies near a place; among equals counts how near."""
    close = [(other.candidate, far) for other in members if (far := place.far(other)) <= NEAR]
    return sum(candidate.weight for candidate, _ in close), -sum(far for _, far in close)


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
