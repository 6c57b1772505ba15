"""What other words for a task cost a model: the same fresh problems in the families' words and in others'.

    python bench/wording.py [MODEL] [--count 6] [--level 1] [--seed 0] [--choose]

The other words are written here, as strangers might ask, and training draws none of them, nor with a "please" before
or behind; people in stories have names that it draws nowhere. `--choose` asks the other half of the wordings, and
`--seed` other problems: what a model is chosen by should not be what is claimed of it. Intervals: bootstrap over
problems, 95 %.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence

from firesteel.backends import Backend, Request, complete, open_backend
from firesteel.evals.stats import paired_bootstrap
from firesteel.tasks import FAMILIES, get, make
from firesteel.tasks.base import Problem, held_out
from firesteel.train import wording
from firesteel.train.forms import filled

NAMES = (
    ("Lena", "Amy", "Ruth", "Lily", "Nina", "Jane", "Eve", "Sue"),
    ("Carl", "Hugo", "Pete", "Omar", "Fred", "Karl", "Joel", "Rob"),
)
OTHERS = {
    "bar_chart value": ("how tall is the {a} bar", "what number does {a} have?", "value for {a}", "look up {a}"),
    "bar_chart largest": ("which bar comes out on top?", "what bar is number one in size", "who wins here?"),
    "bar_chart smallest": ("which bar is at the very bottom?", "what bar is the tiniest", "shortest bar please"),
    "bar_chart sum": ("if I add {a} and {b}, what do I get", "{a}+{b}?", "total for {a} and {b}"),
    "bar_chart difference": ("by how much does {a} beat {b}?", "gap between {a} and {b}", "{a}-{b}"),
    "line_chart value": ("what was it on {a}?", "tell me the number for {a}", "{a} value?"),
    "line_chart largest": ("when was the peak?", "at which point is it at its best?", "what is its summit"),
    "line_chart smallest": (
        "when was it at its minimum?",
        "at which point is it at its worst?",
        "where does it touch bottom?",
    ),
    "line_chart rise": ("by how much did it go up between {b} and {a}?", "growth {b} to {a}"),
    "line_chart fall": ("by how much did it go down between {a} and {b}?", "loss {a} to {b}"),
    "pie_chart value": ("what percentage does {a} have?", "how much of the pie is {a}", "{a}: how many percent?"),
    "pie_chart largest": ("what colour takes up most of the pie?", "which wedge is the widest?"),
    "pie_chart smallest": ("what colour takes up least of the pie?", "which part is the tiniest?"),
    "pie_chart difference": ("by how much is {a} ahead of {b}?", "{a}-{b} in percent"),
    "table value": ("what number of {c} does {r} own?", "{r}'s {c}?", "look up {r} and {c}"),
    "table largest": ("which person has more {c} than anyone?", "top {c}?", "who leads in {c}"),
    "table smallest": ("which person has the lowest number of {c}?", "who comes last in {c}"),
    "table sum": ("{r} and {s} put their {c} together. how many?", "sum of {c} for {r} and {s}"),
    "clock time": ("can you tell me the time on this clock?", "what's the time", "where do the hands point?", "time?"),
    "geometry perimeter": ("how long is the outline?", "the length of its rim", "what is the distance around it?"),
    "geometry area": ("what is the extent of it?", "how much space does it cover?", "what's the surface?"),
    "geometry angle": ("x is how many degrees?", "what's the unknown angle", "solve for the angle"),
    "geometry side": ("x is how long?", "what's the unknown length", "solve for the side"),
    "count one": (
        "number of {0}?",
        "what's your tally of {0}",
        "{0} in this picture, how many",
        "{0} in sum",
    ),
    "count two": ("number of {0} and number of {1}?", "tally the {0} and the {1}"),
    "relation next": (
        "what shape do you find {0} the {1}?",
        "starting at the {1}, which shape sits {0} it?",
        "{0} the {1} is what?",
    ),
    "relation corner": ("what can be found at the {0} end?", "tell me the shape at the {0}", "{0} corner?"),
    "reading whole": (
        "which word is spelled?",
        "can you make out this writing",
        "decipher this",
        "text?",
        "which letters are printed",
    ),
    "point": ("where do I click for the {0}?", "find the {0} and point at it", "point me to the {0}", "tap the {0}"),
    "box": ("rectangle for the {0}", "find the {0} and box it", "outline the {0}", "give me the box of {0}"),
    "chain_sum": ("{e}, any idea?", "{e} comes to what", "quick: {e}", "I have to know {e}"),
    "chain_sum list": ("if I add {e} what do I get?", "put together {e}", "{e} added together make what?"),
    "product": (
        "{0} by {1} is what",
        "what results from {0} multiplied with {1}?",
        "{0} lots of {1}?",
        "{0} times {1} makes what?",
    ),
    "equation": ("crack {0}", "{0}, so {1} is?", "I need {1} where {0}", "how big is {1} in {0}?"),
    "word_problem has": ("{story} What does {name} have left in {things}?", "{story} So how many {things} now?"),
    "word_problem together": ("{story} What's the total of their {things}?", "{story} How many in sum?"),
    "word_problem change": ("{story} What is the change?", "{story} How much comes back?"),
    "compare": ("{1}: what's the {0} one?", "out of {1}, tell me the {0}", "I want the {0} of {1}"),
    "sorting up": ("can you sort {0} going up?", "{0}: sort, lowest first", "please arrange {0} from low to high"),
    "sorting down": ("can you sort {0} going down?", "{0}: sort, highest first", "please arrange {0} from high to low"),
    "sequence": ("{0}, what is next?", "which number goes on after {0}", "complete the series {0}"),
    "bases": ("{0} as a {1} number?", "how do you write {0} in {1}", "I want {0} in {1}", "{0} to {1}"),
    "strings reverse": ("spell {0} in reverse", "{0} the other way round", "{0}, but the other end first"),
    "letters count": ("how many {0} in {1}?", "{1}: how many {0} are in it?", "number of {0}'s in {1}"),
    "letters place": ("in {1}, what is letter number {0}?", "{1}: which one sits at {0}"),
    "logic who": ("{story} Which one is {0}?", "{story} Tell me who is the {0} person."),
    "logic true": ("{story} Say what holds.", "{story} Tell me the true ones."),
    "logic group": ("{story} Who can we say is a {0}?", "{story} Every {0}?"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="kindling")
    parser.add_argument("--count", type=int, default=6, help="problems for each wording")
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--choose", action="store_true", help="the half of the wordings that is for choosing")
    asked = parser.parse_args()
    asyncio.run(measure(asked.model, asked.count, asked.level, asked.seed, asked.choose))


async def measure(model: str, count: int, level: int, seed: int, choose: bool) -> None:
    rng = random.Random(seed)
    own: dict[str, list[float]] = defaultdict(list)
    other: dict[str, list[float]] = defaultdict(list)
    wrong = []
    backend = open_backend(model, slots=1, context=2048)
    try:
        for kind, forms in OTHERS.items():
            family = kind.split()[0]
            asked = forms[0 if choose else 1 :: 2]
            assert not drawn(kind, asked), f"training draws {drawn(kind, asked)}"
            for number, (problem, slots) in enumerate(fresh(kind, count * len(asked), level, seed)):
                form = asked[number % len(asked)]
                changed = wording.renamed(wording.asked(problem, form, slots, rng), rng, NAMES)
                own[family].append(await right(backend, problem))
                other[family].append(await right(backend, changed))
                if own[family][-1] > other[family][-1]:
                    wrong.append(changed.question)
    finally:
        await backend.close()
    for family in own:
        print(f"{family:14} {mean(own[family]):.2f} in its words, {mean(other[family]):.2f} in others")
    flat_own = [hit for hits in own.values() for hit in hits]
    flat = [hit for hits in other.values() for hit in hits]
    print(f"{len(flat)} problems: {mean(flat_own):.3f} in the families' words, {mean(flat):.3f} in others'")
    print("difference", paired_bootstrap(flat, flat_own))
    print("\n".join(f"  lost: {question}" for question in wrong))


def fresh(kind: str, count: int, level: int, seed: int) -> list[tuple[Problem, dict[str, str]]]:
    """Fresh problems of this kind with the slots of their questions; none where the level does not ask for it."""
    family, found, number = kind.split()[0], [], 0
    while len(found) < count and number < 50 * (len(found) + 1):
        problem = make(family, held_out(seed, 80_000 + number), min(level, FAMILIES[family].levels))
        found += [(problem, slots) for name, slots in wording.kinds(problem) if name == kind]
        number += 1
    return found


def drawn(kind: str, asked: Sequence[str]) -> list[str]:
    """Which of these wordings training may draw, with or without the words that it puts before and behind."""
    rng = random.Random(0)
    learnt = {plain(filled(rng, form, "<{}>".format)) for form in wording.forms()[kind] for _ in range(1500)}

    def bare(form: str) -> set[str]:
        text = plain(form.replace("{", "<").replace("}", ">"))
        cut = {text, *(text.removeprefix(words).strip() for words in wording.BEFORE)}
        return cut | {plain(each.removesuffix(words)) for each in cut for words in wording.AFTER}

    return [form for form in asked if bare(form) & learnt]


async def right(backend: Backend, problem: Problem) -> float:
    request = Request(messages=[problem.message], strength=256, temperature=0.0, max_tokens=512)
    (said,) = await complete(backend, request)
    return float(get(problem.family).check(problem, said.parse().content))


def mean(hits: list[float]) -> float:
    return sum(hits) / len(hits)


def plain(text: str) -> str:
    return text.casefold().strip("?.!, ")


if __name__ == "__main__":
    main()
