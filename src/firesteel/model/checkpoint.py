"""Checkpoint directories: config.json and safetensors files, one or many with an index."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from firesteel.model.config import Config
from firesteel.model.moe import Router
from firesteel.model.muse import Muse

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# How files of weights end, ours and others', with their indexes: they are not copied beside new ones.
WEIGHT_FILES = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".gguf", ".pt", ".pth")
HEAD = "lm_head.weight"
# These stay in fp32 whatever the rest is loaded in, as published.
FP32 = ("residual_gate.gate", "mlp.gate.weight", "e_score_correction_bias")


def load(directory: str | Path, dtype: torch.dtype | None = None, device: str | torch.device | None = None) -> Muse:
    """Read a checkpoint directory. `dtype` None keeps the dtype of each tensor; gates and routers are always fp32.

    Raises ValueError where the directory is no checkpoint of ours, or tensors are missing, unexpected or misshapen.
    """
    directory = Path(directory)
    config = Config.read(directory)
    with torch.device("meta"):
        model = Muse(config)
    expected = {name: tensor.shape for name, tensor in _state(model).items()}
    tensors: dict[str, Tensor] = {}
    for path in _files(directory):
        try:
            with safe_open(path, framework="pt", device=str(device or "cpu")) as file:
                for name in file.keys():  # noqa: SIM118 (not a dictionary)
                    tensors[name] = _cast(name, file.get_tensor(name), dtype)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} cannot be read as safetensors: {error}.") from error
    if config.text.tie_word_embeddings:
        tensors.pop(HEAD, None)
    _check(directory, {name: tensor.shape for name, tensor in tensors.items()}, expected)
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie()
    for module in model.modules():
        if isinstance(module, Router):
            module.load = torch.zeros(module.load.shape, dtype=module.load.dtype, device=module.weight.device)
    return model.eval()


def save(model: Muse, directory: str | Path, shard_bytes: int = 5_000_000_000) -> None:
    """Write config.json and weights that `load` and transformers' `from_pretrained` open.

    Files of at most `shard_bytes` each, with an index where there is more than one.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, Tensor]] = [{}]
    room = shard_bytes
    for name, tensor in _state(model).items():
        size = tensor.numel() * tensor.element_size()
        if size > room and shards[-1]:
            shards.append({})
            room = shard_bytes
        shards[-1][name] = tensor.detach().cpu().contiguous()
        room -= size
    for stale in [*directory.glob("model*.safetensors"), directory / INDEX]:
        stale.unlink(missing_ok=True)
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    if len(shards) == 1:
        names = [WEIGHTS]
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, directory / name, metadata={"format": "pt"})
    if len(shards) > 1:
        total = sum(t.numel() * t.element_size() for shard in shards for t in shard.values())
        places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        _write_json(directory / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
    dtype = str(model.lm_head.weight.dtype).removeprefix("torch.")
    _write_json(directory / "config.json", model.config.to_dict() | {"dtype": dtype})


def _state(model: Muse) -> dict[str, Tensor]:
    """The tensors of a checkpoint: a tied head is not written a second time."""
    state = model.state_dict()
    if model.config.text.tie_word_embeddings:
        del state[HEAD]
    return state


def _cast(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    if name.endswith(FP32):
        return tensor.float()
    return tensor if dtype is None else tensor.to(dtype)


def _files(directory: Path) -> list[Path]:
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    if not (directory / INDEX).is_file():
        raise ValueError(f"{directory} has neither {WEIGHTS} nor {INDEX}.")
    try:
        places = json.loads((directory / INDEX).read_text(encoding="utf-8"))["weight_map"]
        files = sorted({directory / str(name) for name in places.values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{directory / INDEX} is not a safetensors index: {error!r}.") from error
    for path in files:
        if not path.is_file():
            raise ValueError(f"{directory} lacks {path.name}, which its index names.")
    return files


def _check(directory: Path, found: dict[str, torch.Size], expected: dict[str, torch.Size]) -> None:
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [n for n, shape in found.items() if n in expected and shape != expected[n]]
    for names, problem in ((missing, "lacks"), (unexpected, "has unexpected"), (misshapen, "has misshapen")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            detail = f" ({tuple(found[names[0]])}, not {tuple(expected[names[0]])})" if names is misshapen else ""
            raise ValueError(f"The checkpoint in {directory} {problem} tensor {names[0]}{detail}{more}.")


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
