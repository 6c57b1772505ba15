"""Pools of answers, and what is learnt from them."""

import asyncio
import json
import random

import pytest

from firesteel.format import Tokenizer, render
from firesteel.tasks import get, make
from firesteel.train import operators
from firesteel.train.config import Mix
from firesteel.train.operators import Asked, conversation, gather, kinds, read
from firesteel.train.shards import draw_sample
from tests.agent.scripted import Scripted, says


def written(path, *asked):
    path.write_text("".join(json.dumps(vars(each)) + "\n" for each in asked))
    return (str(path),)


def asked_of(answers, name="chain_sum", number=3):
    problem, family = make(name, number), get(name)
    return Asked(name, 1, number, tuple(answers), tuple(family.check(problem, answer) for answer in answers))


@pytest.fixture
def pool(tmp_path):
    truth = make("chain_sum", 3).answer
    return written(tmp_path / "pool.jsonl", asked_of(["1", truth, "1", "2"]))


def drawn(pool, count=200, strength=256):
    rng = random.Random(7)
    return [conversation(rng, strength, pool) for _ in range(count)]


def test_all_operators_are_drawn_and_their_replies_are_true(pool):
    truth, seen = make("chain_sum", 3).answer, set()
    for (first, *between, reply), strength in drawn(pool):
        asked = between[-1].text
        assert first.text == make("chain_sum", 3).question
        if reply.reasoning:
            seen.add("refine")
            assert reply.text == truth and strength == 256 and "Other thinkers" in asked
        elif reply.text in ("yes", "no"):
            seen.add(reply.text)
            assert (asked == f"The answer is {truth}") == (reply.text == "yes") and strength == 0
        else:
            seen.add("choose")
            shown = [part.partition("\n")[2].split("\n")[0] for part in asked.split("Answer ")[1:]]
            assert shown[int(reply.text) - 1] == truth and sorted(shown) == sorted({"1", "2", truth})
    assert seen == {"refine", "choose", "yes", "no"}


def test_yes_and_no_are_alike_frequent(pool):
    said = [messages[-1].text for messages, _ in drawn(pool, 600)]
    assert 0.35 < said.count("yes") / (said.count("yes") + said.count("no")) < 0.65


def test_where_none_is_right_nothing_is_to_be_chosen(tmp_path):
    pool, truth = written(tmp_path / "p.jsonl", asked_of(["1", "2"])), make("chain_sum", 3).answer
    replies = {messages[-1].text for messages, _ in drawn(pool)}
    assert replies == {truth, "yes", "no"}
    yes = [messages for messages, _ in drawn(pool) if messages[-1].text == "yes"]
    assert {messages[-2].text for messages in yes} == {f"The answer is {truth}"}


def test_one_of_each_kind_is_shown_and_at_most_four():
    shown = kinds(random.Random(0), ["a", "A.", "b", "", "c", "d", "d", "e", "e"])
    assert len(shown) == 4 and {"d", "e"} <= set(shown) and len({one.strip(".").lower() for one in shown}) == 4


def test_what_is_learnt_is_the_reply_alone(pool):
    mix, rng, tokenizer = Mix(operators=1.0, pools=pool), random.Random(1), Tokenizer.default()
    for _ in range(20):
        sample = draw_sample(rng, mix, tokenizer)
        assert 0 < sum(sample.mask) < len(sample.ids) / 2
    messages, strength = conversation(random.Random(1), 256, pool)
    assert render(messages, strength=strength, tokenizer=tokenizer, generation_prompt=False).loss_mask[0] == 0


def test_a_share_without_pools_says_what_to_do():
    with pytest.raises(ValueError, match="firesteel data answers"):
        draw_sample(random.Random(0), Mix(operators=1.0), Tokenizer.default())


def test_a_damaged_pool_names_the_line(tmp_path, pool):
    for line in ("{", '{"family": "count"}', "[1]", json.dumps(vars(asked_of(["1"])) | {"number": None, "x": 1})):
        path = tmp_path / f"{len(line)}.jsonl"
        path.write_text(f"{json.dumps(vars(asked_of(['1', '2'])))}\n{line}\n")
        with pytest.raises(ValueError, match="line 2: not a question"):
            read(str(path))


def test_only_what_is_disputed_is_kept(tmp_path):
    out = tmp_path / "pool.jsonl"
    truths = {}

    def answer(number):
        return lambda request: says(number(request))

    def right(request):
        for name in ("chain_sum", "equation"):
            for problem in truths.get(name, ()):
                if problem.question == request.messages[0].text:
                    return problem.answer
        return "?"

    rng = random.Random("operators/0")
    for _ in range(2):
        for name in ("chain_sum", "equation"):
            truths.setdefault(name, []).append(make(name, rng.randrange(operators.HELD_OUT), 1))
    backend = Scripted(*[answer(right)] * 4, *[answer(right), answer(lambda request: "0")] * 2)
    asyncio.run(gather(backend, out, ["chain_sum", "equation"], 2, levels=(1,), samples=2))
    (first, second) = read(str(out))
    assert {first.right, second.right} == {(True, False)} and {first.family, second.family} <= set(truths)
    assert first.number < operators.HELD_OUT and first.problem.answer == first.answers[0]
    with pytest.raises(FileExistsError):
        asyncio.run(gather(backend, out, ["equation"], 1))


def test_where_one_asker_fails_the_other_stops(tmp_path):
    asked = []

    class Failing(Scripted):
        async def stream(self, request):
            asked.append(request)
            if len(asked) == 1:
                raise ValueError("refused")
            await asyncio.sleep(0.01)
            async for delta in super().stream(request):
                yield delta

    async def work():
        with pytest.raises(ValueError, match="refused"):
            await gather(Failing(*["1"] * 40), tmp_path / "p.jsonl", ["chain_sum"], 20, levels=(1,), samples=2)
        before = len(asked)
        await asyncio.sleep(0.1)
        assert len(asked) == before

    asyncio.run(work())


def test_an_empty_pool_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="holds no question"):
        conversation(random.Random(0), 64, written(tmp_path / "p.jsonl"))
