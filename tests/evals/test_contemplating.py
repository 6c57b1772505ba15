import asyncio
import json
import random

import pytest
from PIL import Image

from firesteel.backends import Delta
from firesteel.evals.contemplating import ONE, Record, Settings, measure, plot, problems, summary, to_json
from firesteel.tasks import make
from firesteel.tasks.base import HELD_OUT
from tests.agent.scripted import says

N = 12
SETTINGS = Settings("mostly", agents=(1, 4, 8))


class Mostly:
    """Right with the given chance where it is sampled, never when it is alone; longer when wrong."""

    name = "mostly"
    tokenizer = None
    context = None
    slots, parallel = 8, True

    def __init__(self, chance: float) -> None:
        self.chance, self.rng = chance, random.Random(0)
        self.answers = {}
        for seed in (0, 1):
            for i in range(N):
                problem = make("chain_sum", HELD_OUT * (seed + 1) + i, 1)
                self.answers[problem.question] = problem.answer

    async def stream(self, request):
        right = self.answers[request.messages[0].text]
        texts = []
        for _ in range(request.n):
            good = request.temperature > 0 and self.rng.random() < self.chance
            texts.append(says(right, "y" * 20) if good else says(str(self.rng.randint(1000, 9999)), "n" * 60))
        for index, text in enumerate(texts):
            for at in range(0, len(text), 10):
                yield Delta(index=index, text=text[at : at + 10], token_ids=(1,))
                await asyncio.sleep(0)
            yield Delta(index=index, finish_reason="stop", prompt_tokens=5)

    async def close(self):
        pass


@pytest.fixture(scope="module")
def results():
    record, keys = Record(SETTINGS), problems(["chain_sum"], N, (0, 1))
    asyncio.run(measure(Mostly(0.6), keys, record))
    return record.results(keys)


def test_every_strategy_meets_the_same_problems(results):
    assert {len(outcomes) for outcomes in results.values()} == {2 * N}
    assert {"majority@8", "short-3@8", "best of 4", "contemplating, 8 agents", "one thinker, longer"} < set(results)


def test_voting_helps_who_is_mostly_right_and_the_gain_is_sure(results):
    rows = {row.strategy: row for row in summary(results)}
    assert rows[ONE].accuracy == 0 and rows[ONE].gain.mean == 0
    for name in ("majority@8", "contemplating, 8 agents", "short-3@8"):
        assert rows[name].accuracy > 0.9 and rows[name].gain.low > 0.5
    assert 0.3 < rows["majority@1"].accuracy < 0.9


def test_costs_are_those_of_the_strategy(results):
    rows = {row.strategy: row for row in summary(results)}
    assert rows["majority@4"].total_tokens > 3 * rows["majority@1"].total_tokens
    assert rows["majority@8"].critical_tokens < rows["majority@8"].total_tokens / 4
    assert rows["short-1@8"].critical_tokens <= rows["short-3@8"].critical_tokens <= rows["majority@8"].critical_tokens
    assert rows["contemplating, 8 agents"].total_tokens <= rows["majority@8"].total_tokens
    assert rows["contemplating, 8 agents"].seconds is not None and rows["majority@8"].seconds is None


def test_results_can_be_kept_and_drawn(results, tmp_path):
    assert len(json.loads(json.dumps(to_json(results)))["outcomes"][ONE]) == 2 * N
    plot(summary(results), tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").width > 800


def test_unknown_families_are_refused():
    with pytest.raises(ValueError, match="nonsense"):
        problems(["nonsense"], 1, [0])


def test_a_run_that_was_cut_off_goes_on_where_it_was(tmp_path):
    path, keys = tmp_path / "made" / "r.jsonl", problems(["chain_sum"], 4, (0, 1))
    seen = []

    async def cut_off():
        backend = Mostly(0.6)

        def progress():
            seen.append(1)
            if len(seen) == 3:
                raise KeyboardInterrupt

        await measure(backend, keys, Record(SETTINGS, path), progress)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(cut_off())
    with path.open("a") as file:
        file.write('{"problem": ["chain_sum", 1')  # torn by a kill
    record = Record(SETTINGS, path)
    assert list(record.met) == keys[:3] and len(record.results(keys)[ONE]) == 3
    before = dict(record.met)
    asyncio.run(measure(Mostly(0.6), keys, record))
    again = Record(SETTINGS, path)
    assert again.met == record.met and list(again.met) == keys and before.items() <= again.met.items()
    assert len(again.results(keys[:5])["majority@8"]) == 5


def test_a_record_that_was_killed_before_its_head_gets_one(tmp_path):
    path = tmp_path / "r.jsonl"
    path.touch()
    for _ in range(2):
        keys = problems(["chain_sum"], 1, (0,))
        asyncio.run(measure(Mostly(0.6), keys, record := Record(SETTINGS, path)))
    assert list(record.met) == keys


def test_a_record_of_something_else_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    Record(SETTINGS, path)
    with pytest.raises(ValueError, match="line 1: it was made with other settings"):
        Record(Settings("other", agents=(1, 4, 8)), path)
    path.write_text(path.read_text() + "rubbish\n")
    with pytest.raises(ValueError, match="line 2"):
        Record(SETTINGS, path)
