"""Muon for hidden matrices, AdamW for everything else, in one optimiser with one state dictionary.

Muon (Jordan et al. 2024) replaces a matrix's momentum by its nearest semi-orthogonal matrix, found with five
Newton-Schulz steps, in bf16 where that is fast. Matrices of equal shape are orthogonalised together in one batched
product, which is what makes it cheap for small models. Updates are scaled by 0.2*sqrt(max(rows, columns)), so that
their size matches AdamW's and one learning rate serves both (Liu et al. 2025, arXiv 2502.16982). Sharded parameters are
updated shard by shard; only Muon's matrices travel (`firesteel.train.parallel.on_whole_matrices`). Routers are AdamW's:
they are heads over the experts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from firesteel.train.parallel import local, on_whole_matrices

_NS = (3.4445, -4.7750, 2.0315)  # quintic coefficients with the steepest slope at zero (Jordan et al. 2024)


def orthogonalise(g: Tensor, steps: int = 5, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """(N, R, C) -> (N, R, C): each matrix's singular values pushed towards 1."""
    x = g.to(dtype)
    wide = x.size(1) <= x.size(2)
    if not wide:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = _NS
    for _ in range(steps):
        gram = x @ x.mT  # (N, R, R)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.mT).to(g.dtype)


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Muon's share: matrices inside layers and projectors; not embeddings, heads, patch or position tables."""
    if parameter.ndim < 2:
        return False
    outside = ("embed_tokens", "lm_head", "patch_embedding", "position_embedding", "mlp.gate.", "conv", "glyphs")
    return not any(part in name for part in outside)


class MuonAdamW(torch.optim.Optimizer):
    """See the module. Groups carry `muon: bool`; 3-D parameters (stacked experts) are orthogonalised per matrix."""

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        adam_lr_scale: float,
        weight_decay: float,
        muon: bool = True,
        dtype: torch.dtype = torch.bfloat16,
    ):
        self.dtype = dtype  # of the Newton-Schulz products
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        hidden = [p for n, p in named if is_hidden_matrix(n, p)]
        chosen = {id(p) for p in hidden}
        rest = [p for _, p in named if id(p) not in chosen]
        groups = [
            {"params": hidden, "muon": muon, "scale": 1.0 if muon else adam_lr_scale, "weight_decay": weight_decay},
            {"params": rest, "muon": False, "scale": adam_lr_scale, "weight_decay": 0.0},
        ]
        super().__init__([g for g in groups if g["params"]], {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            (self._muon if group["muon"] else self._adamw)(group)

    def _muon(self, group: dict, momentum: float = 0.95) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for p in group["params"]:
            if p.grad is not None:
                by_shape[p.shape].append(p)
        lr = group["lr"] * group["scale"]
        for shape, params in by_shape.items():
            directions = []
            for p in params:
                assert p.grad is not None
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                grad, average = local(p.grad), local(state["momentum"])
                average.lerp_(grad, 1 - momentum)
                directions.append(grad.lerp(average, momentum))  # Nesterov
            scale = 0.2 * max(shape[-2:]) ** 0.5
            for p, update in zip(params, self._orthogonal(params, directions), strict=True):
                local(p).mul_(1 - lr * group["weight_decay"]).add_(update, alpha=-lr * scale)

    def _orthogonal(self, params: list[Tensor], directions: list[Tensor]) -> Sequence[Tensor]:
        """What this rank holds of the orthogonalised directions of parameters of one shape."""
        first = params[0]
        if isinstance(first, DTensor) and first.ndim == 2:
            work = partial(orthogonalise, dtype=self.dtype)
            return on_whole_matrices(directions, first.shape[0], first.device_mesh.get_group(), work)
        # Whole matrices: the parameters themselves, or the experts that this rank owns.
        stacked = torch.stack(directions)
        return orthogonalise(stacked.view(-1, *stacked.shape[-2:]), dtype=self.dtype).view_as(stacked).unbind()

    def _adamw(self, group: dict, betas: tuple[float, float] = (0.9, 0.95), eps: float = 1e-8) -> None:
        lr = group["lr"] * group["scale"]
        by_step: dict[float, list[Tensor]] = defaultdict(list)  # a tower that saw no picture lags behind
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
            state["step"] += 1
            by_step[state["step"].item()].append(p)
        for steps, params in by_step.items():
            grads = [local(p.grad) for p in params if p.grad is not None]
            first, second = ([local(self.state[p][name]) for p in params] for name in ("exp_avg", "exp_avg_sq"))
            torch._foreach_lerp_(first, grads, 1 - betas[0])
            torch._foreach_mul_(second, betas[1])
            torch._foreach_addcmul_(second, grads, grads, 1 - betas[1])
            denominators = torch._foreach_sqrt(second)
            torch._foreach_div_(denominators, (1 - betas[1] ** steps) ** 0.5)
            torch._foreach_add_(denominators, eps)
            weights = [local(p) for p in params]
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
            torch._foreach_addcdiv_(weights, first, denominators, -lr / (1 - betas[0] ** steps))


def trapezoid(step: int, steps: int, warmup: int, decay: float) -> float:
    """The learning rate's factor at `step`: linear warm-up, plateau, linear decay to zero over the last part."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    fall = min(1.0, (steps - step) / max(1.0, decay * steps))
    return min(rise, fall)
