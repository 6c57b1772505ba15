"""Letters, words and short stories. At level 1 letters stand apart, so that a tokenizer cannot hide them."""

from __future__ import annotations

import random
from string import ascii_lowercase

from firesteel.tasks.arithmetic import times
from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.lexicon import HOLDERS, LONG_WORDS, PEOPLE, THINGS, WORDS
from firesteel.tasks.steps import bare, minus, plus

Step = tuple[int, str, int]  # left value, one of + - * /, right value


class Strings(Family):
    """A word turned around. Level 1: four to six letters, spaced; level 2: a plain word; level 3: a longer plain word,
    reversed or put in alphabetical order."""

    name = "strings"
    visual = False
    levels = 3

    REVERSE = ("Reverse the letters: {}", "Write backwards: {}", "Spell from the end: {}", "Turn around: {}")
    ORDER = ("Sort the letters: {}", "Put the letters in alphabetical order: {}", "Order the letters from a to z: {}")

    def generate(self, rng: random.Random, level: int) -> Problem:
        word = rng.choice(LONG_WORDS if level == 3 else WORDS)
        if level == 1 and rng.random() < 0.5:
            word = _letters(rng, rng.randint(4, 6))
        order = level == 3 and rng.random() < 0.5
        result = "".join(sorted(word)) if order else word[::-1]
        numbered = " ".join(f"{k} {letter}" for k, letter in enumerate(word, 1))
        if order:
            work = ", ".join(f"{letter} {word.count(letter)}" for letter in sorted(set(word)))
        else:
            work = " ".join(f"{k} {word[k - 1]}" for k in range(len(word), 0, -1))
        answer = " ".join(result) if level == 1 else result
        shown = " ".join(word) if level == 1 else word
        terse = f"{len(word)} letters: {answer}" if level == 1 else f"{' '.join(word)}. {' '.join(result)}: {answer}"
        spaced = "" if level == 1 else f" {' '.join(result)}."
        question = rng.choice(self.ORDER if order else self.REVERSE).format(shown)
        return Problem(self.name, level, question, answer, terse, f"{numbered}. {work}.{spaced} So {answer}.")

    def check(self, problem: Problem, text: str) -> bool:
        """The right letters in the right order; spaces between them are optional."""
        return normalise(text).replace(" ", "") == problem.answer.replace(" ", "")


class Letters(Family):
    """How often a letter occurs, or which letter stands at a place.

    Level 1: spaced letters, places from the left; level 2: a plain word; level 3: a longer one, places from the end.
    """

    name = "letters"
    visual = False
    levels = 3

    COUNT = (
        "How many times does {0} occur in: {1}",
        "Count the letter {0}: {1}",
        "How often is there {0} in: {1}",
    )
    PLACE = ("What is letter {0} of: {1}", "Which letter stands at place {0}: {1}", "Letter {0} of: {1}")
    END = ("What is letter {0} from the end of: {1}", "Counted from the end, which letter is number {0}: {1}")

    def generate(self, rng: random.Random, level: int) -> Problem:
        if rng.random() < (0.4 if level == 1 else 0.2):
            return self._count(rng, level)
        word = rng.choice(LONG_WORDS if level == 3 else WORDS)
        if level == 1 and rng.random() < 0.5:
            word = _letters(rng, rng.randint(4, 8))
        place = rng.randint(2, len(word))
        walk = word[::-1] if level == 3 else word
        answer = walk[place - 1]
        numbered = [f"{k} {letter}" for k, letter in enumerate(walk, 1)]
        question = rng.choice(self.END if level == 3 else self.PLACE).format(place, _shown(word, level))
        full = ", ".join(numbered[:place])
        if level == 3:
            full = f"{' '.join(word)}, from the end {full}"
        terse = " ".join(numbered[:place])
        return Problem(self.name, level, question, answer, terse, f"{full}. So {answer}.")

    def _count(self, rng: random.Random, level: int) -> Problem:
        if level == 1:  # drawn so that every count from 1 to 6 is equally common
            count = rng.randint(1, 6)
            letter, *others = rng.sample(ascii_lowercase, 4)
            pool = [letter] * count + rng.choices(others, k=rng.randint(max(1, 5 - count), 9 - count))
            rng.shuffle(pool)
            word = "".join(pool)
        else:  # absent, single and repeated letters in turn, or nearly every answer would be 1
            word = rng.choice(WORDS) if level == 2 else f"{rng.choice(LONG_WORDS)} {rng.choice(LONG_WORDS)}"
            letter = rng.choice(_by_count(rng, word))
            count = word.count(letter)
        seen, walk = 0, []
        for each in word.replace(" ", ""):
            seen += each == letter
            walk.append(f"{each} {seen}" if each == letter else each)
        question = rng.choice(self.COUNT).format(letter, _shown(word, level))
        terse = f"{' '.join(walk)}, {count}"
        return Problem(self.name, level, question, str(count), terse, f"{', '.join(walk)}. So {count}.")


class WordProblem(Family):
    """A short story about things that come and go, told in as many steps as the level or one more.

    Level 1: small numbers; level 2: larger ones; level 3: still larger, often with somebody else's things that do not
    matter.
    """

    name = "word_problem"
    visual = False
    levels = 3

    GAIN = ("{Sub} buys {n} more.", "{Sub} finds {n} more.", "{Sub} gets {n} more.", "{Other} gives {name} {n} more.")
    LOSE = ("{Sub} loses {n}.", "{Sub} gives {n} to {Other}.", "{Sub} sells {n}.", "{Other} takes {n}.")
    ASK = (
        "How many {things} does {name} have now?",
        "How many {things} does {name} have in the end?",
        "Now how many {things} has {name}?",
    )
    SHARE = (
        "{Sub} shares them equally among {n} friends. How many {things} does each get?",
        "{Sub} packs them into {n} equal groups. How many {things} are in each?",
    )
    PAY = ("How many dollars does {sub} get back?", "How much change does {sub} get?")
    TOGETHER = ("How many {things} do they have together?", "How many {things} do both have together?")

    def generate(self, rng: random.Random, level: int) -> Problem:
        name, sub = rng.choice(PEOPLE)
        other = rng.choice([person for person, pronoun in PEOPLE if pronoun != sub])  # so that "she" is one of them
        words = {"name": name, "sub": sub, "Sub": sub.capitalize(), "Other": other, "things": rng.choice(THINGS)}
        makers = (self._events, self._share, self._together, self._pay)
        maker = rng.choices(makers, (5, 2, 2, 2) if level == 1 else (5, 2, 0, 0))[0]  # the last two have two steps
        story, steps = maker(rng, level)
        question = " ".join(story).format(**words)
        full = ". ".join(_written(*step) for step in steps)
        answer = str(_value(*steps[-1]))
        return Problem(self.name, level, question, answer, bare(full), f"{full}. So {answer}.")

    def _events(self, rng: random.Random, level: int) -> tuple[list[str], list[Step]]:
        story, steps, _ = self._tale(rng, level, rng.randint(level, level + 1))
        if level == 3:
            story.append(f"{{Other}} has {rng.randint(2, 99)} {rng.choice(THINGS)}.")
        return [*story, rng.choice(self.ASK)], steps

    def _share(self, rng: random.Random, level: int) -> tuple[list[str], list[Step]]:
        """The last but one step makes the number divisible, the last divides it."""
        each, friends = rng.randint(2, 12 if level == 1 else 20), rng.randint(2, 9)
        story, steps, now = self._tale(rng, level, level - 1)
        total = each * friends if each * friends != now else (each + 1) * friends
        story.append(self._change(rng, total - now))
        story.append(rng.choice(self.SHARE).replace("{n}", str(friends)))
        return story, [*steps, (now, "+" if total > now else "-", abs(total - now)), (total, "/", friends)]

    def _tale(self, rng: random.Random, level: int, count: int) -> tuple[list[str], list[Step], int]:
        """A start and changes, `count` steps in all: its sentences, its steps and the number of things then."""
        steps: list[Step] = []
        if count and rng.random() < 0.5:
            holders, inside = rng.randint(2, 9), rng.randint(2, 9 * level)
            story = [f"{{name}} has {holders} {rng.choice(HOLDERS)} with {inside} {{things}} each."]
            steps, now = [(inside, "*", holders)], holders * inside
        else:
            now = rng.randint(5, 30 * level)
            story = [f"{{name}} has {now} {{things}}."]
        most = 20 * level**2
        while len(steps) < count:
            gain = now < 4 or rng.random() < 0.5
            n = rng.randint(2, most) if gain else rng.randint(2, min(most, now - 1))
            story.append(self._change(rng, n if gain else -n))
            steps.append((now, "+" if gain else "-", n))
            now += n if gain else -n
        return story, steps, now

    def _change(self, rng: random.Random, by: int) -> str:
        """A sentence that says so."""
        return rng.choice(self.GAIN if by > 0 else self.LOSE).replace("{n}", str(abs(by)))

    def _together(self, rng: random.Random, level: int) -> tuple[list[str], list[Step]]:
        first, change = rng.randint(6, 30), rng.randint(2, 12)
        sign = "+" if first <= change or rng.random() < 0.5 else "-"
        second = _value(first, sign, change)
        relation = "more" if sign == "+" else "fewer"
        story = [f"{{name}} has {first} {{things}}.", f"{{Other}} has {change} {relation} than {{name}}."]
        return [*story, rng.choice(self.TOGETHER)], [(first, sign, change), (first, "+", second)]

    def _pay(self, rng: random.Random, level: int) -> tuple[list[str], list[Step]]:
        price, count = rng.randint(2, 9), rng.randint(2, 9)
        paid = rng.choice([note for note in (20, 30, 40, 50, 60, 80, 100) if note > price * count])
        story = [f"{{name}} buys {count} {{things}} for {price} dollars each and pays with {paid} dollars."]
        return [*story, rng.choice(self.PAY)], [(count, "*", price), (paid, "-", count * price)]


def _value(a: int, sign: str, b: int) -> int:
    return {"+": a + b, "-": a - b, "*": a * b, "/": a // b}[sign]


def _written(a: int, sign: str, b: int) -> str:
    """One step of a story with every column."""
    if sign == "/":
        return f"{a}/{b}={a // b}"
    return {"+": plus, "-": minus, "*": times}[sign](a, b)


def _letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(ascii_lowercase, k=count))


def _by_count(rng: random.Random, word: str) -> list[str]:
    """The letters that `word` has none of, or those it has once, or those it has more often; never an empty list."""
    wanted = rng.choice((0, 1, 2))
    found = [letter for letter in ascii_lowercase if min(2, word.count(letter)) == wanted]
    return found or [letter for letter in ascii_lowercase if letter in word]


def _shown(word: str, level: int) -> str:
    return " ".join(word) if level == 1 else word
