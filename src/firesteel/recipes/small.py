"""The whole recipe scaled down to half an hour on two cores: what each stage is for can be seen, text tasks only.

A million parameters learn four families in mixed lengths of thought, a third of them in another length than strength
asks for: reinforcement can only choose among what it finds.
"""

from __future__ import annotations

from firesteel.recipes.kindling import glimmer
from firesteel.tasks import FAMILIES
from firesteel.train.config import Mix, Optim, Run, Stage
from firesteel.train.rl.config import Phase, RLRun

_LEARNT = ("chain_sum", "letters", "compare", "strings")
_TEXT = tuple(name for name, family in FAMILIES.items() if not family.visual)


def small() -> Run:
    return Run(
        name="small",
        model=glimmer(vocab=1024, width=128, layers=4, heads=2, ffn=384, vision_width=64, vision_layers=1),
        vocab_size=1024,
        tokenizer_samples=1500,
        stages=(
            Stage(name="pretrain", steps=300, rows=16, length=320, mix=Mix(families=_TEXT), optim=Optim(decay=0.1)),
            Stage(
                name="sft",
                steps=1600,
                rows=16,
                length=320,
                mix=Mix(families=_LEARNT, spread=0.35),
                optim=Optim(warmup=20, decay=0.7),
            ),
        ),
    )


def small_rl() -> RLRun:
    return RLRun(
        name="small-rl",
        phases=(
            Phase(name="accuracy", steps=45),
            Phase(name="compress", steps=40, strengths=("high", "xhigh"), mastered=True, penalty=0.6),
        ),
        families=_LEARNT,
        prompts=16,
        samples=12,
        max_tokens=200,
        length=320,
        rows=8,
        measured=16,
        optim=Optim(lr=2e-4, adam_lr_scale=1.0, weight_decay=0.0, warmup=3, decay=0.7, muon=False),
    )
