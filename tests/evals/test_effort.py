"""A backend whose accuracy and lengths are known, asked, killed, resumed, merged and summarised."""

import asyncio
import json

import numpy as np
import pytest
from PIL import Image

from firesteel.backends import Delta
from firesteel.evals import effort, effort_plot, growth
from firesteel.evals.effort import BRIEF, Key, Model, Record, Settings, conditions, missing, plan, powers, problems
from firesteel.evals.effort_report import Findings, to_json
from firesteel.evals.stats import crossed_bootstrap
from firesteel.tasks import make

K = 8
SETTINGS = Settings(samples=K, max_tokens=100)
FAMILIES = ("chain_sum", "compare")


class Known:
    """Right in the first `right[strength]` of K samples, after `length[strength]` tokens of thought."""

    tokenizer = None
    context = None
    slots, parallel = K, True
    name = "known"

    def __init__(self, right, length, keys, stop_after=None):
        self.right, self.length, self.stop_after = right, length, stop_after
        self.answers = {make(*key).question: make(*key).answer for key in keys}
        self.asked = []

    async def stream(self, request):
        if self.stop_after is not None and len(self.asked) == self.stop_after:
            raise KeyboardInterrupt
        text = request.messages[0].text
        question = text.removesuffix("\n" + BRIEF)
        self.asked.append((question, request.strength, question != text, request.thinking_budget))
        thought = self.length[request.strength]
        if question != text:
            thought //= 2
        if request.thinking_budget is not None:
            thought = min(thought, request.thinking_budget)
        for index in range(request.n):
            right = index < self.right[request.strength]
            pieces = [" to=self<|message|>", *["x"] * thought, "<|eom|>", "<|start|>assistant to=user<|message|>"]
            pieces += [self.answers[question] if right else f"no{index}", "<|eot|>"]
            for at, piece in enumerate(pieces):
                if at == request.max_tokens:
                    break
                yield Delta(index=index, text=piece, token_ids=(1,))
            else:
                yield Delta(index=index, finish_reason="stop", prompt_tokens=5)
                continue
            yield Delta(index=index, finish_reason="length", prompt_tokens=5)

    async def close(self):
        pass


BEFORE = ({16: 2, 64: 4, 256: 6}, {16: 10, 64: 20, 256: 60})
AFTER = ({16: 4, 64: 6, 256: 6}, {16: 8, 64: 20, 256: 30})


def ask(path, arms, asked, keys, **options):
    """Asks what is missing; returns findings and how many pools were asked."""
    models = [Model(arm, arm, f"weights of {arm}") for arm in arms]
    record = Record(path, SETTINGS)
    jobs = missing(plan(models, asked, keys), record)
    for model in models:
        backend = Known(*arms[model.arm], keys, options.get("stop_after"))
        asyncio.run(effort.ask(backend, [job for job in jobs if job[0] == model], record, SETTINGS))
    return Findings(models, asked, keys, record, SETTINGS, options.get("held_out", ())), len(jobs)


ASKED = conditions(["high", "low", "medium"], brief=True, budgets=[5, 30])
KEYS = problems(FAMILIES, (1, 2), 3, (0,))


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    path = tmp_path_factory.mktemp("effort") / "record.jsonl"
    return ask(path, {"before": BEFORE, "after": AFTER}, ASKED, KEYS, held_out=["compare"])[0]


@pytest.fixture(scope="module")
def groups(findings):
    return findings.groups()


def test_conditions_rise_and_baselines_use_the_highest_strength():
    assert [(c.name, c.strength, c.baseline) for c in ASKED] == [
        ("low", 16, False),
        ("medium", 64, False),
        ("high", 256, False),
        ("be brief", 256, True),
        ("budget 5", 256, True),
        ("budget 30", 256, True),
    ]
    with pytest.raises(ValueError, match="strength"):
        conditions([])


def test_problems_are_held_out_and_missing_levels_are_left_out():
    assert len(KEYS) == 2 * 2 * 3 and min(key.number for key in KEYS) == 1_000_000_000
    assert not set(KEYS) & set(problems(FAMILIES, (1, 2), 3, (1,)))
    with pytest.raises(ValueError, match="nothing to ask"):
        problems(["chain_sum"], (99,), 3, (0,))


def test_estimates_are_exact(groups):
    points = groups["all"].points["before"]
    for name, right, thought in [("low", 2, 10), ("medium", 4, 20), ("high", 6, 60), ("budget 5", 6, 5)]:
        point = points[name]
        assert point.pass_at[1] == point.accuracy.mean == right / K
        assert point.pass_at[K] == 1 and set(point.pass_at) == set(powers(K)) == {1, 2, 4, 8}
        assert point.tokens == point.median_tokens == point.p95_tokens == thought + 2  # and what wraps it
        assert (point.answer_tokens, point.truncated, point.empty) == (3, 0, 0)
        assert point.distinct == K - right + 1
    assert points["low"].pass_at[2] == pytest.approx(1 - (6 * 5) / (8 * 7))
    assert points["low"].majority == 1  # all others say different things
    assert points["low"].auc_oaa == pytest.approx(2 / K * (1 - 12 / 100))
    assert points["low"].f1 == pytest.approx(2 * 0.22 * 0.25 / (0.22 + 0.25))
    assert points["be brief"].tokens == 32


def test_baselines_are_asked_of_the_first_model_alone(groups):
    assert set(groups["all"].points["after"]) == {"low", "medium", "high"}


def test_strengths_are_ordered_and_a_gain_has_an_interval(groups):
    steps = groups["all"].steps["before"]
    assert [(step.low, step.high, step.shorter, step.inverted) for step in steps] == [
        ("low", "medium", 0.0, False),
        ("medium", "high", 0.0, False),
    ]
    assert steps[0].gain.mean == pytest.approx(0.25) and steps[0].gain.low == pytest.approx(0.25)


def test_an_inverted_order_is_told(tmp_path):
    inverted = ({16: 6, 64: 2}, {16: 30, 64: 20})
    found, _ = ask(tmp_path / "r.jsonl", {"m": inverted}, conditions(["low", "medium"], False), KEYS)
    (step,) = found.groups()["all"].steps["m"]
    assert step.shorter == 1 and step.inverted and step.gain.mean == -0.5


def test_tokens_saved_at_each_strength(groups):
    changes = {change.condition: change for change in groups["all"].changes}
    assert changes["high"].accuracy.mean == 0
    assert changes["high"].tokens.mean == pytest.approx(32 / 62 - 1)
    assert changes["high"].claim == "-48.4% [-48.4%, -48.4%] thinking tokens at +0.0 pt [+0.0, +0.0] accuracy"


def test_tokens_at_equal_accuracy_are_interpolated(groups):
    equals = {(equal.arm, equal.against): equal for equal in groups["all"].equals}
    equal = equals["after", "before, strengths"]
    assert equal.accuracy == pytest.approx(0.74)  # both reach 0.75
    assert equal.other_tokens == pytest.approx(22 + 40 * (0.24 / 0.25))
    assert equal.tokens == pytest.approx(10 + 12 * (0.24 / 0.25))
    assert equal.saved.mean == pytest.approx(equal.tokens / equal.other_tokens - 1)
    # The budgets are as right with 5 tokens as with 30: the cheapest counts.
    assert equals["after", "before, budgets"].other_tokens == pytest.approx(7)
    assert ("before", "before, budgets") in equals and ("before", "before, strengths") not in equals


def test_groups_stand_apart(groups):
    assert list(groups) == ["all", "trained", "held out", "level 1", "level 2", "chain_sum", "compare"]
    assert groups["held out"] == groups["compare"] and groups["trained"].problems == 6
    assert groups["level 1"].points["before"]["low"].f1 is None


def test_chance_is_measured_on_the_other_problems(groups):
    """Sums differ, so another problem's answer is wrong; which of two is larger is often answered alike."""
    assert groups["chain_sum"].points["before"]["high"].chance < 0.5
    assert 0 <= groups["compare"].points["before"]["high"].guess <= 1


def test_truncated_is_wrong(tmp_path):
    long = ({16: K}, {16: 200})
    found, _ = ask(tmp_path / "r.jsonl", {"m": long}, conditions(["low"], False), KEYS)
    point = found.groups()["all"].points["m"]["low"]
    assert (point.truncated, point.accuracy.mean, point.majority, point.tokens) == (1, 0, 0, 100)


def test_a_killed_run_asks_nothing_twice(tmp_path):
    path, asked = tmp_path / "r.jsonl", conditions(["low", "high"], False)
    with pytest.raises(KeyboardInterrupt):
        ask(path, {"m": BEFORE}, asked, KEYS, stop_after=7)
    assert len(path.read_text().splitlines()) == 8
    with path.open("a") as file:
        file.write('{"arm": "m", "wei')  # the kill tore a line
    _, rest = ask(path, {"m": BEFORE}, asked, KEYS)
    assert rest == len(KEYS) * 2 - 7
    _, nothing = ask(path, {"m": BEFORE}, asked, KEYS)
    assert nothing == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert len({(tuple(row["key"]), row["condition"]) for row in rows}) == len(rows) == len(KEYS) * 2


def test_records_of_other_seeds_merge(tmp_path):
    asked = conditions(["low"], False)
    for seed in (0, 1):
        ask(tmp_path / f"{seed}.jsonl", {"m": BEFORE}, asked, problems(FAMILIES, (1,), 3, (seed,)))
    merged = tmp_path / "merged.jsonl"
    merged.write_text((tmp_path / "0.jsonl").read_text() + (tmp_path / "1.jsonl").read_text())
    found, missed = ask(merged, {"m": BEFORE}, asked, problems(FAMILIES, (1,), 3, (0, 1)))
    assert missed == 0 and found.groups()["all"].problems == 12


def test_other_settings_and_damaged_records_are_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    Record(path, SETTINGS)
    with pytest.raises(ValueError, match="--out"):
        Record(path, Settings(samples=4))
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(ValueError, match="line 2"):
        Record(path, SETTINGS)


def test_a_record_that_was_killed_before_its_head_gets_one(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"sett')
    Record(path, SETTINGS)
    with pytest.raises(ValueError, match="--out"):
        Record(path, Settings(samples=4))


def test_models_of_one_arm_are_one(tmp_path):
    record = Record(tmp_path / "r.jsonl", SETTINGS)
    asked, keys = conditions(["low"], False), problems(["chain_sum"], (1,), 4, (0,))
    models = [Model("a", "x", "1"), Model("b", "y", "2"), Model("b", "z", "3")]
    for model, right in zip(models, (2, 4, 8), strict=True):
        backend = Known({16: right}, {16: 10}, keys)
        jobs = [job for job in plan(models, asked, keys) if job[0] == model]
        asyncio.run(effort.ask(backend, jobs, record, SETTINGS))
    (change,) = Findings(models, asked, keys, record, SETTINGS).groups()["all"].changes
    assert change.accuracy.mean == pytest.approx(0.75 - 0.25)
    assert (change.accuracy.low, change.accuracy.high) == (
        pytest.approx(0.25),
        pytest.approx(0.75),
    )  # either of the two models alone


def test_a_model_is_known_by_its_weights(tmp_path):
    for name, weights in (("a", b"one"), ("b", b"two"), ("c", b"one")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    a, b, c = (effort.model_of(f"arm={tmp_path / name}") for name in "abc")
    assert a.weights == c.weights != b.weights and a.arm == "arm"
    server = effort.model_of("openai:http://host/v1?a=b#m")
    assert server.arm == server.address == server.weights == "openai:http://host/v1?a=b#m"
    assert len(effort.model_of("kindling").weights) == 16


def test_results_can_be_kept_and_drawn(findings, groups, tmp_path):
    found = json.loads(json.dumps(to_json(findings, groups)))
    assert found["groups"]["all"]["points"]["before"]["low"]["pass_at"]["1"] == 0.25
    assert found["claims"][2].startswith("after, high: -48.4%")
    effort_plot.draw_effort(findings, groups, tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").width > 1500


def test_growth_with_compute(tmp_path):
    arms = {"0": ({16: 2}, {16: 10})} | {
        f"{10.0**e:.0e}": ({16: right}, {16: 20}) for e, right in zip((12, 13, 14, 15), (3, 4, 5, 6), strict=True)
    }
    found, _ = ask(tmp_path / "r.jsonl", arms, conditions(["low"], False), KEYS)
    grown = growth.growth(found.groups()["all"], K)
    assert list(grown.points) == [0, 1e12, 1e13, 1e14, 1e15]
    line = grown.fits["pass@1"]["log-linear"]
    assert line.parameters["slope"] == pytest.approx(1 / K) and line.r2 == pytest.approx(1)
    assert grown.fits["pass@1"]["sigmoid"].parameters["R0"] == 0.25
    assert grown.fits["pass@k"]["log-linear"].r2 == 0  # flat: all samples together always hit
    effort_plot.draw_growth(grown, tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").width > 1000
    assert growth.rows(grown)[1][0] == "1e+12"
    json.dumps(growth.to_json({"all": grown}))
    with pytest.raises(ValueError, match="FLOPS=ADDRESS"):
        growth.compute_of("step 8")


def test_crossed_bootstrap_covers_the_truth():
    """Problems differ in difficulty, models in skill; the interval holds the difference about as often as it says."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        difficulty = rng.normal(0, 0.2, 80)
        first, second = (np.clip(mean + difficulty + rng.normal(0, 0.05, (1, 80)), 0, 1) for mean in (0.55, 0.5))
        found = crossed_bootstrap(first, second, rounds=400)
        hits += found.low <= 0.05 <= found.high
    assert 0.9 <= hits / 200 <= 0.99


def test_crossed_bootstrap_relative_and_refusals():
    first, second = np.array([[1.0, 3.0]]), np.array([[4.0, 4.0]])
    assert crossed_bootstrap(first, second, relative=True).mean == -0.5
    with pytest.raises(ValueError, match="same problems"):
        crossed_bootstrap(first, second[:, :1])
    with pytest.raises(ValueError, match="relative"):
        crossed_bootstrap(first, second * 0, relative=True)


def test_a_key_names_a_problem():
    assert make(*Key("chain_sum", 7, 2)) == make("chain_sum", 7, 2)
