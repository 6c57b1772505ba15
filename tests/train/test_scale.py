import dataclasses

import pytest
import torch
import torch.nn.functional as F

from firesteel.model import Config, Muse
from firesteel.recipes.kindling import glimmer
from firesteel.recipes.ladder import spark
from firesteel.train.batches import Packed
from firesteel.train.optim import MuonAdamW
from firesteel.train.scale import BASE_LR, learning_rate, scale

SIZES = (64, 128, 192, 256, 384, 512, 640, 1024, 2048, 4096)
FALLING = ("lr", "weight_decay")


@pytest.mark.parametrize("sparse", [False, True])
def test_what_the_dial_decides_is_monotone(sparse):
    rungs = [dataclasses.asdict(scale(size, sparse)) for size in SIZES]
    for name in rungs[0]:
        values = [rung[name] for rung in rungs]
        assert values == sorted(values, reverse=name in FALLING), name
    for name in ("parameters", "tokens", "steps", *FALLING):
        assert len({rung[name] for rung in rungs}) == len(SIZES), name


def test_the_base_is_what_was_tuned():
    assert scale(256).lr == BASE_LR
    assert scale(256).tokens / scale(256).parameters == pytest.approx(10.5, rel=0.02)
    assert scale(1024).experts == 0 and scale(1024, sparse=True).experts == 256


def test_a_longer_run_has_larger_batches_and_a_lower_rate_and_decay():
    short, long = scale(256), scale(256, ratio=42.0)
    assert long.tokens > 3.9 * short.tokens
    assert long.weight_decay < short.weight_decay
    # The part of the run that weights average over falls with tokens per parameter, as fitted: 4^-0.527.
    parts = [1 / (rung.lr * rung.weight_decay * rung.steps) for rung in (short, long)]
    assert parts[1] / parts[0] == pytest.approx(4**-0.527, rel=0.05)


@pytest.mark.parametrize("size", [0, 32, 100, 320, 200])
def test_a_width_without_whole_heads_is_refused(size):
    with pytest.raises(ValueError, match="multiple of 128"):
        scale(size)


def coordinates(width, sparse, lr):
    """Root mean squares of activations before an update, of their change by it, and by how much the loss fell."""
    shape = {"vocab": 512, "width": width, "layers": 4, "heads": width // 64, "vision_width": 64, "vision_layers": 1}
    shape |= {"experts": 8, "experts_per_token": 2} if sparse else {"ffn": 3 * width}
    model = Muse(Config.from_dict(spark(**shape) if sparse else glimmer(**shape)))
    model.init_weights(0)
    body = model.model.language_model
    seen = {}
    body.norm.register_forward_pre_hook(lambda module, inputs: seen.update(stream=inputs[0].detach()))
    body.layers[2].mlp.register_forward_hook(lambda module, inputs, out: seen.update(mlp=out.detach()))
    body.layers[2].self_attn.register_forward_hook(lambda module, inputs, out: seen.update(attention=out.detach()))
    ids = torch.randint(0, 500, (4, 64), generator=torch.Generator().manual_seed(1))
    optimiser = MuonAdamW(model, lr, adam_lr_scale=0.75, weight_decay=0.0, dtype=torch.float32)
    states, losses = [], []
    for _ in range(2):
        logits = model.logits(body(body.embed(ids), Packed(torch.ones_like(ids), model.config.text)))
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        states.append(dict(seen))
        losses.append(loss.item())
    before, after = states
    start = {name: before[name].square().mean().sqrt().item() for name in before}
    change = {name: (after[name] - before[name]).square().mean().sqrt().item() for name in before}
    return start, change | {"loss": losses[0] - losses[1]}


@pytest.mark.parametrize("sparse", [False, True])
def test_activations_and_their_change_are_alike_from_width_64_to_512(sparse):
    """The coordinate check of muP, in the linear regime: a twentieth of the learning rate."""

    def spread(measured):
        return {name: max(m[name] for m in measured) / min(m[name] for m in measured) for name in measured[0]}

    widths = (64, 128, 512)
    starts, changes = zip(*(coordinates(width, sparse, learning_rate(width) / 20) for width in widths), strict=True)
    assert max(spread(starts).values()) < 1.1
    assert max(spread(changes).values()) < (1.6 if sparse else 1.4)
    if not sparse:  # the check can fail: one rate for all widths moves wide models far more
        _, flat = zip(*(coordinates(width, sparse, BASE_LR / 20) for width in (64, 512)), strict=True)
        assert min(spread(flat).values()) > 2
