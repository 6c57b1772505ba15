from itertools import islice

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from firesteel.engine import Sampling
from firesteel.engine.sampling import Controls, adjust, random_numbers, sample

VOCABULARY = 50


def logits_of(rows, seed=0):
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 2


def controls_of(*rows):
    return Controls(rows, VOCABULARY, torch.device("cpu"))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.4),
        Sampling(top_k=5),
        Sampling(top_p=0.6),
        Sampling(temperature=1.7, top_k=20, top_p=0.8),
        Sampling(top_p=1e-6),
    ],
)
def test_shares_are_those_of_transformers(sampling):
    logits = logits_of(1)
    expected = TemperatureLogitsWarper(sampling.temperature)(None, logits)
    if sampling.top_k:
        expected = TopKLogitsWarper(sampling.top_k)(None, expected)
    if sampling.top_p < 1:
        expected = TopPLogitsWarper(sampling.top_p)(None, expected)
    count = 4000
    even = [(number + 0.5) / count for number in range(count)]  # every share is hit as often as it should be
    drawn = sample(logits.expand(count, -1), controls_of(*[sampling] * count), even)
    shares = torch.bincount(drawn, minlength=VOCABULARY) / count
    assert (shares - expected.softmax(-1)[0]).abs().max() <= 1.5 / count
    assert set(drawn.tolist()) <= set(expected[0].isfinite().nonzero().flatten().tolist())


def test_rows_keep_their_own_settings():
    logits = logits_of(4)
    rows = [Sampling(temperature=0), Sampling(top_k=1), Sampling(top_p=1e-6), Sampling()]
    best = logits.argmax(-1)
    for number in (0.0, 0.3, 1 - 2**-53):
        drawn = sample(logits, controls_of(*rows), [number] * 4)
        assert drawn[:3].tolist() == best[:3].tolist()
        assert drawn[3] == sample(logits[3:], controls_of(rows[3]), [number])[0]


def test_biases_ban_and_penalties_count():
    logits = torch.zeros(6)
    sampling = Sampling(logit_bias={0: 1.5, 1: -100, 2: -99}, presence_penalty=0.5, frequency_penalty=-0.25)
    adjust(logits, sampling, [0, 3, 3, 1])
    assert logits.tolist() == [1.25, float("-inf"), -99, 0, 0, 0]


@pytest.mark.parametrize("number", [0.0, 0.5, 1 - 2**-53])
def test_masked_tokens_are_never_drawn(number):
    logits = logits_of(1)
    logits[:, :10] = logits[:, 40:] = float("-inf")
    for sampling in (Sampling(), Sampling(top_k=45), Sampling(temperature=0), Sampling(temperature=1e-4)):
        assert 10 <= sample(logits, controls_of(sampling), [number]).item() < 40


def test_random_numbers_follow_the_seed():
    first, again, other = (list(islice(random_numbers(seed), 300)) for seed in (7, 7, 8))
    assert first == again != other
    assert all(0 <= number < 1 for number in first)
    assert len(set(first)) == 300
    assert list(islice(random_numbers(-1), 3))  # any integer is a seed


@pytest.mark.parametrize(
    "settings",
    [
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"top": -1},
    ],
)
def test_settings_without_sense_are_refused(settings):
    with pytest.raises(ValueError):
        Sampling(**settings)
