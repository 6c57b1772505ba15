"""Trains the byte-level BPE and writes the tokenizer files of a checkpoint directory.

- Pre-tokeniser: the published o200k pattern, then every digit alone, so that numbers are read digit by digit. No merge
  joins digits, hence a reader that knows only the pattern (llama.cpp's) cuts the same tokens.
- Ids: ordinary tokens first, then 128 control tokens at their published offsets, whatever the corpus was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from firesteel.format.images import MAX_TOKENS, MERGE, PATCH_SIZE, TEMPORAL
from firesteel.format.tokenizer import SPECIAL_OFFSETS, SPECIAL_TOKENS

_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K_PATTERN = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTION}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTION}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


def special_tokens() -> list[str]:
    """The control tokens by offset; a name that is not published is reserved."""
    names = {offset: name for name, offset in SPECIAL_OFFSETS.items()}
    return [names.get(n, f"<|reserved_special_token_{n}|>") for n in range(SPECIAL_TOKENS)]


def train_tokenizer(texts: Iterable[str], vocab_size: int = 8192, *, out: Path) -> Path:
    """Learns a vocabulary of exactly `vocab_size` ids from `texts` and writes the tokenizer files into `out`.

    A corpus too small to fill the vocabulary is padded with `<|unused_n|>` entries that no text can produce.
    Returns the path of `tokenizer.json`. Raises ValueError when the vocabulary cannot hold all bytes.
    """
    ordinary = vocab_size - SPECIAL_TOKENS
    if ordinary < 256:
        raise ValueError(f"A byte-level vocabulary needs at least {256 + SPECIAL_TOKENS} ids, not {vocab_size}.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(O200K_PATTERN), behavior="isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=ordinary,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=16,  # longer ones are boilerplate of the corpus
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    definition = json.loads(tokenizer.to_str())
    vocabulary = definition["model"]["vocab"]
    for n in range(len(vocabulary), ordinary):
        vocabulary[f"<|unused_{n}|>"] = n
    definition["added_tokens"] = [
        {
            "id": ordinary + n,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for n, token in enumerate(special_tokens())
    ]
    out.mkdir(parents=True, exist_ok=True)
    path = out / "tokenizer.json"
    path.write_text(json.dumps(definition, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    write_companions(out, first_special=ordinary)
    return path


def write_companions(out: Path, *, first_special: int, max_image_tokens: int = MAX_TOKENS) -> None:
    """Writes what stands beside `tokenizer.json` in a checkpoint that transformers, vLLM and SGLang open.

    They shrink pictures that would take more than `max_image_tokens`, as our own `Tokenizer` does.
    """
    named = {
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot|>",
        "pad_token": "<|finetune_right_pad|>",
    }
    _write(out / "special_tokens_map.json", named)
    _write(
        out / "tokenizer_config.json",
        named
        | {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "processor_class": "MuseGlimmerProcessor",
            "add_bos_token": False,  # the chat template writes it
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )
    _write(out / "generation_config.json", generation_config(first_special))
    _write(out / "processor_config.json", processor_config(max_image_tokens))
    template = resources.files("firesteel.format") / "chat_template.jinja"
    (out / "chat_template.jinja").write_text(template.read_text(encoding="utf-8"), encoding="utf-8")


def generation_config(first_special: int) -> dict[str, Any]:
    """How to sample. `<|eom|>` is never an end: a turn that stopped at it would die after its first thought."""
    ids = {token: first_special + offset for token, offset in SPECIAL_OFFSETS.items()}
    return {
        "bos_token_id": ids["<|begin_of_text|>"],
        "eos_token_id": [ids["<|end_of_text|>"], ids["<|eot|>"]],
        "pad_token_id": ids["<|finetune_right_pad|>"],
        "do_sample": True,
        "temperature": 1.0,
        "top_p": 0.95,
        "top_k": 64,
    }


def processor_config(max_image_tokens: int) -> dict[str, Any]:
    """How transformers cuts pictures and videos into patches: the published numbers, which `format.images` shares."""
    vision = {
        "patch_size": PATCH_SIZE,
        "temporal_patch_size": TEMPORAL,
        "merge_size": MERGE,
        "resample": 1,  # LANCZOS
        "rescale_factor": 1 / 255,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    image = {"image_processor_type": "MuseGlimmerImageProcessor", "max_image_tokens": max_image_tokens}
    video = {"video_processor_type": "MuseGlimmerVideoProcessor", "max_video_frame_tokens": 144}
    return {
        "processor_class": "MuseGlimmerProcessor",
        "image_processor": image | vision,
        "video_processor": video | vision | {"num_frames": 96, "fps": 2.0},
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
