import random

import pytest
import torch
import torch.nn.functional as F

from firesteel.train.finetune.fit import PASS_TOKENS, PATIENCE, Sample, Settings, fit, judge, padded, passes, split

VOCAB = 12


class Table:
    """Foretells each token from the one before it."""

    def __init__(self):
        self.model = torch.nn.Embedding(VOCAB, VOCAB)
        torch.nn.init.zeros_(self.model.weight)

    def optimiser(self, rate):
        return torch.optim.AdamW(self.model.parameters(), rate)

    def loss(self, samples):
        ids, learnt = padded(samples, 0, torch.device("cpu"))
        return F.cross_entropy(self.model(ids[:, :-1])[learnt[:, 1:]], ids[:, 1:][learnt[:, 1:]], reduction="sum")


def counting(rng):
    """Counts upwards from a number; only the second half is learnt."""
    start, length = rng.randrange(4), rng.randrange(4, 8)
    return Sample(list(range(start, start + length)), [0] * (length // 2) + [1] * (length - length // 2))


def test_padding_stands_behind_and_is_never_learnt():
    ids, learnt = padded([Sample([5, 6, 7], [1, 0, 1]), Sample([8], [1])], 9, torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert learnt.int().tolist() == [[0, 0, 1], [0, 0, 0]]  # nothing foretells the first token


def test_held_out_samples_are_the_same_in_any_order_and_never_taught():
    rng = random.Random(0)
    talks = [(f"{n}", [Sample([n, k], [0, 1]) for k in range(2)]) for n in range(100)]  # of two samples each
    talks += [(key, [Sample([sample.ids[0], 7], [0, 1]) for sample in samples]) for key, samples in talks]
    taught, held = split(talks, 0.1)
    assert (len(taught), len(held)) == (360, 40)
    assert not {s.ids[0] for s in taught} & {s.ids[0] for s in held}
    assert {s.ids[0] for s in split(rng.sample(talks, 200), 0.1)[1]} == {s.ids[0] for s in held}
    assert split(talks, 0)[1] == []


def test_passes_hold_every_sample_once_and_no_more_than_fits():
    samples = [Sample([0] * n, [1] * n) for n in (10, 5000, 3000, 9000, 20, 4000)]
    groups = [[len(s.ids) for s in group] for group in passes(samples)]
    assert sorted(n for group in groups for n in group) == sorted(len(s.ids) for s in samples)
    assert all(len(group) == 1 or max(group) * len(group) <= PASS_TOKENS for group in groups)
    assert groups[0] == [9000]


def test_loss_falls_and_is_the_mean_over_learnt_tokens():
    rng = random.Random(1)
    samples, held = ([counting(rng) for _ in range(n)] for n in (40, 8))
    learner = Table()
    assert judge(learner, held) == pytest.approx(torch.tensor(float(VOCAB)).log().item())
    report = fit(learner, samples, held, Settings(rate=0.3, epochs=4, batch=8))
    assert report.updates == report.planned == 20
    assert report.after < 0.3 * report.before
    assert judge(learner, held) == pytest.approx(report.after)


def test_the_best_weights_are_kept_and_a_run_in_vain_stops():
    """What is taught contradicts what is held out, so the first judgement is the best."""
    learner = Table()
    taught, held = [Sample([1, 2], [0, 1])] * 8, [Sample([1, 3], [0, 1])]
    report = fit(learner, taught, held, Settings(rate=0.1, epochs=40, batch=8))
    assert (report.kept, report.updates, report.planned) == (4, 4 * (1 + PATIENCE), 40)
    assert judge(learner, held) == pytest.approx(report.after)
    assert report.after > report.before


def test_without_held_out_samples_the_last_weights_stay():
    learner = Table()
    report = fit(learner, [Sample([1, 2], [0, 1])], [], Settings(rate=0.1, epochs=6, batch=2))
    assert (report.before, report.after, report.kept) == (None, None, 3)
    assert report.training[-1] < report.training[0]


@pytest.mark.parametrize("wrong", [{"holdout": 1.0}, {"epochs": 0}, {"batch": 0}, {"rate": 0.0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError):
        Settings(**{"rate": 0.1} | wrong)
