"""A muse_glimmer checkpoint as the two GGUF files that llama.cpp opens: the text model and the vision projector.

llama.cpp keeps the same network in its own dress (its `muse-glimmer` graphs say which):
- the gains of the four layer norms are stored with their one added; the norm before the head is stored as it is;
- rows of queries and keys lie interleaved (x0 y0 x1 y1 ...), where the checkpoint has all x of a head, then all y;
- `qk_scale_factor` is the gain of a norm over the queries, and the keys have one of ones;
- a still picture's patches are repeated in time, so the patch embedding is summed over its temporal slabs;
- its convolution is computed in half precision, so pixels are scaled to (value - 127.5) / 64, which half precision
  holds exactly, and the patch embedding takes the difference to (value - 127.5) / 127.5.

The files also carry the checkpoint's small files (tokenizer, configuration), so that `gguf_import.to_directory` can
write the directory back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType, quants
from numpy.typing import NDArray

from firesteel.model.checkpoint import load
from firesteel.model.config import GLIMMER, Config

ARCHITECTURE = "muse-glimmer"
TOKENIZER_KEY = "tokenizer.huggingface.json"  # the key that the GGUF specification reserves for tokenizer.json
FILE_KEY = "firesteel.file."
FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "preprocessor_config.json",
    "processor_config.json",
)
DTYPES = {
    "F32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "BF16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "Q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}

# Names, theirs on the left. `{}` is the number of the layer.
TEXT_LAYER = {
    "blk.{}.attn_norm": "input_layernorm",
    "blk.{}.post_attention_norm": "post_attention_layernorm",
    "blk.{}.ffn_norm": "pre_feedforward_layernorm",
    "blk.{}.post_ffw_norm": "post_feedforward_layernorm",
    "blk.{}.attn_q": "self_attn.q_proj",
    "blk.{}.attn_k": "self_attn.k_proj",
    "blk.{}.attn_v": "self_attn.v_proj",
    "blk.{}.attn_gate": "self_attn.gate_proj",
    "blk.{}.attn_output": "self_attn.o_proj",
    "blk.{}.ffn_gate": "mlp.gate_proj",
    "blk.{}.ffn_up": "mlp.up_proj",
    "blk.{}.ffn_down": "mlp.down_proj",
}
TEXT = {
    "token_embd": "model.language_model.embed_tokens",
    "output_norm": "model.language_model.norm",
    "output": "lm_head",
}
VISION_LAYER = {
    "v.blk.{}.ln1": "norm1",
    "v.blk.{}.ln2": "norm2",
    "v.blk.{}.attn_q": "attn.q_proj",
    "v.blk.{}.attn_k": "attn.k_proj",
    "v.blk.{}.attn_v": "attn.v_proj",
    "v.blk.{}.attn_out": "attn.proj",
    "v.blk.{}.ffn_up": "mlp.fc1",
    "v.blk.{}.ffn_down": "mlp.fc2",
}
VISION = {
    "v.patch_embd": "model.vision_tower.patch_embedder.patch_embedding",
    "v.position_embd": "model.vision_tower.patch_embedder.position_embedding_table",
    "v.pre_ln": "model.vision_tower.ln_pre",
    "v.post_ln": "model.vision_tower.ln_post",
    "mm.0": "model.vision_adapter.fc1",
    "mm.1": "model.vision_adapter.fc2",
    "mm.2": "model.vision_projection",
}
PIXEL_SCALE = 64 / 127.5
_TABLE = "v.position_embd.weight"  # interpolated, which needs F32

Array = NDArray[np.float32]


def export(directory: str | Path, model_path: str | Path, dtype: str = "Q8_0") -> tuple[Path, Path]:
    """Writes the checkpoint in `directory` as `model_path` and, beside it, `<stem>-mmproj.gguf`; returns both paths.

    `dtype`: F32, BF16 or Q8_0, of the matrices that its blocks fit. All else stays F32, but with the last two the patch
    embedding is F16. Raises ValueError for a checkpoint that llama.cpp's muse-glimmer graphs cannot express.
    """
    if dtype not in DTYPES:
        raise ValueError(f"The GGUF type {dtype!r} is none of {', '.join(DTYPES)}.")
    directory, model_path = Path(directory), Path(model_path)
    mmproj_path = mmproj_path_of(model_path)
    model = load(directory)
    check(model.config)
    tensors = dict(to_gguf(model.state_dict(), model.config))
    for path in (model_path, mmproj_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(model_path, ARCHITECTURE)
    _text_metadata(writer, model.config, dtype)
    _tokenizer_metadata(writer, directory, model.config)
    _finish(writer, {name: array for name, array in tensors.items() if not _of_vision(name)}, dtype)
    writer = GGUFWriter(mmproj_path, "clip")
    _vision_metadata(writer, model.config, dtype)
    _finish(writer, {name: array for name, array in tensors.items() if _of_vision(name)}, dtype)
    return model_path, mmproj_path


def mmproj_path_of(model_path: Path) -> Path:
    """Where the vision projector of a text GGUF lies, if it is not told otherwise."""
    return model_path.with_name(f"{model_path.stem}-mmproj.gguf")


def check(config: Config) -> None:
    """Raises ValueError where the checkpoint differs from what is fixed in llama.cpp's graphs."""
    text, vision = config.text, config.vision
    last = vision.num_hidden_layers - 1
    full = tuple("full_attention" if (i + 1) % 4 == 0 or i == last else "window_attention" for i in range(last + 1))
    fixed = {
        "model_type": (config.model_type, GLIMMER),
        "hidden activation": (text.hidden_act, "silu"),
        "attention_bias": (text.attention_bias, False),
        "post_norm_eps": (text.post_norm_eps, 1e-8),
        "rotary layers": ([theta != 0 for theta in text.layer_rope_theta], sliding_layers(config)),
        "vision activation": (vision.hidden_act, "gelu"),
        "projector activation": (config.projector_hidden_act, "gelu"),
        "layer_norm_eps of the vision tower": (vision.layer_norm_eps, 1e-5),
        "rope_theta of the vision tower": (vision.rope_theta, 10_000.0),
        "merge_size": (vision.merge_size, 2),
        "attention pattern of the vision tower": (vision.layer_types, full),
    }
    for name, (found, needed) in fixed.items():
        if found != needed:
            raise ValueError(f"llama.cpp's muse-glimmer needs {name} {needed!r}, but the checkpoint has {found!r}.")


def sliding_layers(config: Config) -> list[bool]:
    return [kind == "sliding_attention" for kind in config.text.layer_types]


def interleave(rows: Array, heads: int) -> Array:
    """Rows (heads * d, ...) of a rotate-half layout -> interleaved pairs."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def names(config: Config) -> dict[str, str]:
    """Every tensor's GGUF name and its name in the checkpoint."""
    found = {f"{ours}.weight": f"{theirs}.weight" for ours, theirs in (TEXT | VISION).items()}
    for i in range(config.text.num_hidden_layers):
        for ours, theirs in TEXT_LAYER.items():
            found[f"{ours.format(i)}.weight"] = f"model.language_model.layers.{i}.{theirs}.weight"
    for i in range(config.vision.num_hidden_layers):
        for ours, theirs in VISION_LAYER.items():
            for kind in ("weight", "bias"):
                found[f"{ours.format(i)}.{kind}"] = f"model.vision_tower.layers.{i}.{theirs}.{kind}"
    for norm in ("pre_ln", "post_ln"):
        found[f"v.{norm}.bias"] = f"{VISION[f'v.{norm}']}.bias"
    return found


def heads_of(name: str, config: Config) -> int:
    """How many heads' rows a query or key tensor (GGUF name) holds; 0 for any other tensor."""
    stem = name.rsplit(".", 1)[0]
    if not stem.endswith(("attn_q", "attn_k")):
        return 0
    if _of_vision(name):
        return config.vision.num_attention_heads
    return config.text.num_attention_heads if stem.endswith("attn_q") else config.text.num_key_value_heads


def has_unit_gain(name: str) -> bool:
    """Whether the GGUF tensor is a gain with its one added."""
    return name.startswith("blk.") and name.rsplit(".", 1)[0].endswith("_norm")


def to_gguf(state: dict[str, torch.Tensor], config: Config) -> Iterator[tuple[str, Array]]:
    """The checkpoint's tensors under their GGUF names, converted, fp32."""
    text, vision = config.text, config.vision
    for name, source in names(config).items():
        array = state[source].float().numpy()
        if has_unit_gain(name):
            array = array + np.float32(1)
        if heads := heads_of(name, config):
            array = interleave(array, heads)
        if name == "v.patch_embd.weight":  # (D, temporal * 3 * side * side) -> (D, 3, side, side)
            shape = (vision.hidden_size, vision.patch_temporal, 3, vision.patch_size, vision.patch_size)
            array = array.reshape(shape).sum(axis=1) * np.float32(PIXEL_SCALE)
        yield name, np.ascontiguousarray(array)
    for i in range(text.num_hidden_layers):
        yield f"blk.{i}.attn_q_norm.weight", np.full(text.head_dim, text.qk_scale_factor, np.float32)
        yield f"blk.{i}.attn_k_norm.weight", np.ones(text.head_dim, np.float32)


def _of_vision(name: str) -> bool:
    return name.startswith(("v.", "mm."))


def _finish(writer: GGUFWriter, tensors: dict[str, Array], dtype: str) -> None:
    kind = DTYPES[dtype][0]
    block = 32 if kind == GGMLQuantizationType.Q8_0 else 1
    for name, array in tensors.items():
        if array.ndim == 4 and dtype != "F32":
            writer.add_tensor(name, array.astype(np.float16))  # the precision of its convolution
        elif array.ndim != 2 or array.shape[-1] % block or name == _TABLE:
            writer.add_tensor(name, array)
        else:
            writer.add_tensor(name, quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _text_metadata(writer: GGUFWriter, config: Config, dtype: str) -> None:
    text = config.text
    writer.add_type("model")
    writer.add_file_type(DTYPES[dtype][1])
    writer.add_quantization_version(2)
    writer.add_vocab_size(text.vocab_size)
    writer.add_context_length(text.max_position_embeddings)
    writer.add_embedding_length(text.hidden_size)
    writer.add_feed_forward_length(text.intermediate_size)
    writer.add_block_count(text.num_hidden_layers)
    writer.add_head_count(text.num_attention_heads)
    writer.add_head_count_kv(text.num_key_value_heads)
    writer.add_key_length(text.head_dim)
    writer.add_value_length(text.head_dim)
    writer.add_rope_dimension_count(text.head_dim)
    writer.add_rope_freq_base(text.rope_theta)
    writer.add_layer_norm_rms_eps(text.rms_norm_eps)
    writer.add_logit_scale(text.output_multiplier)
    writer.add_final_logit_softcapping(text.final_logit_softcapping)
    writer.add_sliding_window(text.sliding_window)
    writer.add_sliding_window_pattern(sliding_layers(config))


def _vision_metadata(writer: GGUFWriter, config: Config, dtype: str) -> None:
    vision = config.vision
    writer.add_type("mmproj")
    writer.add_file_type(DTYPES[dtype][1])
    writer.add_quantization_version(2)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type(ARCHITECTURE)
    writer.add_vision_projection_dim(config.text.hidden_size)
    writer.add_vision_image_size(vision.pos_emb_height * vision.patch_size * vision.merge_size)
    writer.add_vision_patch_size(vision.patch_size)
    writer.add_vision_embedding_length(vision.hidden_size)
    writer.add_vision_feed_forward_length(vision.intermediate_size)
    writer.add_vision_block_count(vision.num_hidden_layers)
    writer.add_vision_head_count(vision.num_attention_heads)
    writer.add_vision_attention_layernorm_eps(vision.layer_norm_eps)
    writer.add_vision_spatial_merge_size(vision.merge_size)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([PIXEL_SCALE / 2] * 3)
    writer.add_vision_use_gelu(True)


def _tokenizer_metadata(writer: GGUFWriter, directory: Path, config: Config) -> None:
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise ValueError(f"{directory} has no tokenizer.json, which a GGUF file must hold.")
    source = path.read_text(encoding="utf-8")
    tokenizer = json.loads(source)
    added = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    ids = {id: token for token, id in tokenizer["model"]["vocab"].items()} | added
    if max(ids) >= config.text.vocab_size:
        raise ValueError(f"{path} has more tokens than the {config.text.vocab_size} of the checkpoint.")
    tokens, types = [], []
    for id in range(config.text.vocab_size):
        token = ids.get(id, f"<|unused_{id}|>")
        unused = id not in added and token.startswith("<|unused_")  # stands for no text
        tokens.append(token)
        types.append(TokenType.CONTROL if id in added else TokenType.UNUSED if unused else TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(tokenizer["pre_tokenizer"], path))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    found = {token: id for id, token in added.items()}
    for token, add in (
        ("<|begin_of_text|>", writer.add_bos_token_id),
        ("<|end_of_text|>", writer.add_eos_token_id),
        ("<|eot|>", writer.add_eot_token_id),
        ("<|finetune_right_pad|>", writer.add_pad_token_id),
    ):
        if token in found:
            add(found[token])
    writer.add_add_bos_token(False)  # the chat template writes it
    template = directory / "chat_template.jinja"
    if template.is_file():
        writer.add_chat_template(template.read_text(encoding="utf-8"))
    writer.add_string(TOKENIZER_KEY, source)
    for name in FILES:
        if (directory / name).is_file():
            writer.add_string(FILE_KEY + name, (directory / name).read_text(encoding="utf-8"))


def _pre_tokenizer(definition: dict[str, Any], path: Path) -> str:
    """llama.cpp's name for how text is cut before merging.

    It knows the o200k pattern but not that each digit may stand alone; where no merge joins digits, both cut alike.
    """
    steps = definition.get("pretokenizers", [definition])
    patterns = [step["pattern"].get("Regex", "") for step in steps if step["type"] == "Split"]
    if any(r"\p{Lu}\p{Lt}" in pattern and r"\p{N}{1,3}" in pattern for pattern in patterns):
        return "gpt-4o"
    if not patterns and any(step["type"] == "ByteLevel" and step.get("use_regex", True) for step in steps):
        return "gpt-2"
    raise ValueError(f"{path} cuts text in a way that llama.cpp does not know.")
