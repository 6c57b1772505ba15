from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from firesteel.engine import Engine, Prompt, Sampling
from tests.engine.tiny import EOS, WINDOW, picture_prompt, text_prompt

GREEDY = Sampling(max_tokens=20, temperature=0, top=3)
DRAWN = Sampling(max_tokens=12, seed=5, temperature=0.9, top_p=0.95, top_k=40, stop_ids=())


def run(engine, *jobs):
    while engine.busy:
        engine.step()
    return [job.rollouts for job in jobs]


def engine_of(pair, slots=4, context=64):
    return Engine(pair.ours, [EOS], slots=slots, context=context)


@pytest.mark.parametrize("length", [1, WINDOW - 1, 3 * WINDOW])
def test_greedy_equals_transformers_beyond_the_window(pair, length):
    prompt = text_prompt(length)
    engine = engine_of(pair)
    [[rollout]] = run(engine, engine.submit(prompt, sampling=GREEDY))
    assert rollout.token_ids == pair.greedy(prompt, 20)


def test_greedy_equals_transformers_with_pictures(pair):
    prompts = [picture_prompt(1), picture_prompt(2, ((1, 2, 4), (1, 6, 4)))]
    engine = engine_of(pair)
    jobs = [engine.submit(prompt, sampling=GREEDY) for prompt in prompts]
    for prompt, [rollout] in zip(prompts, run(engine, *jobs), strict=True):
        assert rollout.token_ids == pair.greedy(prompt, 20)


def test_greedy_equals_transformers_where_rows_join_and_leave(pair):
    prompts = [text_prompt(2, 1), text_prompt(19, 2), picture_prompt(3), text_prompt(9, 4), text_prompt(30, 5)]
    counts = [20, 5, 15, 8, 11]
    engine, jobs = engine_of(pair, slots=3), []
    for prompt, count in zip(prompts, counts, strict=True):
        jobs.append(engine.submit(prompt, sampling=Sampling(max_tokens=count, temperature=0)))
        engine.step()
        engine.step()
    for prompt, count, [rollout] in zip(prompts, counts, run(engine, *jobs), strict=True):
        expected = pair.greedy(prompt, count)
        assert rollout.token_ids == expected
        assert rollout.finish_reason == ("stop" if EOS in expected else "length")


def test_samples_of_one_prompt_are_those_of_lone_requests(pair):
    prompt = text_prompt(11)
    alone = []
    for index in range(4):
        engine = engine_of(pair)
        sampling = Sampling(max_tokens=12, seed=5 + index, temperature=0.9, top_p=0.95, top_k=40, stop_ids=())
        [[rollout]] = run(engine, engine.submit(prompt, sampling=sampling))
        alone.append(rollout.token_ids)
    assert len(set(map(tuple, alone))) > 1
    engine = engine_of(pair, slots=6)
    others = [engine.submit(text_prompt(25, 8), n=2, sampling=Sampling(max_tokens=4, seed=1, stop_ids=()))]
    engine.step()
    job = engine.submit(prompt, n=4, sampling=DRAWN)
    others.append(engine.submit(text_prompt(3, 9), sampling=Sampling(max_tokens=7, top_p=0.5)))
    run(engine, job, *others)
    assert [rollout.token_ids for rollout in job.rollouts] == alone


def test_more_samples_than_slots_share_one_reading(glimmer):
    prompt, counted = text_prompt(20), []
    read = glimmer.ours.hidden
    engine = engine_of(glimmer, slots=2)
    glimmer.ours.hidden = lambda ids, *rest, **named: counted.append(ids.shape[1]) or read(ids, *rest, **named)
    try:
        job = engine.submit(prompt, n=5, sampling=DRAWN)
        after = engine.submit(text_prompt(7, 3), sampling=GREEDY)
        run(engine, job, after)
    finally:
        del glimmer.ours.hidden
    assert counted == [20, 7]
    assert [rollout.cached_tokens for rollout in job.rollouts] == [0, 20, 20, 20, 20]
    engine = engine_of(glimmer, slots=5)
    [wide] = run(engine, engine.submit(prompt, n=5, sampling=DRAWN))
    assert [rollout.token_ids for rollout in job.rollouts] == [rollout.token_ids for rollout in wide]
    assert after.rollouts[0].token_ids == glimmer.greedy(after.prompt, 20)


def test_logprobs_are_those_of_the_whole_forward_pass(pair):
    prompt = picture_prompt(4)
    engine = engine_of(pair)
    sampling = Sampling(max_tokens=20, seed=3, temperature=0.5, top_k=3, top=4, stop_ids=())
    [rollouts] = run(engine, engine.submit(prompt, n=2, sampling=sampling))
    for rollout in rollouts:
        expected = pair.logprobs(prompt, rollout.token_ids)
        own = expected.gather(-1, torch.tensor(rollout.token_ids)[:, None])[:, 0]
        assert (torch.tensor(rollout.logprobs) - own).abs().max() < 2e-4
        best = expected.topk(4)
        assert [[token for token, _ in top] for top in rollout.top] == best.indices.tolist()
        values = torch.tensor([[value for _, value in top] for top in rollout.top])
        assert (values - best.values).abs().max() < 2e-4


def test_forced_tokens_come_first_and_do_not_end_a_sample(pair):
    prompt, forced = text_prompt(5), [*text_prompt(12, 3).ids, EOS, 7]
    engine = engine_of(pair)
    settings = [Sampling(max_tokens=count, temperature=0, forced=forced) for count in (0, 3)]
    jobs = [engine.submit(prompt, sampling=sampling) for sampling in settings]
    [[scored], [longer]] = run(engine, *jobs)
    assert scored.token_ids == forced and scored.finish_reason == "length"
    after = pair.greedy(Prompt([*prompt.ids, *forced]), 3)
    assert longer.token_ids == forced + after
    own = pair.logprobs(prompt, forced).gather(-1, torch.tensor(forced)[:, None])[:, 0]
    assert (torch.tensor(scored.logprobs) - own).abs().max() < 2e-4


def test_biases_and_penalties_of_one_row_leave_the_others(glimmer):
    engine = engine_of(glimmer)
    plain = engine.submit(text_prompt(5), sampling=GREEDY)
    barred = engine.submit(text_prompt(5), sampling=replace(GREEDY, logit_bias={EOS: -100, 9: 100}, max_tokens=3))
    varied = engine.submit(
        text_prompt(5),
        sampling=replace(GREEDY, logit_bias=dict.fromkeys(range(20, 26), 100), frequency_penalty=2, max_tokens=12),
    )
    run(engine, plain, barred, varied)
    assert plain.rollouts[0].token_ids == glimmer.greedy(text_prompt(5), 20)
    assert barred.rollouts[0].token_ids == [9, 9, 9]
    assert set(varied.rollouts[0].token_ids) <= set(range(20, 26))
    own = glimmer.logprobs(text_prompt(5), [9, 9, 9])[:, 9]
    assert (torch.tensor(barred.rollouts[0].logprobs) - own).abs().max() < 2e-4


def test_alternatives_only_where_asked_for(glimmer):
    engine = engine_of(glimmer)
    plain = engine.submit(text_prompt(3), sampling=Sampling(max_tokens=3))
    asked = engine.submit(text_prompt(3), sampling=Sampling(max_tokens=3, top=2))
    run(engine, plain, asked)
    assert plain.rollouts[0].top == []
    assert all(len(top) == 2 for top in asked.rollouts[0].top)


def test_a_shared_beginning_is_read_once(pair):
    first = picture_prompt(6)
    longer = Prompt([*first.ids, *text_prompt(6, 7).ids], first.pixels, first.grids)
    engine = engine_of(pair)
    for prompt, cached in ((first, 0), (longer, len(first.ids)), (longer, len(longer.ids))):
        [[rollout]] = run(engine, engine.submit(prompt, sampling=GREEDY))
        assert rollout.cached_tokens == cached
        assert rollout.token_ids == pair.greedy(prompt, 20)
    # Beyond the window the beginning alone is lost; another picture under the same ids is another prompt.
    other = Prompt(first.ids, first.pixels.flip(0), first.grids)
    for prompt in (first, other):
        [[rollout]] = run(engine, engine.submit(prompt, sampling=GREEDY))
        assert rollout.cached_tokens == 0
        assert rollout.token_ids == pair.greedy(prompt, 20)


def test_within_the_window_a_prompt_is_cut_back(glimmer):
    start = text_prompt(WINDOW)
    engine = engine_of(glimmer)
    run(engine, engine.submit(start, sampling=GREEDY))
    for prompt, cached in ((Prompt(start.ids[:5]), 4), (Prompt([*start.ids[:3], *text_prompt(20, 5).ids]), 3)):
        [[rollout]] = run(engine, engine.submit(prompt, sampling=GREEDY))
        assert rollout.cached_tokens == cached
        assert rollout.token_ids == glimmer.greedy(prompt, 20)


def test_cancelling_frees_the_row_at_once(glimmer):
    engine = engine_of(glimmer, slots=2)
    long = Sampling(max_tokens=50, seed=0, stop_ids=())
    jobs = [engine.submit(text_prompt(4, seed), sampling=long) for seed in range(3)]
    for _ in range(3):
        engine.step()
    assert [len(job.rollouts[0].token_ids) for job in jobs] == [3, 3, 0]
    engine.cancel(jobs[0])
    assert jobs[0].done and jobs[0].rollouts[0].finish_reason == "cancelled"
    engine.step()
    assert [len(job.rollouts[0].token_ids) for job in jobs] == [3, 4, 1]
    waiting = engine.submit(text_prompt(5), n=3, sampling=long)
    engine.cancel(waiting)
    engine.cancel(jobs[2].rollouts[0])
    assert not any(rollout.token_ids for rollout in waiting.rollouts)
    run(engine)
    alone = engine_of(glimmer)
    [[rollout]] = run(alone, alone.submit(text_prompt(4, 1), sampling=long))
    assert jobs[1].rollouts[0].token_ids == rollout.token_ids


def test_cancelling_some_waiting_samples_leaves_the_others(glimmer):
    engine = engine_of(glimmer, slots=2)
    job = engine.submit(text_prompt(6), n=4, sampling=DRAWN)
    engine.step()
    engine.cancel(job.rollouts[2])
    run(engine, job)
    assert [rollout.finish_reason for rollout in job.rollouts] == ["length", "length", "cancelled", "length"]
    assert not job.rollouts[2].token_ids


def test_the_end_of_the_context_is_an_end(glimmer):
    engine = engine_of(glimmer, context=16)
    [[rollout]] = run(engine, engine.submit(text_prompt(10), sampling=Sampling(stop_ids=())))
    assert (rollout.finish_reason, len(rollout.token_ids)) == ("length", 6)


def test_new_weights_after_refresh(glimmer):
    prompt, engine = text_prompt(6), engine_of(glimmer)
    [[before]] = run(engine, engine.submit(prompt, sampling=GREEDY))
    weight = glimmer.ours.lm_head.weight
    old = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.copy_(old.flip(0))
        engine.refresh()
        [[after]] = run(engine, engine.submit(prompt, sampling=GREEDY))
        expected = glimmer.logprobs(prompt, after.token_ids).argmax(-1).tolist()
    finally:
        with torch.no_grad():
            weight.copy_(old)
    assert after.cached_tokens == 0
    assert after.token_ids == expected != before.token_ids


@pytest.mark.parametrize(
    ("prompt", "options", "words"),
    [
        (Prompt([]), {}, "empty prompt"),
        (text_prompt(64), {}, "64 tokens leaves no room"),
        (text_prompt(3), {"n": 0}, "0 samples"),
        (text_prompt(3), {"sampling": Sampling(thinking_budget=3)}, "needs an engine with a tokenizer"),
        (text_prompt(3), {"sampling": Sampling(grammar='root ::= "a"')}, "needs an engine with a tokenizer"),
        (Prompt(picture_prompt().ids), {}, "do not fit"),
    ],
)
def test_what_cannot_be_served_is_refused(glimmer, prompt, options, words):
    with pytest.raises(ValueError, match=words):
        engine_of(glimmer).submit(prompt, **options)


def test_bf16_runs_the_model_itself(glimmer):
    model = deepcopy(glimmer.ours).to(torch.bfloat16)
    engine = Engine(model, [EOS], slots=2, context=40)
    [rollouts] = run(engine, engine.submit(picture_prompt(), n=2, sampling=DRAWN))
    assert all(len(rollout.token_ids) == 12 for rollout in rollouts)
