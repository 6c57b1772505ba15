import pytest
import torch
from torch import nn

from firesteel.train.optim import MuonAdamW, is_hidden_matrix, orthogonalise, trapezoid


@pytest.mark.parametrize("shape", [(3, 16, 48), (3, 48, 16), (1, 32, 32)])
def test_orthogonalised_singular_values_are_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape), dtype=torch.float32))
    assert values.min() > 0.3 and values.max() < 1.3


def test_which_parameters_are_hidden_matrices():
    matrix = torch.zeros(4, 4)
    assert is_hidden_matrix("model.language_model.layers.0.mlp.up_proj.weight", matrix)
    assert is_hidden_matrix("model.language_model.layers.0.mlp.gate_proj.weight", matrix)
    assert not is_hidden_matrix("model.language_model.layers.0.mlp.gate.weight", matrix)  # a router
    assert not is_hidden_matrix("lm_head.weight", matrix)
    assert not is_hidden_matrix("model.language_model.embed_tokens.weight", matrix)
    assert not is_hidden_matrix("model.language_model.norm.weight", torch.zeros(4))


def test_adamw_share_equals_torch():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    mine = MuonAdamW(ours, lr=1e-2, adam_lr_scale=1.0, weight_decay=0.0, muon=False)
    reference = torch.optim.AdamW(theirs.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(5):
        x = torch.randn(7, 5, generator=torch.Generator().manual_seed(step))
        for model, optimiser in ((ours, mine), (theirs, reference)):
            model(x).square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-5, atol=1e-6)


def test_what_joins_late_does_not_disturb_the_others():
    """AdamW's correction for the first steps belongs to each parameter: a tower may see its first picture late."""
    torch.manual_seed(0)
    late, early = nn.Linear(3, 3), nn.Linear(3, 3)
    alone = nn.Linear(3, 3)
    alone.load_state_dict(early.state_dict())
    both = MuonAdamW(nn.ModuleList([late, early]), lr=1e-2, adam_lr_scale=1.0, weight_decay=0.0, muon=False)
    one = MuonAdamW(alone, lr=1e-2, adam_lr_scale=1.0, weight_decay=0.0, muon=False)
    x = torch.ones(2, 3)
    for step in range(4):
        (early(x).square().sum() + (late(x).sum() if step == 3 else 0)).backward()
        alone(x).square().sum().backward()
        for optimiser in (both, one):
            optimiser.step()
            optimiser.zero_grad()
    assert torch.equal(early.weight, alone.weight)


def test_muon_lowers_a_loss_that_a_matrix_can_solve():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16, bias=False))
    target = torch.randn(16, 16) * 0.3
    optimiser = MuonAdamW(model, lr=0.05, adam_lr_scale=1.0, weight_decay=0.0, dtype=torch.float32)
    losses = []
    for _ in range(60):
        loss = (model[0].weight - target).square().mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_trapezoid_rises_holds_and_falls():
    rates = [trapezoid(step, 100, warmup=10, decay=0.5) for step in range(100)]
    assert rates[0] == 0.1 and rates[9:51] == [1.0] * 42
    assert rates[75] == 0.5 and rates[99] == pytest.approx(0.02)
