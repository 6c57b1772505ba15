import numpy as np
import pytest
import torch
from PIL import Image

from firesteel.train.rl.loss import Weighted, advantages, cispo, packed, token_logprobs
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


def test_every_sampled_token_is_learnt_once_with_its_own_advantage_and_no_token_of_a_prompt():
    turns = [Weighted(turn(5, n), float(n)) for n in (3, 9, 4, 12, 7)]
    seen = []
    for rows in packed(turns, rows=2, length=20, pad=7):
        assert rows.batch.ids.shape == (2, 20)
        for row in range(2):
            docs, mask = rows.batch.docs[row], rows.batch.mask[row].astype(bool)
            for number in set(docs[docs > 0]):
                own = (docs == number) & mask
                value = set(rows.advantage[row, own].tolist())
                assert len(value) == 1 and own.sum() == value.copy().pop()
                assert rows.batch.ids[row, own].tolist() == list(range(100, 100 + int(own.sum())))
                assert rows.sampled[row, own] == pytest.approx([-0.1 * n for n in range(own.sum())])
                assert ((docs == number) & ~mask).sum() == 5
                seen.append(value.pop())
            assert not mask[docs == 0].any() and (rows.batch.ids[row, docs == 0] == 7).all()
    assert sorted(seen) == [3, 4, 7, 9, 12]


def test_pictures_stand_in_the_order_of_their_prompts():
    pictures = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in range(3)]
    turns = [Weighted(turn(4, 6 - n, [picture]), n) for n, picture in enumerate(pictures)]
    (rows,) = packed(turns, rows=1, length=40, pad=7)
    order = [int(rows.advantage[0][rows.batch.docs[0] == number].max()) for number in (1, 2, 3)]
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
