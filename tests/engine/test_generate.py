from firesteel.engine import Sampling, generate
from tests.engine.tiny import EOS, picture_prompt, text_prompt


def test_greedy_in_a_batch_equals_transformers(pair):
    prompts = [text_prompt(3, 1), picture_prompt(2), text_prompt(21, 3).ids]
    rollouts = generate(pair.ours, prompts, [EOS], sampling=Sampling(max_tokens=10, temperature=0), slots=2)
    expected = [pair.greedy(prompt, 10) for prompt in (*prompts[:2], text_prompt(21, 3))]
    assert [sample.token_ids for [sample] in rollouts] == expected


def test_equal_prompts_give_different_samples_and_the_seed_repeats_them(glimmer):
    def ids(seed):
        sampling = Sampling(max_tokens=8, seed=seed, stop_ids=())
        rollouts = generate(glimmer.ours, [text_prompt(4)] * 2, [EOS], n=2, sampling=sampling, slots=3)
        return [tuple(sample.token_ids) for samples in rollouts for sample in samples]

    assert len(set(ids(1))) == 4
    assert ids(1) == ids(1) != ids(2)


def test_nothing_to_do(glimmer):
    assert generate(glimmer.ours, [], [EOS]) == []


def test_forced_tokens_take_nothing_from_the_others(glimmer):
    def tokens(count):
        sampling = Sampling(max_tokens=count, forced=[5] * 4, stop_ids=())
        [[sample]] = generate(glimmer.ours, [text_prompt(4)], [EOS], sampling=sampling)
        return sample.token_ids

    assert tokens(0) == [5] * 4 and len(tokens(3)) == 7
