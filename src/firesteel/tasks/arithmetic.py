"""Calculating: chains of sums, products, equations. The full solutions write every column (see `steps`)."""

from __future__ import annotations

import random

from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.steps import bare, minus, plus


class ChainSum(Family):
    """Numbers added (from level 2 also taken away) from left to right.

    Level 1: two to four numbers below 100; level 2: three to five below 100 with signs; level 3: four to six below
    1000 with signs. Were there always three, a small mind would add a third where two are asked.
    """

    name = "chain_sum"
    visual = False
    levels = 3

    PHRASES = ("What is {}?", "Work out {}.", "{} = ?", "Calculate {}.")
    SIGNS = ({"+": " + ", "-": " - "}, {"+": "+", "-": "-"}, {"+": " plus ", "-": " minus "})
    SUM_PHRASES = ("Add {}.", "What is the sum of {}?", "Find the total of {}.")

    def generate(self, rng: random.Random, level: int) -> Problem:
        limit = 999 if level == 3 else 99
        numbers = [_number(rng, limit)]
        signs: list[str] = []
        partials = numbers[:]
        for _ in range(level + rng.randint(0, 2)):
            number = _number(rng, limit)
            less = level > 1 and number <= partials[-1] and rng.random() < 0.5
            signs.append("-" if less else "+")
            numbers.append(number)
            partials.append(partials[-1] - number if less else partials[-1] + number)
        sums = [
            minus(before, number) if sign == "-" else plus(before, number)
            for before, sign, number in zip(partials, signs, numbers[1:], strict=False)
        ]
        full = ". ".join(sums)
        if "-" not in signs and rng.random() < 0.4:
            phrase, body = rng.choice(self.SUM_PHRASES), ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
        else:
            phrase, written = rng.choice(self.PHRASES), rng.choices(self.SIGNS, (4, 1, 1))[0]
            body = str(numbers[0]) + "".join(f"{written[s]}{n}" for s, n in zip(signs, numbers[1:], strict=True))
        answer = str(partials[-1])
        return Problem(self.name, level, phrase.format(body), answer, bare(full), f"{full}. So {answer}.")


class Product(Family):
    """One product. Level 1: one or two digits by one; level 2: two by two; level 3: three by two."""

    name = "product"
    visual = False
    levels = 3

    PHRASES = ("What is {} * {}?", "{} * {} = ?", "Multiply {} by {}.", "What is {} times {}?", "Work out {} * {}.")

    def generate(self, rng: random.Random, level: int) -> Problem:
        a = rng.randint(100, 999) if level == 3 else rng.randint(11, 99)
        if level == 1 and rng.random() < 0.2:
            a = rng.randint(2, 9)
        b = rng.randint(3, 9) if level == 1 else rng.randint(11, 99)
        answer = str(a * b)
        if level == 1:
            full = times(a, b)
        else:  # one line for each digit of b, then their sum
            rows = split(b)
            full = ". ".join(f"{a}*{row}: {times(a, row)}" for row in rows)
            if len(rows) == 2:
                full += ". " + plus(a * rows[0], a * rows[1])
        # Either order is asked, whichever number the working splits: at level 1 the longer one, above it `b`.
        pair = (b, a) if rng.random() < 0.3 else (a, b)
        question = rng.choice(self.PHRASES).format(*pair)
        return Problem(self.name, level, question, answer, bare(full), f"{full}. So {answer}.")


class Equation(Family):
    """A linear equation with a whole solution.

    Level 1: 3x + 4 = 19; level 2: the unknown on both sides; level 3: a bracket, and the solution may be negative.
    """

    name = "equation"
    visual = False
    levels = 3

    PHRASES = ("Solve {0} for {1}.", "If {0}, what is {1}?", "Find {1}: {0}.", "{0}. What is {1}?")

    def generate(self, rng: random.Random, level: int) -> Problem:
        letter = rng.choice("xynkmz")
        makers = (self._plain, self._both_sides, self._bracket)
        equation, value, terse, full = makers[level - 1](rng, letter)
        question = rng.choice(self.PHRASES).format(equation, letter)
        return Problem(self.name, level, question, str(value), terse, f"{full}. So {value}.")

    def check(self, problem: Problem, text: str) -> bool:
        """Also takes the answer written as an equation, "x = 5"."""
        return normalise(text).split("=")[-1].strip() == normalise(problem.answer)

    def _plain(self, rng: random.Random, x: str) -> tuple[str, int, str, str]:
        a, value, b = rng.randint(2, 9), rng.randint(2, 15), rng.randint(1, 20)
        product = a * value
        if b < product and rng.random() < 0.4:
            right = product - b
            equation, move, work = f"{a}{x} - {b} = {right}", f"{right}+{b}", plus(right, b)
        else:
            right = product + b
            equation = f"{a}{x} + {b} = {right}" if rng.random() < 0.7 else f"{b} + {a}{x} = {right}"
            move, work = f"{right}-{b}", minus(right, b)
        rest = f"{work}. {x}={product}/{a}={value}"
        return equation, value, rest, f"{a}{x}={move}. {rest}"

    def _both_sides(self, rng: random.Random, x: str) -> tuple[str, int, str, str]:
        c, more, value, b = rng.randint(2, 6), rng.randint(2, 9), rng.randint(2, 20), rng.randint(1, 30)
        a, right = c + more, more * value + b  # a x + b = c x + right
        equation = f"{a}{x} + {b} = {c}{x} + {right}"
        if rng.random() < 0.5:
            equation = f"{c}{x} + {right} = {a}{x} + {b}"
        product = more * value
        work, last = minus(right, b), f"{x}={product}/{more}={value}"
        full = f"{a}{x}-{c}{x}={more}{x}. {work}. {more}{x}={product}, {last}"
        return equation, value, f"{more}{x}. {work}. {last}", full

    def _bracket(self, rng: random.Random, x: str) -> tuple[str, int, str, str]:
        c, more, b = rng.randint(2, 6), rng.randint(2, 9), rng.randint(2, 12)
        value = rng.choice([n for n in range(-12, 21) if n])
        a, product = c + more, more * value
        right = a * b + product  # a (x + b) = c x + right
        tail = f"+ {right}" if right >= 0 else f"- {-right}"
        equation = f"{a}({x} + {b}) = {c}{x} {tail}"
        work = minus(right, a * b) if product > 0 else f"{right}-{a * b}={product}"
        last = f"{work}. {x}={product}/{more}={value}"
        full = f"{a}*{b}={a * b}. {a}{x}-{c}{x}={more}{x}. {last}"
        return equation, value, f"{a}*{b}={a * b}. {more}{x}. {last}", full


def split(a: int) -> list[int]:
    """The place values of a >= 0 without zeros, largest first: 307 is [300, 7]; 0 is [0]."""
    text = str(a)
    return [int(digit) * 10 ** (len(text) - 1 - place) for place, digit in enumerate(text) if digit != "0"] or [0]


def times(a: int, factor: int) -> str:
    """a * factor worked out by the places of `a`, then summed: "40*6=240, 7*6=42. 240+42: 0+2=2, 4+4=8, 2, 282".

    `factor` is one digit, or one digit and zeros.
    """
    first, *others = split(a)
    lines = [", ".join(f"{part}*{factor}={part * factor}" for part in (first, *others))]
    total = first * factor
    for part in others:
        lines.append(plus(total, part * factor))
        total += part * factor
    return ". ".join(lines)


def _number(rng: random.Random, limit: int) -> int:
    """1..limit with short numbers about as common as long ones."""
    return rng.randint(1, limit) if rng.random() < 0.7 else rng.randint(1, max(9, limit // 10))
