import json

import pytest
from datatrove.data import Document

from firesteel.tasks import make
from firesteel.tasks.base import HELD_OUT
from firesteel.train.curation.contamination import FAMILY, Contamination, questions
from firesteel.train.curation.recipe import Recipe, Source

OURS = {"kind": "tasks", "samples": 1, "licence": "Apache-2.0", "attribution": "us"}
LONG = "Natalia sold clips to 48 of her friends in April and then she sold half as many clips in May"
SHORT = "How many legs has a very old spider"
PUBLIC = "public.jsonl"


def judge(tmp_path, generated, pairs):
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    rule = Contamination(path, generated)
    return lambda text, question="": rule.filter(Document(text=text, id="", metadata={"question": question}))


def test_thirteen_words_in_a_row_are_too_many_and_twelve_are_not(tmp_path):
    verdict = judge(tmp_path, False, [(PUBLIC, LONG)])
    words = LONG.split()
    assert verdict(f"It says: {' '.join(words[3:16]).upper()}!, and so on.") == (False, f"asked by {PUBLIC}")
    assert verdict(f"It says: {' '.join(words[3:15])} and so on.") is True
    assert verdict(LONG.replace("48", "49").replace("half", "twice")) is True  # another problem


def test_a_short_question_counts_as_a_whole(tmp_path):
    verdict = judge(tmp_path, False, [(PUBLIC, SHORT), (PUBLIC, "What is fire?")])
    assert verdict(f"Somebody asked: {SHORT}? Eight.") == (False, f"asked by {PUBLIC}")
    assert verdict(f"Somebody asked: {SHORT.removesuffix(' spider')} fly? Six.") is True
    assert verdict("What is fire? Nobody knew, and all of them wondered about it.") is True  # too short to prove it


def test_generated_problems_share_wording_but_no_held_out_question(tmp_path):
    held = make("word_problem", HELD_OUT, 1).question
    verdict = judge(tmp_path, True, [(f"{FAMILY}word_problem", held), (PUBLIC, LONG)])
    assert verdict(f"{held}\nworking", held.upper()) == (False, f"asked by {FAMILY}word_problem")
    assert verdict(f"{held} Say it in French.\nworking", f"{held} Say it in French.") is True
    assert verdict(f"{LONG}\nworking", LONG + "?") == (False, f"asked by {PUBLIC}")


def test_the_questions_are_those_that_evaluations_draw(tmp_path):
    (tmp_path / "asked.jsonl").write_text(json.dumps({"question": LONG, "answer": "72"}) + "\n")
    (tmp_path / "asked.txt").write_text(f"{SHORT}\n\n")
    recipe = Recipe(
        name="r",
        root=str(tmp_path),
        sources=(Source(name="tasks", **OURS),),
        evaluation_files=("asked.jsonl", "asked.txt"),
        evaluation_problems=2,
        evaluation_seeds=2,
    )
    found = list(questions(recipe))
    for level in (1, 2, 3):
        for number in (HELD_OUT, HELD_OUT + 1, 2 * HELD_OUT, 2 * HELD_OUT + 1):
            assert (f"{FAMILY}logic", make("logic", number, level).question) in found
    assert ("asked.jsonl", LONG) in found and ("asked.txt", SHORT + "\n") in found
    assert not any("clock" in name for name, _ in found)  # a picture family


def test_a_file_without_questions_is_named(tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"gold": 3}\n')
    sources = (Source(name="tasks", **OURS),)
    recipe = Recipe(name="r", root=str(tmp_path), sources=sources, evaluation_files=("odd.jsonl",), evaluation_seeds=1)
    with pytest.raises(ValueError, match="shows no questions"):
        list(questions(recipe))
