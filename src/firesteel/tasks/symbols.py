"""Handling numbers as signs: comparing, sorting, continuing a sequence, writing in another base."""

from __future__ import annotations

import random
from itertools import pairwise

from firesteel.tasks.arithmetic import times
from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.steps import bare, minus, plus


class Compare(Family):
    """The largest, smallest or (of the lesser count) second largest number.

    Level 1: three or four numbers of two or three digits; level 2: four or five of two to four digits; level 3: five
    or six of three to five digits that share their beginning.
    """

    name = "compare"
    visual = False
    levels = 3

    PHRASES = ("Which is the {0}: {1}?", "Find the {0} number: {1}.", "What is the {0} of {1}?", "Pick the {0}: {1}.")

    def generate(self, rng: random.Random, level: int) -> Problem:
        kind = rng.choice(("largest", "smallest", "second largest"))
        count = level + 2 + (rng.random() < 0.5 and kind != "second largest")
        numbers = _distinct(rng, count, self._draw(rng, level))
        question = rng.choice(self.PHRASES).format(kind, ", ".join(map(str, numbers)))
        terse, full, best = _running_best(numbers, smallest=kind == "smallest")
        if kind == "second largest":
            rest = [number for number in numbers if number != best]
            more_terse, more_full, second = _running_best(rest, smallest=False)
            terse = f"{terse}. Without {best}: {more_terse}"
            full = f"{full}. Without {best}: {more_full}"
            best = second
        return Problem(self.name, level, question, str(best), terse, f"{full}. So {best}.")

    def _draw(self, rng: random.Random, level: int) -> tuple[int, int]:
        """The range that one problem draws its numbers from."""
        if level == 3:
            head, zeros = rng.randint(10, 99), rng.choice((10, 100, 1000))
            return head * zeros, head * zeros + zeros - 1
        spans = {1: ((10, 99), (100, 999), (10, 300)), 2: ((100, 999), (1000, 9999), (10, 2000))}
        return rng.choice(spans[level])


class Sorting(Family):
    """Numbers put in order by inserting one after the other.

    Level 1: four numbers of two digits; level 2: five of one to three digits; level 3: six of up to four digits.
    """

    name = "sorting"
    visual = False
    levels = 3

    UP = (
        "Sort from small to large: {}.",
        "Put in rising order: {}.",
        "Sort these numbers, smallest first: {}.",
        "Order {} from smallest to largest.",
    )
    DOWN = (
        "Sort from large to small: {}.",
        "Put in falling order: {}.",
        "Sort these numbers, largest first: {}.",
        "Order {} from largest to smallest.",
    )

    def generate(self, rng: random.Random, level: int) -> Problem:
        span = {1: (10, 99), 2: (1, 300), 3: (1, 3000)}[level]
        numbers = _distinct(rng, level + 3, span)
        down = rng.random() < 0.4
        question = rng.choice(self.DOWN if down else self.UP).format(", ".join(map(str, numbers)))
        grown = [sorted(numbers[:count], reverse=down) for count in range(1, len(numbers) + 1)]
        rows = [" ".join(map(str, row)) for row in grown]
        told = [rows[0], *(f"{number}: {row}" for number, row in zip(numbers[1:], rows[1:], strict=True))]
        answer = ", ".join(map(str, grown[-1]))
        terse = f"{'. '.join(rows[1:-1])}. {answer}"
        return Problem(self.name, level, question, answer, terse, f"{'. '.join(told)}. So {answer}.")

    def check(self, problem: Problem, text: str) -> bool:
        """The same numbers in the same order; commas are optional."""
        return normalise(text.replace(",", " ")) == normalise(problem.answer.replace(",", " "))


class Sequence(Family):
    """The next number of a sequence.

    Level 1: equal steps, doubling or tripling, two steps in turn; level 2: larger equal steps, growing steps, sums of
    the two before; level 3: two interleaved sequences, double and add, squares and a number.
    """

    name = "sequence"
    visual = False
    levels = 3

    PHRASES = (
        "What comes next: {}, ...?",
        "Continue: {}, ...",
        "Find the next number: {}.",
        "{}. What number follows?",
    )

    def generate(self, rng: random.Random, level: int) -> Problem:
        makers = {
            1: (self._steps, self._factor, self._turns),
            2: (self._big_steps, self._growing, self._two_before),
            3: (self._interleaved, self._double_plus, self._squares),
        }
        terms, terse, full = rng.choice(makers[level])(rng)
        answer = str(terms[-1])
        question = rng.choice(self.PHRASES).format(", ".join(map(str, terms[:-1])))
        return Problem(self.name, level, question, answer, terse, f"{full}. So {answer}.")

    def _steps(self, rng: random.Random, largest: int = 12, start: int = 50) -> tuple[list[int], str, str]:
        step = rng.randint(2, largest)
        first = rng.randint(1, start)
        if rng.random() < 0.4:
            first, step = first + 4 * step, -step
        return _by_steps([first + k * step for k in range(5)])

    def _turns(self, rng: random.Random) -> tuple[list[int], str, str]:
        a, b = rng.sample(range(1, 10), 2)
        if b < a and rng.random() < 0.5:
            b = -b
        terms = [rng.randint(1, 30)]
        for k in range(4):
            terms.append(terms[-1] + (a if k % 2 == 0 else b))
        return _by_steps(terms)

    def _factor(self, rng: random.Random) -> tuple[list[int], str, str]:
        factor = rng.choice((2, 2, 3))
        first = rng.randint(1, 12 if factor == 2 else 8)
        terms = [first * factor**k for k in range(4)]
        seen = ", ".join(f"{x}*{factor}={y}" for x, y in pairwise(terms[:-1]))
        last = times(terms[-2], factor)
        return terms, bare(f"*{factor}. {last}"), f"{seen}, next *{factor}. {last}"

    def _big_steps(self, rng: random.Random) -> tuple[list[int], str, str]:
        return self._steps(rng, largest=99, start=400)

    def _growing(self, rng: random.Random) -> tuple[list[int], str, str]:
        step, grow, terms = rng.randint(1, 12), rng.randint(1, 5), [rng.randint(1, 60)]
        for k in range(5):
            terms.append(terms[-1] + step + k * grow)
        return _by_steps(terms, grow)

    def _two_before(self, rng: random.Random) -> tuple[list[int], str, str]:
        terms = [rng.randint(1, 12), rng.randint(1, 20)]
        while len(terms) < 6:
            terms.append(terms[-2] + terms[-1])
        seen = ", ".join(f"{terms[k]}+{terms[k + 1]}={terms[k + 2]}" for k in range(3))
        last = plus(terms[3], terms[4])
        return terms, last, f"{seen}. {last}"

    def _interleaved(self, rng: random.Random) -> tuple[list[int], str, str]:
        starts, steps = [rng.randint(1, 60) for _ in range(2)], [rng.randint(2, 30) for _ in range(2)]
        terms = [starts[k % 2] + (k // 2) * steps[k % 2] for k in range(7)]
        odd = terms[::2]
        seen = ", ".join(f"{x}+{steps[0]}={y}" for x, y in pairwise(odd[:-1]))
        every, last = f"Every second: {' '.join(map(str, odd[:-1]))}.", plus(odd[-2], steps[0])
        return terms, f"{every} {last}", f"{every} {seen}. {last}"

    def _double_plus(self, rng: random.Random) -> tuple[list[int], str, str]:
        more, terms = rng.randint(1, 9), [rng.randint(1, 20)]
        while len(terms) < 5:
            terms.append(2 * terms[-1] + more)
        seen = ", ".join(f"{x}*2+{more}={y}" for x, y in pairwise(terms[:-1]))
        last = terms[-2]
        work = f"{times(last, 2)}. {plus(2 * last, more)}"
        return terms, f"*2+{more}. {bare(work)}", f"{seen}. {work}"

    def _squares(self, rng: random.Random) -> tuple[list[int], str, str]:
        first, more = rng.randint(1, 12), rng.randint(0, 30)
        roots = range(first, first + 5)
        terms = [root * root + more for root in roots]
        seen = ", ".join(f"{root}*{root}+{more}={term}" for root, term in zip(roots[:3], terms, strict=False))
        last = roots[-1]
        work = f"{last}*{last}={last * last}. {plus(last * last, more)}"
        return terms, work, f"{seen}. {work}"


class Bases(Family):
    """The same number in another base.

    Level 1: decimal and binary up to 63, both ways; level 2: binary up to 255 and hexadecimal up to 255, both ways;
    level 3: binary up to 1023, hexadecimal up to 4095, binary to hexadecimal.
    """

    name = "bases"
    visual = False
    levels = 3

    PHRASES = ("Write {0} in {1}.", "What is {0} in {1}?", "Convert {0} to {1}.", "Change {0} into {1}.")

    def generate(self, rng: random.Random, level: int) -> Problem:
        if level == 1:
            source, target = rng.choice((("decimal", "binary"), ("binary", "decimal")))
        else:
            pairs = [("decimal", "binary"), ("binary", "decimal"), ("decimal", "hex"), ("hex", "decimal")]
            source, target = rng.choice(pairs + ([("binary", "hex")] if level == 3 else []))
        most = {1: 63, 2: 255, 3: 4095 if "hex" in (source, target) else 1023}[level]
        number = rng.randint(5 if level == 1 else most // 8, most)
        shown, answer = _in_base(number, source), _in_base(number, target)
        question = rng.choice(self.PHRASES).format(shown if source == "decimal" else f"{source} {shown}", target)
        terse, full = self._work(number, source, target)
        return Problem(self.name, level, question, answer, f"{terse}, {answer}", f"{full}. So {answer}.")

    def check(self, problem: Problem, text: str) -> bool:
        """The prefixes 0b and 0x are optional."""
        return normalise(text).removeprefix("0b").removeprefix("0x") == normalise(problem.answer)

    def _work(self, number: int, source: str, target: str) -> tuple[str, str]:
        """The terse and the full working, both without the final statement."""
        if target == "binary":
            powers = [1 << k for k in reversed(range(number.bit_length()))]
            rows, left = [], number
            for power in powers:
                rows.append(f"{power}: {int(left >= power)}" + (f" left {left - power}" if left >= power else ""))
                left -= power if left >= power else 0
            full = ", ".join(rows)
            return full.replace(": ", " ").replace("left ", ""), full
        if source == "binary" and target == "decimal":
            bits, value, rows = f"{number:b}", 1, ["1"]
            short = ["1"]
            for bit in bits[1:]:
                rows.append(f"{value}*2+{bit}={2 * value + int(bit)}")
                value = 2 * value + int(bit)
                short.append(str(value))
            return " ".join(short[:-1]), ", ".join(rows)
        if source == "binary":  # to hexadecimal: fours of bits
            bits = f"{number:b}"
            bits = bits.zfill(-(-len(bits) // 4) * 4)
            fours = [bits[k : k + 4] for k in range(0, len(bits), 4)]
            return " ".join(fours), ", ".join(f"{four}={int(four, 2)}={int(four, 2):x}" for four in fours)
        digits = f"{number:x}"
        if source == "hex":
            value, rows = 0, []
            for digit in digits:
                rows += [f"{digit}={int(digit, 16)}"] if digit > "9" else []
                rows += [f"{value}*16={value * 16}", plus(value * 16, int(digit, 16))] if value else []
                value = value * 16 + int(digit, 16)
            full = ". ".join(rows)
            return bare(full), full
        rows, left = [], number
        while left:
            named = f"={left % 16:x}" if left % 16 > 9 else ""
            rows.append(f"{left}/16={left // 16} rest {left % 16}{named}")
            left //= 16
        full = ", ".join(rows)
        return full, full


def _in_base(number: int, base: str) -> str:
    return format(number, {"decimal": "d", "binary": "b", "hex": "x"}[base])


def _distinct(rng: random.Random, count: int, span: tuple[int, int]) -> list[int]:
    """`count` different numbers of `span` (both ends included) in random order."""
    return rng.sample(range(span[0], span[1] + 1), count)


def _by_steps(terms: list[int], grow: int = 0) -> tuple[list[int], str, str]:
    """Terse and full working of a sequence that is explained by its differences, which grow by so much."""
    steps = [f"{after - before:+d}" for before, after in pairwise(terms)]
    pairs = zip(pairwise(terms[:-1]), steps, strict=False)
    seen = [f"{minus(max(pair), min(pair))}, {step}" for pair, step in pairs]
    last, change = terms[-2], terms[-1] - terms[-2]
    work = plus(last, change) if change >= 0 else minus(last, -change)
    # Where all steps are equal, one of them tells the rest.
    terse = bare(seen[0]) if len(set(steps)) == 1 else ", ".join(steps)
    if grow:
        seen.append(f"{' '.join(steps[:-1])}: +{grow}")
    return terms, f"{terse}. {work}", f"{'. '.join(seen)}. next {steps[-1]}. {work}"


def _running_best(numbers: list[int], smallest: bool) -> tuple[str, str, int]:
    """Walks through `numbers` holding the best so far, digit by digit: without and with both numbers named first."""
    best, terse, full = numbers[0], [], []
    for number in numbers[1:]:
        better = min(best, number) if smallest else max(best, number)
        terse.append(f"{_digits_compared(best, number)}, {better}")
        full.append(f"{best} or {number}: {terse[-1]}")
        best = better
    return ". ".join(terse), ". ".join(full), best


def _digits_compared(a: int, b: int) -> str:
    """Why a is less or more than b: their lengths, or their digits up to the first that differ."""
    left, right = str(a), str(b)
    if len(left) != len(right):
        return f"{len(left)}{'<' if a < b else '>'}{len(right)} digits"
    steps = []
    for x, y in zip(left, right, strict=True):
        steps.append(f"{x}{'=' if x == y else '<' if x < y else '>'}{y}")
        if x != y:
            break
    return ", ".join(steps)
