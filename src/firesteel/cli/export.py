"""`firesteel export`: a GGUF model back to a directory for transformers."""

from __future__ import annotations

from importlib import resources
from os.path import expanduser
from pathlib import Path

from firesteel.backends.resolve import PACKAGED, mmproj_beside
from firesteel.cli.train import require_extra


def export(directory: Path, model: str) -> None:
    """Raises ValueError for a directory that holds something already, and for a model that is not ours."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ValueError(f"{directory} is there already and is no empty directory.")
    require_extra("Export")
    from firesteel.model.gguf import mmproj_path_of
    from firesteel.model.gguf_import import to_directory

    packaged = Path(str(resources.files("firesteel") / "assets" / PACKAGED / f"{PACKAGED}.gguf"))
    path = packaged if model == PACKAGED else Path(expanduser(model))
    to_directory(path, mmproj_beside(path) or mmproj_path_of(path), directory)
    print(f"{directory}: {', '.join(sorted(file.name for file in directory.iterdir()))}")
