"""One file holds policy, optimiser and place; it is replaced atomically, so a kill leaves the old or the new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

_NAME = "checkpoint.safetensors"


def store(directory: Path, model: nn.Module, optimiser: torch.optim.Optimizer, place: dict[str, Any]) -> None:
    """`place` is what JSON can hold."""
    tensors = {f"model/{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for parameter, state in optimiser.state.items():
        tensors |= {f"optimiser/{names[id(parameter)]}/{key}": value for key, value in state.items()}
    temporary = directory / "checkpoint.tmp"
    save_file(tensors, temporary, metadata={"place": json.dumps(place)})
    temporary.replace(directory / _NAME)


def read_place(directory: Path) -> dict[str, Any] | None:
    """Where the checkpoint stands; None where there is none."""
    if not (directory / _NAME).exists():
        return None
    with safe_open(directory / _NAME, "pt") as file:
        return json.loads(file.metadata()["place"])


def restore(directory: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    device = str(next(model.parameters()).device)
    tensors = load_file(directory / _NAME, device=device)
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model/")})
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        if name.startswith("optimiser/"):
            parameter, key = name[10:].rsplit("/", 1)
            optimiser.state[parameters[parameter]][key] = tensor


def claim(settings: dict[str, Any], path: Path) -> None:
    """A directory belongs to one run: silently mixing two settings would make its curve a lie."""
    text = json.dumps(settings, indent=1)
    if path.exists() and path.read_text() != text:
        raise ValueError(f"{path.parent} holds a run with other settings; choose another --out or delete it")
    path.write_text(text)
