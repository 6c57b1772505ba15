"""Tasks in other words than their families ask in.

A family asks in a handful of phrases, so that its problems can be compared, and a mind that has met no others takes
"calculate 12*7" for noise. Here each kind of question has dozens of forms, loosely put as people put them, with other
names in its stories. What is asked, the working and the answer stay what they are.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from string import Formatter

from firesteel.tasks import charts, clocks, geometry, interface, reading, scenes, steps, tables
from firesteel.tasks.arithmetic import ChainSum, Equation, Product
from firesteel.tasks.base import Problem
from firesteel.tasks.lexicon import PEOPLE, THINGS, TRADES
from firesteel.tasks.logic import Logic
from firesteel.tasks.symbols import Bases, Compare, Sorting
from firesteel.tasks.symbols import Sequence as Series
from firesteel.tasks.words import Letters, Strings, WordProblem
from firesteel.train.forms import filled


def _told(asks: Sequence[str]) -> tuple[str, ...]:
    return tuple("{story} " + ask for ask in asks)


# How the families ask, by kind; the first word of a kind is its family.
PHRASES: dict[str, tuple[str, ...]] = {
    **{f"bar_chart {kind}": asks for kind, asks in charts.BAR.items()},
    **{f"line_chart {kind}": asks for kind, asks in charts.LINE.items()},
    **{f"pie_chart {kind}": asks for kind, asks in charts.PIE.items()},
    **{f"table {kind}": asks for kind, asks in tables.PHRASES.items()},
    "clock time": clocks.PHRASES,
    "clock until": clocks.UNTIL,
    "geometry perimeter": geometry.PERIMETER,
    "geometry area": geometry.AREA,
    "geometry angle": geometry.ANGLE,
    "geometry side": geometry.SIDE,
    **{f"count {kind}": asks for kind, asks in scenes.COUNT_QUESTIONS.items()},
    **{f"relation {kind}": asks for kind, asks in scenes.RELATION_QUESTIONS.items()},
    "reading whole": reading.WHOLE,
    "reading line": reading.PART,
    "point": interface.Point.questions,
    "box": interface.BoundingBox.questions,
    "chain_sum list": tuple(phrase.format("{e}") for phrase in ChainSum.SUM_PHRASES),
    "chain_sum": tuple(phrase.format("{e}") for phrase in ChainSum.PHRASES),
    "product": tuple(phrase.format("{0}", "{1}") for phrase in Product.PHRASES),
    "equation": Equation.PHRASES,
    "word_problem has": _told(WordProblem.ASK),
    "word_problem share": _told(WordProblem.SHARE[:1]),
    "word_problem pack": _told(WordProblem.SHARE[1:]),
    "word_problem change": _told(WordProblem.PAY),
    "word_problem together": _told(WordProblem.TOGETHER),
    "compare": Compare.PHRASES,
    "sorting up": tuple(phrase.format("{0}") for phrase in Sorting.UP),
    "sorting down": tuple(phrase.format("{0}") for phrase in Sorting.DOWN),
    "sequence": tuple(phrase.format("{0}") for phrase in Series.PHRASES),
    "bases": Bases.PHRASES,
    "strings reverse": tuple(phrase.format("{0}") for phrase in Strings.REVERSE),
    "strings order": tuple(phrase.format("{0}") for phrase in Strings.ORDER),
    "letters count": Letters.COUNT,
    "letters end": Letters.END,
    "letters place": Letters.PLACE,
    "logic who": tuple("{story} " + ask.format("{0}") for ask in Logic.WHO),
    "logic true": _told(Logic.TRUE),
    "logic group": tuple("{story} " + ask.format("{0}") for ask in Logic.GROUP),
}

FORMS = Path(__file__).with_suffix(".txt")
# Two numbers are also added without signs.
_TWO = re.compile(r"(?P<x>\d+) ?(?:\+|plus) ?(?P<y>\d+)")
_WORD = r"\w+"
_SLOTS = {"story": ".+", "n": r"\d+", "e": ".+", "t": r"\S+"} | dict.fromkeys(("0", "1", "2"), ".+")

Names = tuple[Sequence[str], Sequence[str]]  # of women, of men

# In stories, beside what the families know.
_WOMEN = """
    Alice Carol Emma Grace Ivy Kate Mary Olga Rita Tina Wendy Anna Ella Lisa Nadia Paula Sarah Ursula Bella Clara Elena
    Gina Iris Julia Laura Sophie Petra Yara Zara Chloe Diana Flora Hanna Jenny Linda Polly Susan Vicky Maria Mei Priya
    Fatima Yuki Aisha
"""
_MEN = """
    Bob Dave Frank Henry James Liam Nick Peter Quinn Steve Victor Max John Mark Oscar Ralph Tim Walter Alex David Felix
    Harry Kevin Martin Noah Oliver Robert Thomas Vince Adam Bruno Erik George Isaac Kurt Mike Nate Otto Ray Ted Wes Yuri
    Ali Lucas Ravi Ahmed Chen Ivan Pedro Luis Jose Sven
"""
_PEOPLE: Names = (_WOMEN.split(), _MEN.split())
_THINGS = """
    marbles stickers oranges tickets pencils cookies candies fish shirts bananas dogs cats roses letters photos chairs
    bottles bikes dollars euros points games sweets socks beads bricks shoes stones leaves
"""
_TRADES = """
    nurse lawyer student singer judge builder tailor gardener waiter boxer skater climber thief king knight wizard
    fisher potter joker rider
"""

BEFORE = (
    *("please", "can you tell me", "could you please tell me", "tell me", "hey,", "hi,", "hello,", "ok,", "okay,"),
    *("now", "and", "next", "question:", "quick question:", "i want to know", "i would like to know", "help me:"),
    *("one more:", "then", "well,", "do you know", "kindling,", "my question is", "here is one:", "task:", "can you"),
    *("so", "let me ask:"),
)
AFTER = ("please", "thanks", "thank you", "can you do that", "for me", "kindling", "quickly")


def changed(problem: Problem, rng: random.Random) -> Problem:
    """The problem in other words; now and then, for a sum or a product, what no family asks and everybody tries."""
    if problem.family in ("chain_sum", "product") and rng.random() < 0.3:
        return near(rng)
    return reworded(problem, rng)


def reworded(problem: Problem, rng: random.Random) -> Problem:
    """The same problem as somebody else might ask it; one that no form is known for stays as it is."""
    if rng.random() < 0.6:
        problem = renamed(problem, rng)
    known = kinds(problem)
    if not known:
        return problem
    kind, slots = rng.choice(known)
    text = " ".join(asked(problem, rng.choice(forms()[kind]), slots, rng).question.split())
    if rng.random() < 0.25:
        text = f"{rng.choice(BEFORE)} {text}"
    if rng.random() < 0.08:
        text = f"{text.rstrip('.?! ')}{rng.choice((', ', ' '))}{rng.choice(AFTER)}"
    if text[-1] not in "?.!" and rng.random() < 0.5:
        text += rng.choice("??.!")
    text = text[0].upper() + text[1:] if rng.random() < 0.5 else text
    return replace(problem, question=text.lower() if rng.random() < 0.3 else text)


def near(rng: random.Random) -> Problem:
    """One number less another, or one divided by another."""
    if rng.random() < 0.5:
        a = rng.randint(1, rng.choice((9, 20, 99, 999)))
        b = rng.randint(1, a)
        kind, sign = "minus", rng.choice(("-", " - ", " minus "))
        answer, full = a - b, steps.minus(a, b)
    else:
        b, answer = rng.randint(2, 9), rng.randint(2, 12)
        a = b * answer
        kind, sign, full = "divided", rng.choice(("/", " / ", ":", " divided by ")), f"{a}/{b}={answer}"
    problem = Problem("chain_sum", 1, "", str(answer), steps.bare(full), f"{full}. So {answer}.")
    form = rng.choice((*forms()["chain_sum"], *forms()[f"chain_sum {kind}"]))
    return asked(problem, form, {"e": f"{a}{sign}{b}", "a": str(a), "b": str(b)}, rng)


@cache
def forms() -> dict[str, tuple[str, ...]]:
    """By kind of question, how it may be asked: the lines of `wording.txt`."""
    found: dict[str, tuple[str, ...]] = {}
    for block in FORMS.read_text(encoding="utf-8").split("\n\n")[1:]:
        head, *lines = block.strip().splitlines()
        found |= dict.fromkeys(head.strip("[]").split(", "), tuple(lines))
    return found


def kinds(problem: Problem) -> list[tuple[str, dict[str, str]]]:
    """The kinds of question that this one is, with what stands in the slots of its family's phrase."""
    named = f"{problem.family} {problem.facts.get('kind')}"
    names = [named] if named in PHRASES else [name for name in PHRASES if name.split()[0] == problem.family]
    for name in names:
        for pattern in _patterns(name):
            if found := pattern.fullmatch(problem.question):
                slots = {slot.removeprefix("_"): text for slot, text in found.groupdict().items()}
                both = _TWO.fullmatch(slots.get("e", ""))
                return [(name, slots), *([("chain_sum two", both.groupdict())] if both else [])]
    return []


def asked(problem: Problem, form: str, slots: Mapping[str, str], rng: random.Random) -> Problem:
    """The problem with its question in this form."""
    return replace(problem, question=filled(rng, form, slots.__getitem__))


def renamed(problem: Problem, rng: random.Random, people: Names = _PEOPLE) -> Problem:
    """A story about other people and things; a problem without a story stays as it is."""
    if problem.family not in ("word_problem", "logic"):
        return problem
    told = set(re.findall(r"\w+", problem.question))
    pairs: list[tuple[str, str]] = []
    for pronoun, names in zip(("she", "he"), people, strict=True):
        theirs = [name for name, said in PEOPLE if said == pronoun and name in told]
        pairs += zip(theirs, rng.sample(names, len(theirs)), strict=True)
    if rng.random() < 0.5:
        for known, others in ((THINGS, _THINGS.split()), (TRADES, _TRADES.split())):
            words = sorted(told.intersection(known))
            pairs += zip(words, rng.sample(others, len(words)), strict=True)
    to = dict(pairs)

    def change(text: str) -> str:
        return re.sub(r"\w+", lambda word: to.get(word[0], word[0]), text)

    question, answer, terse, full = map(change, (problem.question, problem.answer, problem.terse, problem.full))
    return replace(problem, question=question, answer=answer, terse=terse, full=full)


@cache
def _patterns(kind: str) -> list[re.Pattern[str]]:
    """What the phrases of a kind match: each slot is a group of its name."""
    found = []
    for phrase in PHRASES[kind]:
        pattern, known = "", set[str]()
        for text, slot, _, _ in Formatter().parse(phrase):
            pattern += re.escape(text)
            if slot is not None:
                name = slot if slot.isidentifier() else f"_{slot}"
                pattern += f"(?P={name})" if slot in known else f"(?P<{name}>{_SLOTS.get(slot, _WORD)})"
                known.add(slot)
        found.append(re.compile(pattern))
    return found
