"""What a run of reinforcement learning is: phases over one policy, as frozen dataclasses.

The phases of the recipe follow the published story of Muse Spark: accuracy first, then a price on thinking
(compression), then a lower price on harder problems (extension), then the operators of Contemplating. Between the
second and the third low strengths learn to think enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from firesteel.format import STRENGTHS
from firesteel.train.config import Optim

# Muon's updates have one size whatever the gradient's; here most of a gradient is noise.
_ADAMW = Optim(lr=2e-4, adam_lr_scale=1.0, weight_decay=0.0, warmup=5, muon=False)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """`steps` updates on problems of `levels`, asked with one of `strengths`, named as `format.STRENGTHS` names them.

    Where thinking is free, low strengths learn to think like high ones, and are right as often.
    `mastered` draws most what is mostly right, where answers differ in length alone; else what is right half the time.
    `penalty` is what the price of thinking (`reward.PENALTY`) weighs beside being right, each by its own deviation; 0:
    thinking is free. `imitate` learns the shortest right sample of each group and nothing from the others, which is
    what compression is compared with. `refine` is the largest share of prompts that show other answers, as a round of
    refinement does, or ask for the best of them: there are as many as problems on which the samples disagree. `calls`
    is the share of the others that have tools; their strengths are low to high, whatever `strengths` says.
    """

    name: str
    steps: int
    levels: tuple[int, ...] = (1,)
    strengths: tuple[str, ...] = ("low", "medium", "high", "xhigh")
    mastered: bool = False
    penalty: float = 0.0
    imitate: bool = False
    refine: float = 0.0
    calls: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.refine < 1 or not 0 <= self.calls <= 1 or self.penalty < 0:
            raise ValueError(f"Phase {self.name}: refine and calls are shares, and the penalty is not negative.")
        if not self.strengths or not set(self.strengths) <= set(STRENGTHS):
            raise ValueError(f"Phase {self.name}: strengths are some of {', '.join(STRENGTHS)}.")


@dataclass(frozen=True, kw_only=True)
class RLRun:
    """A run. Each update draws `prompts` problems, `samples` answers of each, at most `max_tokens` long.

    `families` are trained on, empty means all but `held_out`, which are only measured. Rows of `length` tokens hold the
    samples, `rows` of them a pass. Every `measure_every` updates `measured` unseen problems of each family are asked,
    greedily; when accuracy falls more than `tolerance` and its standard error below its best, the penalty halves.
    """

    name: str
    phases: tuple[Phase, ...]
    families: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    prompts: int = 16
    samples: int = 16
    max_tokens: int = 256
    length: int = 512
    rows: int = 8
    ratio_cap: float = 5.0  # CISPO's epsilon_max
    slots: int = 32
    measure_every: int = 10
    measured: int = 4
    tolerance: float = 0.02
    optim: Optim = _ADAMW
    seed: int = 0
    precision: str = "auto"
    compile: bool = True
    checkpoint_every: int = 5
    keep_every: int = 0  # sets the model aside as a directory every so many updates, for `firesteel bench curve`
