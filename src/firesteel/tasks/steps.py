"""Worked steps in words that a very small model can follow: sums column by column, a running winner.

Every function returns text without a closing full stop; that of a sum or difference ends in its result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Item = tuple[str, int]


def plus(a: int, b: int) -> str:
    """`a + b` from the ones upward: "35+27: 5+7=12, 3+2+1=6, 62". One-digit sums are a single fact."""
    if a < 10 and b < 10:
        return f"{a}+{b}={a + b}"
    steps, carry = [], 0
    for place in range(max(len(str(a)), len(str(b)))):
        terms = [int(str(n)[-1 - place]) for n in (a, b) if len(str(n)) > place]
        terms += [1] * carry
        carry = sum(terms) // 10
        steps.append(_step("+", terms, sum(terms)))
    return f"{a}+{b}: {', '.join(steps)}, {a + b}"


def minus(a: int, b: int) -> str:
    """`a - b` (a >= b >= 0) from the ones upward, borrowing: "32-17: 12-7=5, 3-1-1=1, 15"."""
    assert a >= b >= 0
    if a < 20 and b < 10:
        return f"{a}-{b}={a - b}"
    steps, borrow = [], 0
    for place in range(len(str(a))):
        terms = [int(str(a)[-1 - place])]
        terms += [int(str(b)[-1 - place])] if len(str(b)) > place else []
        terms += [1] * borrow
        borrow = int(terms[0] < sum(terms[1:]))
        terms[0] += 10 * borrow
        steps.append(_step("-", terms, terms[0] - sum(terms[1:])))
    return f"{a}-{b}: {', '.join(steps)}, {a - b}"


def total(numbers: Sequence[int]) -> str:
    """The numbers added one after another."""
    running, steps = numbers[0], []
    for number in numbers[1:]:
        steps.append(plus(running, number))
        running += number
    return ". ".join(steps)


def winner(items: Sequence[Item], largest: bool = True) -> str:
    """The best so far against each next item: "A 12 > B 7. A 12 < C 35", the end names no result by itself."""
    best, steps = items[0], []
    for item in items[1:]:
        steps.append(f"{best[0]} {best[1]} {'>' if best[1] > item[1] else '<'} {item[0]} {item[1]}")
        if (item[1] > best[1]) == largest:
            best = item
    return ". ".join(steps)


def bare(work: str) -> str:
    """The same steps, sums not named before their columns: "35+27: 5+7=12, 3+2+1=6, 62" is "5+7=12, 3+2+1=6, 62"."""
    return re.sub(r"\d+[-+*]\d+: ", "", work)


def reading(items: Sequence[Item]) -> str:
    """Names with their values: "A 12, B 7, C 35"."""
    return ", ".join(f"{name} {value}" for name, value in items)


def _step(sign: str, terms: Sequence[int], result: int) -> str:
    return str(result) if len(terms) == 1 else f"{sign.join(map(str, terms))}={result}"
