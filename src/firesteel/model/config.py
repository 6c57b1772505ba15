"""The shape of a Muse checkpoint: frozen dataclasses read from and written to its `config.json`.

Field names and defaults are those of the published files (transformers 5.23, `muse_glimmer` and `muse_spark`),
so a dictionary that holds only what differs from the published model is enough to describe a small one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import prod
from pathlib import Path
from typing import Any, Self

GLIMMER = "muse_glimmer"
SPARK = "muse_spark"
ACTIVATIONS = ("silu", "gelu", "gelu_pytorch_tanh", "relu")

# Where the published muse_spark differs from the muse_glimmer defaults written in the classes below.
_SPARK_TEXT: dict[str, Any] = {
    "hidden_size": 8192,
    "intermediate_size": 16384,
    "num_hidden_layers": 62,
    "num_attention_heads": 128,
    "num_key_value_heads": 16,
    "head_dim": 64,
    "max_position_embeddings": 1_048_576,
    "rope_theta": 500_000.0,
    "qk_scale_factor": 5.4730064863875,
    "output_multiplier": 0.1767766952966369,
    "num_local_experts": 256,
}


@dataclass(frozen=True)
class TextConfig:
    """The decoder. `num_local_experts` is 0 in a dense `muse_glimmer`; the MoE fields then have no meaning."""

    vocab_size: int = 202_048
    hidden_size: int = 6656
    intermediate_size: int = 19968
    num_hidden_layers: int = 52
    num_attention_heads: int = 32
    num_key_value_heads: int = 2
    head_dim: int = 128
    hidden_act: str = "silu"
    max_position_embeddings: int = 131_072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    post_norm_eps: float = 1e-8
    pad_token_id: int | None = None
    bos_token_id: int | None = 200_000
    eos_token_id: int | tuple[int, ...] | None = 200_001
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    rope_theta: float = 10_000.0
    sliding_window: int = 2048
    layer_types: tuple[str, ...] = ()
    layer_rope_theta: tuple[float, ...] = ()  # only zero (no rotary embedding) or not zero is read, as published
    qk_scale_factor: float = 3.87
    output_multiplier: float = 0.19611613513818404
    final_logit_softcapping: float = 20.0
    num_local_experts: int = 0
    num_experts_per_tok: int = 8
    moe_hidden_size: int = 4096
    moe_intermediate_size: int = 4096
    mlp_layer_types: tuple[str, ...] = ()
    routed_scaling_factor: float = 1.0
    residual_gate_temperature: float = 0.3

    def __post_init__(self) -> None:
        _check_numbers(self, "text_config.")
        # Counted from the end, every fourth layer sees everything and carries no positions.
        last = self.num_hidden_layers - 1
        full = [(last - i) % 4 == 0 for i in range(self.num_hidden_layers)]
        if not self.layer_types:
            _fill(self, "layer_types", tuple("full_attention" if f else "sliding_attention" for f in full))
        if not self.layer_rope_theta:
            _fill(self, "layer_rope_theta", tuple(0 if f else self.rope_theta for f in full))
        if not self.mlp_layer_types:
            kind = "sparse" if self.num_local_experts else "dense"
            _fill(self, "mlp_layer_types", (kind,) * self.num_hidden_layers)
        for name in ("layer_types", "layer_rope_theta", "mlp_layer_types"):
            if len(getattr(self, name)) != self.num_hidden_layers:
                raise ValueError(f"text_config.{name} must have one entry for each of {self.num_hidden_layers} layers.")
        _one_of(self.layer_types, ("full_attention", "sliding_attention"), "text_config.layer_types")
        _one_of(self.mlp_layer_types, ("dense", "sparse"), "text_config.mlp_layer_types")
        _one_of((self.hidden_act,), ACTIVATIONS, "text_config.hidden_act")
        if self.hidden_size % self.num_attention_heads or self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                "text_config.hidden_size must be a multiple of num_attention_heads, and that of num_key_value_heads."
            )
        if self.head_dim % 2:
            raise ValueError("text_config.head_dim must be even.")
        if "sparse" in self.mlp_layer_types and not 0 < self.num_experts_per_tok <= self.num_local_experts:
            raise ValueError("text_config.num_experts_per_tok must lie between 1 and num_local_experts.")


@dataclass(frozen=True)
class VisionConfig:
    """The vision tower: patches of `patch_size`, windows of `pos_emb_height` patches a side."""

    hidden_size: int = 1536
    intermediate_size: int = 8960
    num_hidden_layers: int = 50
    num_attention_heads: int = 16
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    patch_size: int = 14
    patch_temporal: int = 2
    merge_size: int = 2
    pos_emb_height: int = 32
    pos_emb_width: int = 32
    max_position_embeddings: int = 1024
    rope_theta: float = 10_000.0
    layer_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_numbers(self, "vision_config.")
        last = self.num_hidden_layers - 1
        if not self.layer_types:
            full = [(i + 1) % 4 == 0 or i == last for i in range(self.num_hidden_layers)]
            _fill(self, "layer_types", tuple("full_attention" if f else "window_attention" for f in full))
        if len(self.layer_types) != self.num_hidden_layers:
            raise ValueError(f"vision_config.layer_types must have {self.num_hidden_layers} entries.")
        _one_of(self.layer_types, ("full_attention", "window_attention"), "vision_config.layer_types")
        _one_of((self.hidden_act,), ACTIVATIONS, "vision_config.hidden_act")
        if self.pos_emb_height != self.pos_emb_width:
            raise ValueError("vision_config.pos_emb_height and pos_emb_width must be equal.")
        if self.hidden_size % self.num_attention_heads or self.head_dim % 4:
            raise ValueError("vision_config.hidden_size / num_attention_heads must be a multiple of 4.")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def patch_dim(self) -> int:
        """Numbers in one flattened patch: temporal x 3 colours x side x side."""
        return self.patch_temporal * 3 * self.patch_size**2


@dataclass(frozen=True)
class AudioConfig:
    """The audio pyramid of `muse_spark`: one entry per stage in `patch_sizes`, `hidden_sizes` and `depths`."""

    patch_sizes: tuple[int, ...] = (16, 6, 5, 4)
    hidden_sizes: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    mlp_ratio: float = 4.0
    conv_kernel_size: int = 7
    hidden_act: str = "gelu"
    rms_norm_eps: float = 1e-6
    out_hidden_size: int = 8192

    def __post_init__(self) -> None:
        _check_numbers(self, "audio_config.")
        if not len(self.patch_sizes) == len(self.hidden_sizes) == len(self.depths):
            raise ValueError("audio_config.patch_sizes, hidden_sizes and depths must have one entry per stage.")
        _one_of((self.hidden_act,), ACTIVATIONS, "audio_config.hidden_act")

    @property
    def samples_per_token(self) -> int:
        """Samples of the 24 kHz waveform in one token (1920 = 80 ms as published)."""
        return prod(self.patch_sizes)


@dataclass(frozen=True)
class Config:
    """A whole model. `audio` is None in a `muse_glimmer`."""

    model_type: str = GLIMMER
    text: TextConfig = field(default_factory=TextConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    audio: AudioConfig | None = None
    image_token_id: int = 200_092
    video_token_id: int = 200_091
    audio_token_id: int = 200_038
    out_hidden_size: int = 6144
    projector_hidden_size: int = 4096
    projector_hidden_act: str = "gelu"

    def __post_init__(self) -> None:
        _check_numbers(self, "")
        _one_of((self.model_type,), (GLIMMER, SPARK), "model_type")
        _one_of((self.projector_hidden_act,), ACTIVATIONS, "projector_hidden_act")
        if self.out_hidden_size != self.vision.hidden_size * self.vision.merge_size**2:
            raise ValueError("out_hidden_size must be vision_config.hidden_size times merge_size squared.")
        if self.spark != (self.audio is not None):
            raise ValueError("A muse_spark has an audio_config and a muse_glimmer has none.")
        if self.audio is not None and self.audio.out_hidden_size != self.text.hidden_size:
            raise ValueError("audio_config.out_hidden_size must equal text_config.hidden_size.")
        if not self.spark and "sparse" in self.text.mlp_layer_types:
            raise ValueError("A muse_glimmer has no sparse layers.")

    @property
    def spark(self) -> bool:
        return self.model_type == SPARK

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the dictionary of a `config.json`; keys this model does not use are ignored.

        Raises ValueError for a model type, rope type or setting that is not implemented.
        """
        kind = data.get("model_type")
        if kind not in (GLIMMER, SPARK):
            raise ValueError(f"Unknown model_type {kind!r}: this is neither a {GLIMMER} nor a {SPARK} checkpoint.")
        for part in ("text_config", "vision_config", "audio_config"):
            if not isinstance(data.get(part) or {}, Mapping):
                raise ValueError(f"{part} must be a JSON object.")
        text = dict(data.get("text_config") or {})
        text.setdefault("hidden_act", text.get("hidden_activation", "silu"))
        if text.get("attention_dropout"):
            raise ValueError("text_config.attention_dropout must be 0: dropout is not implemented.")
        text["tie_word_embeddings"] = bool(data.get("tie_word_embeddings"))  # only the outer entry counts, as published
        text |= _rope(text, "default")
        vision = dict(data.get("vision_config") or {})
        vision |= _rope(vision, "axial")
        return cls(
            **_pick(cls, data, skip=("text", "vision", "audio")),
            text=TextConfig(**(_SPARK_TEXT if kind == SPARK else {}) | _pick(TextConfig, text)),
            vision=VisionConfig(**_pick(VisionConfig, vision)),
            audio=AudioConfig(**_pick(AudioConfig, data.get("audio_config") or {})) if kind == SPARK else None,
        )

    @classmethod
    def read(cls, directory: str | Path) -> Self:
        """Read `config.json` of a checkpoint directory. Raises ValueError where it is missing or not usable."""
        path = Path(directory) / "config.json"
        if not path.is_file():
            raise ValueError(f"{directory} is not a checkpoint directory: it has no config.json.")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not valid JSON: {error}.") from error
        if not isinstance(data, dict):
            raise ValueError(f"{path} must hold a JSON object.")
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """The dictionary of a `config.json` that transformers and vLLM open."""
        text, vision = asdict(self.text), asdict(self.vision)
        text |= {"model_type": f"{self.model_type}_text", "rope_parameters": _rope_out(text, "default")}
        vision |= {"model_type": f"{self.model_type}_vision", "rope_parameters": _rope_out(vision, "axial")}
        data: dict[str, Any] = {
            "architectures": [f"Muse{'Spark' if self.spark else 'Glimmer'}ForConditionalGeneration"],
            "model_type": self.model_type,
            "image_token_id": self.image_token_id,
            "video_token_id": self.video_token_id,
            "out_hidden_size": self.out_hidden_size,
            "projector_hidden_size": self.projector_hidden_size,
            "projector_hidden_act": self.projector_hidden_act,
            "text_config": text,
            "vision_config": vision,
        }
        if self.text.tie_word_embeddings:
            data["tie_word_embeddings"] = True
        if self.audio is not None:
            stages = len(self.audio.depths)
            audio = {"model_type": f"{self.model_type}_audio", "num_hidden_layers": stages} | asdict(self.audio)
            data |= {"audio_token_id": self.audio_token_id, "audio_config": audio}
        else:
            text["hidden_activation"] = text.pop("hidden_act")
            # vLLM (0.32) has its own names for these, and the sizes of Glimmer where they are missing.
            vision |= {"output_dim": self.out_hidden_size, "adapter_dim": self.projector_hidden_size}
            vision["merge_kernel_size"] = self.vision.merge_size
            for name in [n for n in text if n.startswith(("moe_", "mlp_", "routed_", "residual_")) or "experts" in n]:
                del text[name]
        return data


def _fill(config: object, name: str, value: Any) -> None:
    object.__setattr__(config, name, value)  # the frozen dataclass's own way to complete a default


def _check_numbers(config: Any, prefix: str) -> None:
    """Sizes are positive whole numbers; token ids and the number of experts may be zero."""
    for item in fields(config):
        value, least = getattr(config, item.name), 0 if item.name.endswith(("token_id", "experts")) else 1
        if item.type == "int" and (not isinstance(value, int) or value < least):
            raise ValueError(f"{prefix}{item.name} must be a whole number of at least {least}, not {value!r}.")
        if item.type == "float" and (not isinstance(value, int | float) or value < 0):
            raise ValueError(f"{prefix}{item.name} must be a number that is not negative, not {value!r}.")


def _one_of(values: tuple[str, ...], allowed: tuple[str, ...], name: str) -> None:
    for value in values:
        if value not in allowed:
            raise ValueError(f"{name} {value!r} is not known: use {', '.join(allowed)}.")


def _pick(kind: Any, data: Mapping[str, Any], skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """The entries of `data` that are fields of the dataclass; lists become tuples, a null list keeps the default."""
    found = {f.name: data[f.name] for f in fields(kind) if f.name in data and f.name not in skip}
    lists = ("layer_types", "layer_rope_theta", "mlp_layer_types")
    return {n: tuple(v) if isinstance(v, list) else v for n, v in found.items() if v is not None or n not in lists}


def _rope(data: Mapping[str, Any], kind: str) -> dict[str, Any]:
    rope = data.get("rope_parameters") or {}
    if rope.get("rope_type", kind) not in (kind, "default"):
        raise ValueError(f"Rotary embedding of type {rope['rope_type']!r} is not implemented.")
    return {"rope_theta": rope["rope_theta"]} if "rope_theta" in rope else {}


def _rope_out(data: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"rope_type": kind, "rope_theta": data.pop("rope_theta")}
