"""`ladder`: pretraining runs of every size from one dial, dense or sparse; `smoke_sparse` proves the sparse form.

`firesteel train ladder --set size=256` trains the longest horizon and keeps checkpoints of its plateau. Shorter ones
branch from those: the same command with `--set branch=runs/ladder-256/plateau-00-0001412.safetensors --out DIR`.
"""

from __future__ import annotations

import dataclasses

from firesteel.recipes.kindling import glimmer, smoke
from firesteel.train.config import Mix, Optim, Run, Stage
from firesteel.train.scale import COOLDOWN, LENGTH, TOKENS_PER_PARAMETER, scale


def spark(
    *,
    vocab: int,
    width: int,
    layers: int,
    heads: int,
    experts: int,
    experts_per_token: int,
    vision_width: int,
    vision_layers: int,
) -> dict:
    """The config.json of a small muse_spark: every layer sparse, experts of half the width. Its audio tower is there
    because the format has one; nothing here trains it.
    """
    model = glimmer(
        vocab=vocab,
        width=width,
        layers=layers,
        heads=heads,
        ffn=2 * width,
        vision_width=vision_width,
        vision_layers=vision_layers,
    )
    model["text_config"] |= {
        "qk_scale_factor": 5.4730064863875,
        "num_local_experts": experts,
        "num_experts_per_tok": experts_per_token,
        "moe_hidden_size": width // 2,
        "moe_intermediate_size": width // 2,
    }
    audio = {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1], "out_hidden_size": width}
    return model | {"model_type": "muse_spark", "audio_config": audio}


def ladder(size: int = 256, sparse: bool = False, ratio: float = TOKENS_PER_PARAMETER) -> Run:
    """The rung of width `size` at its compute-optimal horizon; `ratio` tokens for each parameter."""
    vocab = 8192
    dial = scale(size, sparse, vocab, ratio)
    shape = {"vocab": vocab, "width": size, "layers": dial.layers, "heads": dial.heads}
    shape |= {"vision_width": dial.vision_width, "vision_layers": dial.vision_layers}
    experts = {"experts": dial.experts, "experts_per_token": dial.experts_per_token}
    stage = Stage(
        name="pretrain",
        steps=dial.steps,
        rows=dial.rows,
        length=LENGTH,
        mix=Mix(text=0.15, captions=0.4, visual=0.65),
        optim=Optim(lr=dial.lr, weight_decay=dial.weight_decay, decay=COOLDOWN),
    )
    return Run(
        name=f"ladder-{size}{'-sparse' if sparse else ''}",
        model=spark(**shape, **experts) if sparse else glimmer(**shape, ffn=dial.ffn),
        stages=(stage,),
        vocab_size=vocab,
        keep_every=dial.keep_every,
    )


def smoke_sparse() -> Run:
    """`smoke` with eight experts, two of them for each token, in every layer."""
    run = smoke()
    shape = {"vocab": run.vocab_size, "width": 64, "layers": 4, "heads": 1, "vision_width": 64, "vision_layers": 2}
    stages = tuple(dataclasses.replace(s, optim=dataclasses.replace(s.optim, balance=0.02)) for s in run.stages)
    model = spark(**shape, experts=8, experts_per_token=2)
    return dataclasses.replace(run, name="smoke-sparse", model=model, stages=stages)
