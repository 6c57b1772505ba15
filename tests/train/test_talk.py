"""What people say that is no task."""

import json
import lzma
import random
from dataclasses import replace

import pytest

from firesteel.format import STRENGTHS
from firesteel.tasks import FAMILIES
from firesteel.train import talk

OPEN = [f"Who wrote the {name} book?" for name in "abcdefghijklmnopqrstuvwxyz"]


@pytest.fixture
def instructions(tmp_path):
    """An instruction set as a JSON list, packed."""
    path = tmp_path / "set.json.xz"
    objects = [{"instruction": asked, "context": ""} for asked in OPEN]
    objects += [
        {"instruction": "Who is in this text?", "context": "Ann met Bob."},
        {"instruction": "What is 3 + 4?", "context": ""},
        {"instruction": "Sort these words", "context": ""},
        {"instruction": "Why " + "oh " * 50 + "why?", "context": ""},
    ]
    with lzma.open(path, "wt") as file:
        json.dump(objects, file)
    return str(path)


def test_open_questions_are_those_that_need_no_text_and_no_skill(instructions, tmp_path):
    learnt, kept = talk.questions((instructions,))
    assert sorted(learnt + kept) == OPEN and len(kept) == 3
    lines = tmp_path / "set.jsonl"
    lines.write_text("\n".join(json.dumps({"instruction": asked}) for asked in OPEN))
    assert talk.questions((str(lines),)) == (learnt, kept)


def test_kept_questions_are_never_learnt(instructions):
    learnt, kept = talk.questions((instructions,))
    rng = random.Random(0)
    said = [m for _ in range(1000) for m in talk.conversation(rng, 256, (instructions,))]
    asked = {message.text for message in said if message.role == "user"}
    assert len(asked & set(learnt)) > len(learnt) / 2 and not asked & set(kept)


@pytest.mark.parametrize("text", ['{"a": 1}', "[1]", '[{"text": "no instruction"}]', "no json"])
def test_a_file_that_is_no_instruction_set_is_refused(tmp_path, text):
    (tmp_path / "wrong.json").write_text(text)
    with pytest.raises(ValueError, match=r"wrong\.json"):
        talk.questions((str(tmp_path / "wrong.json"),))


def test_a_conversation_goes_to_and_fro_and_thinks_where_it_is_asked_to():
    rng, answers = random.Random(0), set()
    for _ in range(500):
        strength = rng.choice((STRENGTHS["minimal"], STRENGTHS["low"], STRENGTHS["high"]))
        messages = talk.conversation(rng, strength)
        assert [m.role for m in messages] == ["user", "assistant"] * (len(messages) // 2)
        assert all("{" not in m.text for m in messages if m.role == "user")
        assert all(bool(m.reasoning) == (strength >= STRENGTHS["low"]) for m in messages if m.role == "assistant")
        answers |= {m.text for m in messages if m.role == "assistant"}
    assert {talk.HELLO, talk.ABOUT, talk.ABLE, talk.UNKNOWN, talk.BLIND, talk.BYE} < answers


def test_the_example_that_it_gives_is_one_of_its_tasks():
    example = talk.ABLE.rpartition("Try: ")[2]
    assert "plus" in example or "+" in example
    rng = random.Random(0)
    drawn = {"".join(c for c in FAMILIES["chain_sum"].generate(rng, 1).question if not c.isdigit()) for _ in range(200)}
    assert "".join(c for c in example if not c.isdigit()) in drawn


def test_tasks_of_a_conversation_may_be_in_other_words(monkeypatch):
    monkeypatch.setattr(talk.wording, "changed", lambda problem, rng: replace(problem, question="Other words"))

    def asked(reworded):
        rng = random.Random(3)
        talks = [talk.conversation(rng, STRENGTHS["high"], reworded=reworded) for _ in range(200)]
        return [message.text for messages in talks for message in messages if message.role == "user"]

    assert "Other words" not in asked(0.0)
    assert 60 < asked(1.0).count("Other words") < 200
