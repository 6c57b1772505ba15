from importlib import resources
from pathlib import Path

import pytest
import torch

from firesteel.backends.engine import EngineBackend
from firesteel.format import Tokenizer
from firesteel.model import load
from firesteel.model.gguf_import import to_directory


@pytest.fixture(scope="session")
def kindling(tmp_path_factory):
    """The packaged model as a checkpoint directory."""
    assets = Path(str(resources.files("firesteel"))) / "assets" / "kindling"
    directory = tmp_path_factory.mktemp("kindling") / "model"
    to_directory(assets / "kindling.gguf", assets / "kindling-mmproj.gguf", directory)
    return directory


@pytest.fixture
def policy(kindling):
    return load(kindling, torch.float32, "cpu")


@pytest.fixture
def opened(kindling, policy):
    """Opens the policy's backend; within a running event loop."""
    return lambda **options: EngineBackend.of(policy, Tokenizer(kindling / "tokenizer.json"), **options)
