"""From an address to a backend."""

from __future__ import annotations

from importlib import resources
from os.path import expanduser
from pathlib import Path
from typing import Any

from firesteel.backends.base import Backend

PACKAGED = "kindling"


def open_backend(address: str = PACKAGED, **options: Any) -> Backend:
    """Opens the model at an address.

    - `kindling`: the packaged one
    - a `.gguf` file; its vision projector is found beside it
    - a checkpoint directory, for our own engine
    - `hf:DIR`: a checkpoint directory of any architecture, for transformers
    - `openai:http://host:port/v1#name`: a server; without a name, its only model

    `options` are those of the backend: slots, context, ... Raises ValueError, with one sentence, for an address that
    leads to no usable model. A server is first asked when there is a request.
    """
    if address == PACKAGED:
        folder = Path(str(resources.files("firesteel"))) / "assets" / PACKAGED
        path = folder / f"{PACKAGED}.gguf"
        if not path.is_file():
            raise ValueError("The packaged model kindling is missing from this installation.")
        return _gguf(path, options, name=PACKAGED)
    kind, _, rest = address.partition(":")
    if kind == "openai":
        return _openai(rest, options, name=address)
    if kind == "hf":
        return _transformers(Path(expanduser(rest)), options, name=address)
    path = Path(expanduser(address))
    if path.is_dir():
        return _directory(path, options)
    if path.suffix == ".gguf":
        return _gguf(path, options, name=address)
    what = "a file of another kind" if path.exists() else "not there"
    raise ValueError(
        f"The model {address} is {what}: name kindling, a .gguf file, a checkpoint directory, hf:DIR or openai:URL."
    )


def mmproj_beside(model: Path) -> Path | None:
    """The vision projector that belongs to a GGUF file: by its name, or the only one in the folder."""
    for name in (f"{model.stem}-mmproj.gguf", f"mmproj-{model.stem}.gguf"):
        if model.with_name(name).is_file():
            return model.with_name(name)
    found = [path for path in model.parent.glob("*mmproj*.gguf") if path != model]
    return found[0] if len(found) == 1 else None


def _gguf(path: Path, options: dict[str, Any], name: str) -> Backend:
    from firesteel.backends.gguf import GGUFBackend

    return GGUFBackend(path, mmproj_beside(path), name=name, **options)


def _openai(rest: str, options: dict[str, Any], name: str) -> Backend:
    from firesteel.backends.openai import OpenAIBackend

    url, _, model = rest.partition("#")
    return OpenAIBackend(url, model, name=name, **options)


def _transformers(path: Path, options: dict[str, Any], name: str) -> Backend:
    _check_directory(path)
    try:
        from firesteel.backends.hf import TransformersBackend
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers", "jinja2"):
            raise
        raise ValueError("hf: models need transformers and PyTorch: pip install 'firesteel[hf]'.") from error
    return TransformersBackend(path, name=name, **options)


def _directory(path: Path, options: dict[str, Any]) -> Backend:
    _check_directory(path)
    try:
        from firesteel.backends.engine import EngineBackend
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise ValueError("A checkpoint directory needs PyTorch: pip install 'firesteel[train]'.") from error
    return EngineBackend(path, **options)


def _check_directory(path: Path) -> None:
    if not (path / "config.json").is_file():
        raise ValueError(f"{path} is not a checkpoint directory: it has no config.json.")
