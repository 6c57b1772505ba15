"""Runs of reinforcement learning as functions that return an `RLRun`; the policy they start from is named apart."""

from __future__ import annotations

from firesteel.train.config import Optim
from firesteel.train.rl.config import Phase, RLRun

# Measured and never trained on: charts, clocks, shapes, arithmetic and lists each lose one.
HELD_OUT = ("line_chart", "clock", "geometry", "product", "sorting")
# Where thoughts have something to lose: the price of compression took low ones, and what they were for, to nothing.
_HIGH = ("high", "xhigh")


def kindling_rl() -> RLRun:
    """Accuracy, compression, low strength, extension, operators; level 3 and `HELD_OUT` are never trained on."""
    return RLRun(
        name="kindling-rl",
        phases=(
            Phase(name="accuracy", steps=20, levels=(1, 2), strengths=_HIGH, calls=0.1),
            Phase(name="compress", steps=60, strengths=_HIGH, mastered=True, penalty=0.6),
            # A terse thought is half as long and wrong more often: low learns to think enough, at a price.
            Phase(name="low", steps=200, levels=(1, 2), strengths=("low", "low", "medium", "high"), penalty=0.3),
            Phase(name="extend", steps=20, levels=(2,), strengths=_HIGH, calls=0.1, penalty=0.25),
            Phase(name="operators", steps=40, levels=(1, 2), calls=0.1, penalty=0.25, refine=0.5),
        ),
        held_out=HELD_OUT,
        prompts=12,
        samples=12,
        measure_every=20,
        measured=6,
        # Noise costs accuracy with the square of the rate: 4e-4 without a fall took twelve points in 40 updates.
        optim=Optim(lr=1.5e-4, adam_lr_scale=1.0, weight_decay=0.0, warmup=5, muon=False),
    )


def smoke_rl() -> RLRun:
    """A minute on anything: proves that every phase works."""
    return RLRun(
        name="smoke-rl",
        phases=(
            Phase(name="accuracy", steps=2, calls=0.3),
            Phase(name="compress", steps=2, penalty=1.0, refine=0.4),
        ),
        families=("chain_sum", "letters"),
        held_out=("strings",),
        prompts=4,
        samples=4,
        max_tokens=64,
        rows=4,
        slots=8,
        measure_every=2,
        measured=2,
        compile=False,
        checkpoint_every=1,
    )
