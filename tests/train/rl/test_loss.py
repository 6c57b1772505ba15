import numpy as np
import pytest
import torch
from PIL import Image

from firesteel.format import patchify
from firesteel.model import Config, Muse
from firesteel.recipes.kindling import glimmer
from firesteel.train.batches import device_batch
from firesteel.train.learner import Learner
from firesteel.train.rl.loss import Weighted, advantages, cispo, decoupled, packed, shortest_right, token_logprobs
from firesteel.train.rl.rollouts import Spoken


def turn(prompt, ids, images=()):
    return Spoken(list(range(prompt)), list(images), list(range(100, 100 + ids)), [-0.1 * n for n in range(ids)])


def test_groups_without_variance_are_left_out_and_the_others_have_unit_deviation():
    same, one, other = advantages([[1, 1, 1], [1, 0, 0], [0.5, 0.25, 0]])
    assert same is None
    assert np.mean(one) == pytest.approx(0) and np.mean(other) == pytest.approx(0)
    assert np.std([*one, *other]) == pytest.approx(1)
    assert max(one) > max(other)  # the deviation is the batch's, not the group's


def test_a_batch_without_variance_teaches_nothing():
    assert advantages([[1, 1], [0, 0]]) == [None, None]


def test_what_thinking_costs_does_not_drown_in_right_and_wrong():
    rewards = [[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]]
    costs = [[-0.1, -0.3, -0.1, -0.3], [0.0] * 4, [-0.2, -0.1, -0.1, -0.2]]
    solved, half, mostly = decoupled(rewards, costs, 0.5)
    assert half == pytest.approx(advantages(rewards)[1])
    assert solved[0] == solved[2] == pytest.approx(-solved[1]) and solved[0] > 0.4  # as if all were about length
    assert mostly[1] > mostly[0] == mostly[3] > mostly[2]  # right and short, right, wrong
    assert decoupled(rewards, costs, 0.0)[0] is None


def test_the_shortest_of_the_right_samples_is_what_is_imitated():
    rewards, lengths = [[1.0, 0.0, 1.0, 0.5], [0.0, 0.5], [1.0, 1.0]], [[7, 1, 4, 2], [1, 1], [3, 3]]
    assert shortest_right(rewards, lengths) == [[0, 0, 1, 0], None, [1, 0]]


def test_every_sampled_token_is_learnt_once_with_its_own_advantage_and_no_token_of_a_prompt():
    turns = [Weighted(turn(5, n), float(n)) for n in (3, 9, 4, 12, 7)] + [Weighted(turn(6, 2), 2.0)]
    seen, prefixes = [], 0
    for rows in packed(turns, rows=2, length=20, pad=7):
        batch = rows.batch
        assert batch.ids.shape == (2, 20)
        for row in range(2):
            docs, mask = batch.docs[row], batch.mask[row].astype(bool)
            for number in set(docs[docs > 0]):
                whole = docs == number
                own = whole & mask
                (shared,) = set(batch.after[row, whole].tolist())
                if not own.any():  # a prompt but for its last token
                    prefixes += 1
                    assert shared == 0 and batch.ids[row, whole].tolist() == list(range(int(whole.sum())))
                    assert batch.positions[row, whole].tolist() == list(range(int(whole.sum())))
                    continue
                value = set(rows.advantage[row, own].tolist())
                assert len(value) == 1 and own.sum() == value.copy().pop()
                before = int((docs == shared).sum())
                assert batch.ids[row, whole].tolist() == [before, *range(100, 100 + int(own.sum()))]
                assert batch.positions[row, whole].tolist() == list(range(before, before + int(whole.sum())))
                assert rows.sampled[row, own] == pytest.approx([-0.1 * n for n in range(own.sum())])
                seen.append(value.pop())
            assert not mask[docs == 0].any() and (batch.ids[row, docs == 0] == 7).all()
    assert sorted(seen) == [2, 3, 4, 7, 9, 12]
    assert prefixes == 5


def test_samples_that_share_a_prompt_get_the_probabilities_that_they_have_alone():
    shape = glimmer(vocab=512, width=64, layers=4, heads=1, ffn=64, vision_width=64, vision_layers=1)
    shape["text_config"]["sliding_window"] = 16
    model = Muse(Config.from_dict(shape))
    model.init_weights(0)
    learner = Learner(model, torch.float32)
    picture = Image.radial_gradient("L").convert("RGB").resize((56, 56))
    prompt = [3, *[shape["image_token_id"]] * 4, 8, 9, 4, 6]
    turns = [Weighted(Spoken(prompt, [picture], list(range(50, 50 + n)), [0.0] * n), 0.0) for n in (5, 12, 8)]

    def logprobs(some, length):
        (rows,) = packed(some, rows=1, length=length, pad=0)
        hidden, targets = learner.hidden(device_batch(rows.batch, torch.device("cpu")))
        return token_logprobs(model.logits(hidden), targets)[0]

    together = logprobs(turns, 64)
    alone = torch.cat([logprobs([one], 40) for one in sorted(turns, key=lambda one: -len(one.turn.ids))])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    logits = model(torch.tensor([[*prompt, *turns[0].turn.ids]]), **pixels(picture))[0].log_softmax(-1)
    whole = logits[len(prompt) - 1 : -1].gather(-1, torch.tensor(turns[0].turn.ids)[:, None])[:, 0]
    torch.testing.assert_close(together[-5:], whole, atol=1e-4, rtol=1e-4)


def pixels(picture):
    patches, grid = patchify(picture)
    return {"pixel_values": torch.from_numpy(patches), "image_grid_thw": torch.tensor([grid])}


def test_pictures_stand_in_the_order_of_their_prompts():
    pictures = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in range(3)]
    turns = [Weighted(turn(4, 6 - n, [picture]), n) for n, picture in enumerate(pictures)]
    (rows,) = packed(turns, rows=1, length=40, pad=7)
    order = [int(rows.advantage[0][rows.batch.docs[0] == number].max()) for number in (2, 4, 6)]
    assert [image.getpixel((0, 0))[0] for image in rows.batch.images] == order


def test_a_ratio_beyond_the_cap_counts_as_the_cap_and_keeps_its_gradient():
    logprobs = torch.tensor([-0.1, -0.1], requires_grad=True)
    sampled = torch.tensor([-0.1, -9.0])
    cispo(logprobs, sampled, torch.tensor([1.0, 1.0]), cap=5.0).backward()
    assert logprobs.grad.tolist() == pytest.approx([-1.0, -5.0])


def test_log_probabilities_are_in_fp32():
    logits = torch.randn(4, 10, dtype=torch.bfloat16)
    found, entropy = token_logprobs(logits, torch.tensor([1, 2, 3, 4]))
    assert entropy == pytest.approx(torch.distributions.Categorical(logits=logits.float()).entropy().sum().item())
    assert found.dtype == torch.float32
    assert torch.equal(found, logits.float().log_softmax(-1)[torch.arange(4), torch.tensor([1, 2, 3, 4])])
