"""Tasks in other words: what is asked, the working and the answer stay."""

import random
import re
from dataclasses import replace

import pytest

from firesteel.tasks import FAMILIES, get, make
from firesteel.train import wording

NEAR = {"chain_sum minus", "chain_sum divided"}  # kinds that no family asks


@pytest.fixture(scope="module")
def problems():
    return [make(family, seed, level) for family in FAMILIES for level in (1, 2, 3) for seed in range(60)]


def test_every_question_of_the_families_is_of_a_known_kind(problems):
    found = {kind for problem in problems for kind, _ in wording.kinds(problem)}
    assert all(wording.kinds(problem) for problem in problems)
    assert found == wording.forms().keys() - NEAR


def test_forms_have_no_other_slots_than_the_phrases(problems):
    known = {kind: slots.keys() for problem in problems for kind, slots in wording.kinds(problem)}
    known |= {kind: {"a", "b"} for kind in NEAR}
    for kind, forms in wording.forms().items():
        for form in forms:
            assert set(re.findall(r"\{(\w+)\}", form)) <= known[kind], (kind, form)
            assert form.count("{") == form.count("}"), (kind, form)


def test_a_phrase_and_its_slots_give_the_question_again(problems):
    for problem in problems:
        kind, slots = wording.kinds(problem)[0]
        phrases = wording.PHRASES[kind]
        for slot, text in slots.items():
            phrases = [phrase.replace(f"{{{slot}}}", text) for phrase in phrases]
        assert problem.question in phrases


def test_numbers_survive_and_so_does_the_picture(problems):
    rng = random.Random(0)
    for problem in problems:
        told = wording.reworded(problem, rng)
        assert _numbers(told.question) == _numbers(problem.question), told.question
        assert told.image is problem.image and told.facts == problem.facts
        assert get(problem.family).check(told, told.answer)


def test_questions_become_many(problems):
    rng = random.Random(1)
    questions = {wording.reworded(make("clock", 3), rng).question for _ in range(200)}
    assert len(questions) > 120
    assert all("{" not in question and "|" not in question for question in questions)


def test_people_change_their_names_everywhere():
    rng = random.Random(2)
    problem = next(p for p in (make("logic", seed) for seed in range(50)) if p.answer in p.question)
    changed = wording.renamed(problem, rng, (["Wilma", "Xenia", "Ylva", "Zelda"], ["Waldo", "Xaver", "Yorick", "Zeno"]))
    assert changed.answer in changed.question and changed.answer in changed.full
    assert not set(re.findall(r"\w+", changed.question)) & {name for name, _ in wording.PEOPLE}


def test_two_people_never_get_one_name():
    rng = random.Random(3)
    for seed in range(200):
        problem = make("logic", seed)
        before, after = (
            set(re.findall(r"\b[A-Z][a-z]+\b", told.question)) for told in (problem, wording.renamed(problem, rng))
        )
        assert len(after) == len(before)


def test_a_problem_without_a_story_or_a_known_phrase_stays():
    rng = random.Random(4)
    problem = make("product", 1)
    assert wording.renamed(problem, rng) is problem
    strange = replace(problem, question="7 oxen by 8?")
    assert wording.reworded(strange, rng) == strange


def test_differences_and_quotients_are_right():
    rng = random.Random(5)
    for _ in range(300):
        problem = wording.near(rng)
        a, b = map(int, re.findall(r"\d+", problem.question)[:2])
        right = {a - b, b - a} if "-" in problem.full.split("=")[0] else {a / b if a >= b else b / a}
        assert int(problem.answer) in right, problem
        assert problem.full.endswith(f"So {problem.answer}.")


def _numbers(text):
    return sorted(re.findall(r"\d+", text))
