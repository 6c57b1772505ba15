import dataclasses
import json

import pytest

from firesteel.recipes import RECIPES, RL_RECIPES
from firesteel.train.config import Mix, Run, from_dict, override


def test_override_reaches_nested_values():
    assignments = ["stages.sft.optim.lr=0.001", "stages.0.steps=7", "model.text_config.head_dim=32"]
    run = override(RECIPES["smoke"](), assignments)
    assert run.stages[1].optim.lr == 0.001
    assert run.stages[0].steps == 7
    assert run.model["text_config"]["head_dim"] == 32
    assert RECIPES["smoke"]().stages[0].steps != 7  # the recipe itself is untouched


def test_override_accepts_lists_and_integers_for_floats():
    run = override(RECIPES["smoke"](), ["sources=a.txt,b.txt.xz", "stages.sft.optim.clip=2"])
    assert run.sources == ("a.txt", "b.txt.xz")
    assert run.stages[1].optim.clip == 2.0


@pytest.mark.parametrize("word, value", [("true", True), ("False", False)])
def test_override_reads_truth_in_either_spelling(word, value):
    assert override(RECIPES["smoke"](), [f"compile={word}"]).compile is value


@pytest.mark.parametrize("strengths, levels", [("low", "2"), ("low,", "2,"), ("['low']", "[2]")])
def test_override_takes_one_value_where_several_may_stand(strengths, levels):
    assignments = [f"phases.accuracy.strengths={strengths}", f"phases.accuracy.levels={levels}"]
    phase = override(RL_RECIPES["kindling"](), assignments).phases[0]
    assert (phase.strengths, phase.levels) == (("low",), (2,))


@pytest.mark.parametrize(
    "assignment", ["nothing=1", "stages.sft.lr=1", "stages.9.steps=1", "seed=fast", "seed", "seed.deep=1", "model.x=1"]
)
def test_override_refuses_what_does_not_exist(assignment):
    with pytest.raises(ValueError):
        override(RECIPES["smoke"](), [assignment])


def test_override_calls_a_recipe_with_what_it_takes():
    run = override(RECIPES["ladder"], ["size=512", "sparse=True", "stages.0.rows=8"])
    assert run.model["text_config"]["hidden_size"] == 512 and run.model["model_type"] == "muse_spark"
    assert run.stages[0].rows == 8
    assert override(RECIPES["smoke"], []) == RECIPES["smoke"]()
    with pytest.raises(ValueError, match="size is a int"):
        override(RECIPES["ladder"], ["size=big"])


def test_kindling_judges_answers_where_it_is_given_some():
    assert "operators" not in {stage.name for stage in RECIPES["kindling"]().stages}
    *_, last = override(RECIPES["kindling"], ["pools=a.jsonl,b.jsonl", "stages.operators.steps=7"]).stages
    assert (last.name, last.steps, last.mix.pools) == ("operators", 7, ("a.jsonl", "b.jsonl"))


def test_a_run_comes_back_from_json():
    run = RECIPES["kindling"]()
    data = json.loads(json.dumps(dataclasses.asdict(run)))
    assert from_dict(Run, data) == run
    del data["keep_every"]
    assert from_dict(Run, data) == run
    with pytest.raises(ValueError, match="unknown key 'stagez'"):
        from_dict(Run, data | {"stagez": 1})


def test_a_mix_weighs_every_strength():
    with pytest.raises(ValueError, match="five strengths"):
        Mix(strengths=(0.5, 0.5))
