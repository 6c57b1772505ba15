"""Many processes, one run: what `torchrun` starts is joined here, and the learner is spread over it.

- Every rank takes its slice of the rows of each batch and adds to the same sums, so batches are a function of the step
  whatever the number of ranks, and N ranks draw the curve that one draws (up to rounding).
- Dense parameters are sharded by FSDP2 (`fully_shard`, a group for each layer and one for the rest). Stacked experts
  are not gathered: each rank owns some of them whole and tokens travel to their experts and back (expert parallelism
  over all ranks, two all-to-alls a layer, as in GShard, arXiv 2006.16668).
- Muon needs whole matrices. Gathering would make every rank orthogonalise all of them; instead the matrices of one
  shape are dealt out, each rank gets every row of its share, orthogonalises and sends the rows back: the arithmetic is
  divided by the ranks and less is sent than in gathering.
- fp32 is what is sent. The run's directory must be one that all ranks see.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Shard

from firesteel.model import Muse
from firesteel.model.moe import Experts, MoE, grouped_product
from firesteel.model.norms import activation


@dataclass(frozen=True)
class Ranks:
    """This process's number, how many there are, and the mesh that joins them (None where there is one)."""

    rank: int = 0
    size: int = 1
    mesh: DeviceMesh | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def add(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in place."""
        if self.mesh is not None:
            dist.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Until every rank is here."""
        if self.mesh is not None:
            dist.barrier()


def join(kind: str) -> Ranks:
    """Joins the processes that `torchrun` started (its environment variables say so); alone without it.

    `kind` is the device's: NCCL joins "cuda", Gloo "cpu". The caller ends it with `leave`.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks()
    if kind == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    return Ranks(dist.get_rank(), size, init_device_mesh(kind, (size,)))


def leave(ranks: Ranks) -> None:
    if ranks.mesh is not None:
        dist.destroy_process_group()


def local(tensor: Tensor) -> Tensor:
    """What this rank holds of it; shares memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full(tensor: Tensor) -> Tensor:
    """All of it; every rank must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


# ---------------------------------------------------------------- the model


def spread(learner: nn.Module, model: Muse, ranks: Ranks) -> None:
    """Shards `learner` (which holds `model`, on its device, alike on every rank) in place; nothing where alone.

    Raises ValueError where the experts cannot be dealt out evenly.
    """
    if ranks.mesh is None:
        return
    owned: set[nn.Parameter] = set()
    for layer in model.model.language_model.layers:
        if isinstance(layer.mlp, MoE):
            experts = layer.mlp.experts = SpreadExperts(layer.mlp.experts, ranks)
            owned |= {experts.gate_up_proj, experts.down_proj}
    for module in (*model.model.language_model.layers, *model.model.vision_tower.layers, learner):
        fully_shard(module, mesh=ranks.mesh, ignored_params=owned)
        assert isinstance(module, FSDPModule)
        # Each rank's loss is its part of one mean, so gradients add up; Gloo knows no other reduction than the sum.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)


def whole(model: Muse, ranks: Ranks) -> Muse | None:
    """The model as one process has it, on the first rank; None on the others. Every rank must call it."""
    if ranks.mesh is None:
        return model
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if not ranks.first:
        return None
    with torch.device("meta"):
        gathered = Muse(model.config)
    gathered.load_state_dict(state, assign=True)
    return gathered


class SpreadExperts(Experts):
    """Experts of which each rank owns as many whole ones; tokens are sent to the owner and their results back."""

    def __init__(self, experts: Experts, ranks: Ranks) -> None:
        nn.Module.__init__(self)
        assert ranks.mesh is not None
        count = len(experts.gate_up_proj)
        if count % ranks.size:
            raise ValueError(f"{count} experts cannot be dealt out to {ranks.size} processes; start a divisor of them")
        self.act, self.post_expert_norm, self.ranks = experts.act, experts.post_expert_norm, ranks
        for name in ("gate_up_proj", "down_proj"):
            mine = getattr(experts, name).detach().chunk(ranks.size)[ranks.rank].clone()
            setattr(self, name, nn.Parameter(DTensor.from_local(mine, ranks.mesh, [Shard(0)])))

    @torch.compiler.disable  # the number of rows that arrive differs
    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """x (N, P), weights and chosen (N, k) -> (N, P), as `Experts.forward`."""
        count, size = len(self.gate_up_proj), self.ranks.size
        expert, order = chosen.flatten().sort(stable=True)  # (N k) pairs: those of one expert, so of one rank, together
        sent = torch.bincount(expert, minlength=count)  # (X,) rows for each expert
        got = torch.empty_like(sent)  # (ranks X/ranks): from each rank, rows for each expert of ours
        dist.all_to_all_single(got, sent)
        outward, inward = (counts.view(size, -1).sum(1).tolist() for counts in (sent, got))
        rows = exchange(x[order // chosen.shape[1]], outward, inward)
        ours = torch.arange(count // size, device=x.device).repeat(size).repeat_interleave(got)
        ours, by_expert = ours.sort(stable=True)
        gate, up = grouped_product(rows[by_expert], local(self.gate_up_proj), ours).chunk(2, dim=-1)
        out = self.post_expert_norm(grouped_product(activation(self.act, gate) * up, local(self.down_proj), ours))
        out = exchange(out[by_expert.argsort()], inward, outward) * weights.flatten()[order, None]
        return out[order.argsort()].unflatten(0, chosen.shape).sum(dim=1).to(x.dtype)


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, outward: list[int], inward: list[int]) -> Tensor:
        ctx.ways = inward, outward
        out = x.new_empty(sum(inward), *x.shape[1:])
        dist.all_to_all_single(out, x.contiguous(), inward, outward)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return exchange(grads[0], *ctx.ways), None, None


def exchange(x: Tensor, outward: list[int], inward: list[int]) -> Tensor:
    """x (M, …): its first `outward[0]` rows go to rank 0, the next to rank 1, … -> (sum of inward, …), by sender.

    Gradients travel back the same way.
    """
    return _Exchange.apply(x, outward, inward)


# ---------------------------------------------------------------- the optimiser


def on_whole_matrices(
    mine: Sequence[Tensor], rows: int, group: dist.ProcessGroup, function: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """This rank's rows of n matrices (R, C) -> the same rows of `function` of each; R is `rows`.

    `function` maps (n, R, C) to the same shape, matrix by matrix, and keeps rows of zeros zero: uneven shards are
    filled up with such rows. Each matrix is worked on by one rank.
    """
    size, columns = group.size(), mine[0].shape[1]
    height = -(-rows // size)  # of a full shard
    share = -(-len(mine) // size)  # matrices a rank works on
    stacked = mine[0].new_zeros(size * share, height, columns)
    for place, shard in zip(stacked, mine, strict=False):
        place[: len(shard)] = shard
    dealt = torch.empty_like(stacked)  # (ranks share, height, C): the rows of my matrices, by the rank that held them
    dist.all_to_all_single(dealt, stacked, group=group)
    matrices = dealt.view(size, share, height, columns).transpose(0, 1).reshape(share, size * height, columns)
    done = function(matrices).view(share, size, height, columns).transpose(0, 1).reshape(stacked.shape)
    dist.all_to_all_single(stacked, done.contiguous(), group=group)
    return [place[: len(shard)] for place, shard in zip(stacked, mine, strict=False)]
