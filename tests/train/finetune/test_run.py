import asyncio
import json

import pytest

from firesteel.backends import open_backend
from firesteel.backends.base import Request, complete
from firesteel.format import Message
from firesteel.train.finetune.run import tune

TALKS = [("What is your name?", "Ember"), ("Who made you?", "A tinker in Oslo")]


def written(path, *talks):
    rows = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in talks]
    path.write_text("\n".join(json.dumps({"messages": row}) for row in rows))
    return str(path)


def answer(address, question, **options):
    async def ask():
        backend = open_backend(address, slots=1, **options)
        request = Request(messages=[Message("user", question)], strength=1, temperature=0, max_tokens=12)
        (said,) = await complete(backend, request)
        await backend.close()
        return said.parse().answer

    return asyncio.run(ask())


def test_the_packaged_model_answers_as_taught_in_both_engines(tmp_path):
    data = written(tmp_path / "data.jsonl", *TALKS)
    tuned = tune([data], "kindling", tmp_path / "out", holdout=0, epochs=12, batch=2, rate=4e-3, rehearse=0)
    assert tuned.addresses == [str(tmp_path / "out"), str(tmp_path / "out" / "model.gguf")]
    assert tuned.report.updates == 12
    for question, said in TALKS:
        assert answer(tuned.addresses[0], question) == said
        assert answer(tuned.addresses[1], question, threads=1, context=512) == said


def test_any_checkpoint_is_tuned_serves_and_says_how_it_was_made(llama, tmp_path):
    words = ("the", "quick", "brown", "fox", "red")
    data = written(tmp_path / "data.jsonl", *((f"count {word}", word) for word in words), ("x" * 400, "long"))
    tuned = tune([data], f"hf:{llama}", tmp_path / "out", holdout=0.2, epochs=3, batch=2, rate=1e-2, length=100)
    assert (tuned.samples, tuned.held_out, tuned.long) == (4, 1, 1)
    record = json.loads((tmp_path / "out" / "sft.json").read_text())
    assert record["report"]["before"] > record["report"]["after"]
    assert record["settings"]["rate"] == 1e-2
    assert tuned.addresses == [f"hf:{tmp_path / 'out'}"]
    assert answer(tuned.addresses[0], "count fox")


def test_our_models_rehearse_beside_what_is_held_out(muse, tmp_path):
    data = written(tmp_path / "data.jsonl", *((f"count {n}", f"{n} circles") for n in range(10)))
    tuned = tune([data], str(muse), tmp_path / "out", holdout=0.2, epochs=0.5, batch=4, rehearse=0.5)
    assert (tuned.samples, tuned.held_out, tuned.rehearsed) == (8, 2, 8)
    assert tuned.report.updates == 2  # half an epoch of sixteen in fours
    assert answer(tuned.addresses[0], "count") is not None
    short = tune([data], str(muse), tmp_path / "short", epochs=0.1, batch=4, rehearse=0.5, length=300)
    assert 0 < short.rehearsed < short.samples
    with pytest.raises(ValueError, match="rehearsal"):
        tune([data], str(muse), tmp_path / "other", rehearse=1.0)


def test_what_cannot_be_tuned_is_refused_before_anything_is_learnt(muse, tmp_path):
    data = written(tmp_path / "data.jsonl", *TALKS)
    with pytest.raises(ValueError, match="no empty directory"):
        tune([data], str(muse), tmp_path)
    with pytest.raises(ValueError, match="--length"):
        tune([data], str(muse), tmp_path / "a", length=5)
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(ValueError, match=r"no example in .*none\.json"):
        tune([str(tmp_path / "none.json")], str(muse), tmp_path / "d")
    with pytest.raises(ValueError, match="greater than 0"):
        tune([data], str(muse), tmp_path / "e", rate=0.0)
    with pytest.raises(ValueError, match="lower --holdout"):
        tune([data], str(muse), tmp_path / "f", holdout=0.9)
    with pytest.raises(ValueError, match=r"transformers cannot load .*elsewhere"):
        tune([data], f"hf:{tmp_path / 'elsewhere'}", tmp_path / "b")
    call = {"id": "a", "function": {"name": "two words", "arguments": {}}}
    row = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]}
    (tmp_path / "bad.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match=r"bad.jsonl, line 1: .*two words"):
        tune([str(tmp_path / "bad.jsonl")], str(muse), tmp_path / "c")
