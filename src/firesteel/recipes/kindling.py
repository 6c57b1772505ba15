"""`kindling`: the embedded default, a dense muse_glimmer trained from nothing on two CPU cores.

- Sized for two cores without bf16 units: some 400,000 samples pass in a few hours, which teaches more than a wider
  model that sees half as many. Control tokens stand at the published offsets from the first special id.
- The stages: running text, picture descriptions and worked tasks together; worked tasks mostly; two reading stages for
  the vision tower, because the first two left digits and letters unread; worked tasks, and a stage of transcripts,
  because the decoder did not use what the tower now saw; worked tasks again, at the end those more often that were
  still weak; conversations that call tools; photographs, pages and looking closer; harder tasks; letters within words
  and small type; thoughts without repetitions; words spelled; what people say that is no task; tasks in other words;
  all strengths once more; answers to be judged, which the packaged weights have not learnt.
- Rows of 384 to 512 tokens hold whole samples and stay within the sliding window; those of looks go beyond it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from firesteel.format.tokenizer import SPECIAL_OFFSETS, SPECIAL_TOKENS
from firesteel.tasks import FAMILIES
from firesteel.train.config import Mix, Optim, Run, Stage

# What was weak after the stage before, named as often more as it was weak.
WEAK = (
    *("table", "table", "reading", "reading", "count", "relation", "box"),
    *("sequence", "sequence", "logic", "logic", "compare", "letters"),
)
WEAKEST = (*WEAK, "count", "count", "relation", "reading")
# The same at level 2.
HARDER = ("sorting", "strings", "product", "bases", "word_problem", "sequence", "logic", "table", "box")
HARDEST = (
    *("strings", "strings", "letters", "equation", "sequence", "sorting"),
    *("table", "relation", "relation", "pie_chart", "bar_chart", "reading"),
)
# Then: letters within words, and small type.
FINE = (
    *("strings", "letters", "bases", "sorting", "sequence"),
    *("table", "table", "reading", "reading", "relation", "pie_chart", "bar_chart"),
)
# Then: words as tokens hold them, and what stayed weak at level 2.
SPELT = (
    *("strings", "strings", "letters", "letters", "sorting", "logic", "sequence", "bases", "equation"),
    *("table", "table", "relation", "relation", "reading", "clock", "geometry"),
)
# Then: what people ask first.
ASKED = ("chain_sum", "product", "word_problem", "compare", "bar_chart", "count")


def glimmer(
    *, vocab: int, width: int, layers: int, heads: int, ffn: int, vision_width: int, vision_layers: int
) -> dict:
    """The config.json of a small muse_glimmer; head size 64 throughout, logit scale 1/sqrt(width/256) as published."""
    ids = {token: vocab - SPECIAL_TOKENS + offset for token, offset in SPECIAL_OFFSETS.items()}
    text: dict[str, Any] = {
        "vocab_size": vocab,
        "hidden_size": width,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": max(1, heads // 2),
        "head_dim": 64,
        "max_position_embeddings": 8192,
        "sliding_window": 512,
        "qk_scale_factor": 3.87,
        "output_multiplier": (width / 256) ** -0.5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "bos_token_id": ids["<|begin_of_text|>"],
        "eos_token_id": [ids["<|end_of_text|>"], ids["<|eot|>"]],
        "pad_token_id": ids["<|finetune_right_pad|>"],
    }
    vision: dict[str, Any] = {
        "hidden_size": vision_width,
        "intermediate_size": 4 * vision_width,
        "num_hidden_layers": vision_layers,
        "num_attention_heads": vision_width // 64,
        "rope_parameters": {"rope_type": "axial", "rope_theta": 10000.0},
    }
    return {
        "model_type": "muse_glimmer",
        "text_config": text,
        "vision_config": vision,
        "image_token_id": ids["<|patch|>"],
        "video_token_id": ids["<|video|>"],
        "out_hidden_size": 4 * vision_width,
        "projector_hidden_size": 2 * vision_width,
    }


def kindling(pools: tuple[str, ...] = (), albums: tuple[str, ...] = (), questions: tuple[str, ...] = ()) -> Run:
    """Name the text with `--set sources=...`; without text it learns from tasks and pictures alone.

    `--set albums=FILE,FILE` names photographs and pages that `firesteel data pictures` made, for the stages from
    `albums` to `even`; `--set questions=FILE` an instruction set (as databricks-dolly-15k) whose open questions the
    last five learn not to answer. A stage behind them needs what the model answered: `firesteel data answers`
    makes the file, and `--set pools=FILE` adds the stage.
    """
    seen = Mix(
        pictures=0.3 if albums else 0.0,
        albums=albums,
        looks=0.35,
        calls=0.1,
        sheets=0.04,
        captions=0.1,
        levels=(0.7, 0.3),
        visual=0.66,
        spread=0.08,
        families=(*FAMILIES, *WEAK),
    )
    closer = replace(seen, pictures=0.2 if albums else 0.0, captions=0.06, levels=(0.75, 0.25))
    calm = replace(
        closer,
        pictures=0.12 if albums else 0.0,
        visual=0.55,
        families=(*FAMILIES, *WEAK, "bases", "bases", "letters", "equation"),
    )
    see = replace(calm, pictures=0.35 if albums else 0.0, looks=0.3, moved=0.4, captions=0.08, visual=0.66)
    tell = replace(see, pictures=0.6 if albums else 0.0, looks=0.15, moved=0.3)
    wide = replace(
        see,
        pictures=0.2 if albums else 0.0,
        looks=0.15,
        moved=0.25,
        captions=0.05,
        levels=(0.45, 0.55),
        visual=0.5,
        families=(*FAMILIES, *HARDER),
    )
    wide_on = replace(wide, visual=0.55, families=(*FAMILIES, *HARDEST))
    fine = replace(wide_on, pictures=0.25 if albums else 0.0, spelling=0.08, families=(*FAMILIES, *FINE))
    brief = replace(
        fine,
        looks=0.12,
        spelling=0.03,
        spread=0.04,
        levels=(0.55, 0.45),
        strengths=(0.08, 0.42, 0.2, 0.2, 0.1),
    )
    spell = replace(
        brief,
        spelling=0.35,
        levels=(0.45, 0.55),
        visual=0.52,
        strengths=(0.08, 0.32, 0.22, 0.26, 0.12),
        families=(*FAMILIES, *SPELT),
    )
    talk = replace(spell, talk=0.15, questions=questions, spelling=0.2)
    # At medium strength alone: the thoughts that reinforcement shortened are like those.
    talk_on = replace(
        talk, talk=0.3, spelling=0.1, spread=0.0, levels=(0.6, 0.4), strengths=(0.12, 0.0, 0.88, 0.0, 0.0)
    )
    words = replace(
        talk_on,
        talk=0.2,
        wording=0.75,
        calls=0.08,
        looks=0.08,
        spelling=0.06,
        pictures=0.15 if albums else 0.0,
        visual=0.5,
        families=(*FAMILIES, *SPELT, *ASKED),
    )
    words_on = replace(
        words,
        pictures=0.4 if albums else 0.0,
        spelling=0.35,
        visual=0.6,
        families=(*FAMILIES, *SPELT, *ASKED, *9 * ("relation",), *4 * ("reading",)),
    )
    # At low strength the full thought, which reinforcement had brought back there; at xhigh its check.
    even = replace(
        words_on,
        spelling=0.25,
        levels=(0.5, 0.5),
        visual=0.5,
        strengths=(0.12, 0.3, 0.2, 0.2, 0.18),
        thought=64,
        families=(*FAMILIES, *SPELT, *ASKED, *4 * ("relation",), *2 * ("reading",)),
    )
    operators = Stage(
        name="operators",
        steps=1000,
        rows=12,
        length=512,
        mix=Mix(
            operators=0.4,
            pools=pools,
            calls=0.1,
            sheets=0.03,
            captions=0.03,
            levels=(0.65, 0.35),
            visual=0.66,
            spread=0.1,
            families=(*FAMILIES, *WEAK),
        ),
        optim=Optim(lr=3e-3, warmup=20, decay=0.7),
    )
    return Run(
        name="kindling",
        max_image_tokens=36,  # as many as 168 x 168 pixels take; larger pictures are shrunk to that
        model=glimmer(vocab=8192, width=192, layers=6, heads=3, ffn=512, vision_width=128, vision_layers=4),
        stages=(
            Stage(name="pretrain", steps=600, mix=Mix(text=0.15, captions=0.4, visual=0.65), optim=Optim(decay=0.1)),
            Stage(name="sft", steps=2200, mix=Mix(captions=0.03, visual=0.65), optim=Optim(warmup=20, decay=0.7)),
            Stage(name="read", steps=1000, objective="primer", rows=32, optim=Optim(warmup=30, decay=0.4)),
            Stage(name="read-on", steps=1600, objective="pages", rows=32, optim=Optim(warmup=30, decay=0.5)),
            Stage(name="refine", steps=1000, mix=Mix(captions=0.06, visual=0.65), optim=Optim(warmup=50, decay=0.0)),
            Stage(name="transcribe", steps=500, mix=Mix(sheets=0.5, captions=0.3, visual=0.8), optim=Optim(decay=0.0)),
            Stage(
                name="finish",
                steps=1900,
                mix=Mix(sheets=0.08, captions=0.06, visual=0.65),
                optim=Optim(warmup=20, decay=0.8),
            ),
            Stage(
                name="polish",
                steps=900,
                mix=Mix(sheets=0.15, captions=0.1, visual=0.68, families=(*FAMILIES, *WEAK)),
                optim=Optim(warmup=20, decay=0.0),
            ),
            Stage(
                name="polish-on",
                steps=1950,
                mix=Mix(sheets=0.1, captions=0.08, visual=0.68, families=(*FAMILIES, *WEAKEST)),
                optim=Optim(warmup=20, decay=0.8),
            ),
            Stage(
                name="tools",
                steps=450,
                rows=12,
                length=512,
                mix=Mix(calls=0.3, sheets=0.06, captions=0.05, visual=0.68, families=(*FAMILIES, *WEAK)),
                optim=Optim(lr=2e-3, warmup=30, decay=0.8),
            ),
            Stage(
                name="tools-on",
                steps=400,
                rows=12,
                length=512,
                mix=Mix(calls=0.35, sheets=0.04, captions=0.04, levels=(0.55, 0.45), visual=0.66),
                optim=Optim(lr=3e-3, warmup=30, decay=0.0),
            ),
            Stage(
                name="spread",
                steps=800,
                rows=12,
                length=512,
                mix=Mix(calls=0.3, sheets=0.04, captions=0.04, levels=(0.6, 0.4), visual=0.66, spread=0.15),
                optim=Optim(lr=3e-3, warmup=20, decay=0.7),
            ),
            Stage(
                name="settle",
                steps=850,
                rows=12,
                length=512,
                mix=Mix(
                    calls=0.2,
                    sheets=0.06,
                    captions=0.06,
                    levels=(0.7, 0.3),
                    visual=0.66,
                    spread=0.08,
                    families=(*FAMILIES, *WEAK),
                ),
                optim=Optim(lr=3e-3, warmup=20, decay=0.8),
            ),
            # Of looks only those without the tool fit these rows: labels in sight, to be found.
            Stage(name="albums", steps=700, rows=12, length=512, mix=seen, optim=Optim(lr=3e-3, warmup=20, decay=0.0)),
            # A look takes some 700 tokens, most of them the tools' schemas.
            Stage(name="look", steps=1300, rows=7, length=896, mix=closer, optim=Optim(lr=3e-3, warmup=20, decay=0.7)),
            Stage(name="look-on", steps=620, rows=7, length=896, mix=calm, optim=Optim(lr=3e-3, warmup=20, decay=0.85)),
            *(
                Stage(
                    name=name,
                    steps=steps,
                    rows=7,
                    length=896,
                    named=named if albums else 0,
                    mix=mix,
                    optim=Optim(lr=lr, warmup=20, decay=decay),
                )
                for name, steps, named, mix, lr, decay in (
                    ("see", 1000, 64, see, 3e-3, 0.0),
                    ("see-on", 900, 64, tell, 3e-3, 0.8),
                    ("wide", 1400, 16, wide, 3e-3, 0.8),
                    ("wide-on", 850, 16, wide_on, 3e-3, 0.85),
                    ("fine", 1350, 32, fine, 3e-3, 0.85),
                    ("brief", 1500, 16, brief, 3e-3, 0.85),
                    ("spell", 1300, 16, spell, 3e-3, 0.85),
                    ("talk", 500, 16, talk, 3e-3, 0.85),
                    ("talk-on", 300, 16, talk_on, 1.5e-3, 0.85),
                    ("words", 850, 16, words, 2e-3, 0.85),
                    ("words-on", 350, 24, words_on, 1.5e-3, 0.85),
                    ("even", 200, 24, even, 1.2e-3, 0.85),
                )
            ),
            *((operators,) if pools else ()),
        ),
    )


def smoke() -> Run:
    """Minutes on anything: proves that every stage works, teaches next to nothing."""
    return Run(
        name="smoke",
        model=glimmer(vocab=1024, width=64, layers=4, heads=1, ffn=128, vision_width=64, vision_layers=2),
        vocab_size=1024,
        stages=(
            Stage(name="pretrain", steps=6, rows=4, length=320, mix=Mix(captions=0.5), optim=Optim(warmup=2)),
            Stage(name="sft", steps=6, rows=4, length=320, optim=Optim(warmup=2)),
        ),
        tokenizer_samples=300,
        compile=False,
        checkpoint_every=4,
    )
