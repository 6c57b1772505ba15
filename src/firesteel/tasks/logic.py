"""Small logic: who stands where in an order, what is true, who belongs to a group."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from string import ascii_lowercase

from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.lexicon import NAMES, TRADES

# more, less, most, least
ORDERS = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("richer", "poorer", "richest", "poorest"),
    ("stronger", "weaker", "strongest", "weakest"),
)


class Logic(Family):
    """An order of people, truth values, or groups within groups.

    Level 1: four people compared along the order, four statements, three groups; each further level has one more of
    each, and the comparisons come shuffled.
    """

    name = "logic"
    visual = False
    levels = 3

    WHO = ("Who is the {}?", "Name the {}.", "Which of them is the {}?")
    TRUE = ("Which are true?", "Name all that are true.", "Which of them are true?")
    GROUP = ("Who must be a {}?", "Name every {}.", "Who is certainly a {}?")

    def generate(self, rng: random.Random, level: int) -> Problem:
        question, answer, terse, full = rng.choice((self._order, self._truth, self._groups))(rng, level)
        return Problem(self.name, level, question, answer, f"{terse}: {answer}", f"{full}. So {answer}.")

    def check(self, problem: Problem, text: str) -> bool:
        """The same names or letters in any order."""
        return _items(text) == _items(problem.answer)

    def _order(self, rng: random.Random, level: int) -> tuple[str, str, str, str]:
        people = rng.sample(NAMES, level + 3)  # from most to least
        more, less, most, least = rng.choice(ORDERS)
        pairs = list(pairwise(people))
        if level > 1:
            rng.shuffle(pairs)
        elif rng.random() < 0.5:
            pairs.reverse()
        told, noted = [], []
        for high, low in pairs:
            told.append(f"{high} is {more} than {low}." if rng.random() < 0.5 else f"{low} is {less} than {high}.")
            noted.append(f"{high} > {low}")
        place, asked = rng.choice(((0, most), (-1, least), (1, f"second {most}"), (-2, f"second {least}")))
        question = f"{' '.join(told)} {rng.choice(self.WHO).format(asked)}"
        line = " > ".join(people)
        asked = asked.capitalize()
        return question, people[place], f"{line}. {asked}", f"{', '.join(noted)}. {line}. {asked}: {people[place]}"

    def _truth(self, rng: random.Random, level: int) -> tuple[str, str, str, str]:
        letters = sorted(rng.sample(ascii_lowercase, level + 3))
        values: dict[str, bool] = {}
        told, noted = [], []
        for letter in letters:
            if len(values) < 2:
                values[letter] = rng.random() < 0.5
                told.append(f"{letter} is {_word(values[letter])}.")
                noted.append(f"{letter} {_word(values[letter])}")
                continue
            one, two = rng.sample(list(values), 2)
            kind = rng.choice(("not", "and", "or"))
            if kind == "not":
                values[letter] = not values[one]
                told.append(f"{letter} is not {one}.")
                noted.append(f"{letter} = not {_word(values[one])} = {_word(values[letter])}")
            else:
                both = values[one], values[two]
                values[letter] = all(both) if kind == "and" else any(both)
                told.append(f"{letter} is {one} {kind} {two}.")
                noted.append(f"{letter} = {_word(both[0])} {kind} {_word(both[1])} = {_word(values[letter])}")
        answer = ", ".join(letter for letter in letters if values[letter]) or "none"
        terse = " ".join(f"{letter} {_word(value)}" for letter, value in values.items())
        return f"{' '.join(told)} {rng.choice(self.TRUE)}", answer, terse, ", ".join(noted)

    def _groups(self, rng: random.Random, level: int) -> tuple[str, str, str, str]:
        groups = rng.sample(TRADES, level + 2)  # each within the next
        people = rng.sample(NAMES, level + 2)
        member = {person: rng.randrange(len(groups)) for person in people}
        member[rng.choice(people)] = rng.randrange(len(groups) - 1)
        # The widest group is never asked for: everybody would belong to it.
        asked = rng.randint(min(member.values()), len(groups) - 2)
        told = [f"Every {low} is a {high}." for low, high in pairwise(groups)]
        if level > 1:
            rng.shuffle(told)
        first, *others = member.items()
        told.append(f"{first[0]} is a {groups[first[1]]}, " + ", ".join(f"{p} a {groups[k]}" for p, k in others) + ".")
        sure = [person for person, group in member.items() if group <= asked]
        question = f"{' '.join(told)} {rng.choice(self.GROUP).format(groups[asked])}"
        line = ", ".join(groups[: asked + 1])
        judged = {name: "yes" if k <= asked else "no" for name, k in member.items()}
        terse = ", ".join(f"{name} {said}" for name, said in judged.items())
        full = ", ".join(f"{name} {groups[member[name]]} {said}" for name, said in judged.items())
        return question, ", ".join(sure), f"{line}. {terse}", f"{line}. {full}"


def _word(value: bool) -> str:
    return "true" if value else "false"


def _items(text: str) -> list[str]:
    """The listed things, sorted: "Cal and Ann" is ["ann", "cal"]."""
    return sorted(item for item in re.split(r"[,\s]+|\band\b", normalise(text)) if item)
