import pytest

from firesteel.format import Tokenizer
from firesteel.train.tokenizer import train_tokenizer
from tests.engine.tiny import make_pair


@pytest.fixture(params=["muse_glimmer", "muse_spark"])
def pair(request):
    return make_pair(request.param)


@pytest.fixture
def glimmer():
    return make_pair("muse_glimmer")


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    corpus = ["assistant to=self to=user The quick brown fox jumps over 12345 lazy dogs, 是 é"] * 20
    train_tokenizer(corpus, 512, out=directory)
    return Tokenizer(directory / "tokenizer.json")
