"""Addresses and what they lead to."""

import asyncio
import shutil
import subprocess
import sys

import pytest

from firesteel.agent.schedule import Joined
from firesteel.backends import Request, complete, open_backend
from firesteel.backends.gguf import GGUFBackend
from firesteel.backends.resolve import mmproj_beside
from firesteel.format import Message, Part, Tokenizer
from firesteel.tasks import get, make


def test_a_gguf_file_is_opened_with_the_projector_beside_it(files):
    backend = open_backend(str(files[0]), slots=1, threads=1, context=256)
    assert isinstance(backend, GGUFBackend)
    assert backend.name == str(files[0])
    assert backend._sees
    asyncio.run(backend.close())


def test_the_packaged_model_reads_more_than_it_was_trained_for():
    backend = open_backend(context=16384, slots=1, threads=1)
    tokenizer = backend.tokenizer
    ids = tokenizer.encode("the quick brown fox jumps over the lazy dog and runs away. " * 1200)[:8_400]
    assert (len(ids), backend.context) == (8_400, 16384)
    [sample] = asyncio.run(complete(backend, Request(prompt=ids, temperature=0, max_tokens=8)))
    assert (sample.prompt_tokens, len(sample.token_ids)) == (8_400, 8)
    asyncio.run(backend.close())


def test_the_packaged_model_is_shown_large_pictures_at_the_size_that_it_knows():
    """Nine times as many tokens as it was trained to see: before they were shrunk it answered none of them."""
    backend = open_backend(slots=1, threads=1)
    assert backend.tokenizer.max_image_tokens == Tokenizer.default().max_image_tokens
    problems = [make("bar_chart", number, 1) for number in range(4)]

    async def right(side: int) -> int:
        requests = []
        for problem in problems:
            picture = problem.image.resize((side, side))
            question = [Part(image=picture), Part(text=problem.question)]
            requests.append(Request(messages=[Message("user", question)], temperature=0, max_tokens=200))
        samples = [sample for request in requests for sample in await complete(backend, request)]
        pairs = zip(problems, samples, strict=True)
        return sum(get("bar_chart").check(problem, sample.parse().answer) for problem, sample in pairs)

    assert asyncio.run(right(504)) >= asyncio.run(right(168)) - 1 > 0
    asyncio.run(backend.close())


def test_backends_tell_their_tokenizer_context_and_slots(files, checkpoint):
    local = open_backend(str(files[0]), slots=2, threads=1)
    assert (local.context, local.slots, local.tokenizer.vocab_size) == (2048, 2, 1024)
    engine = open_backend(str(checkpoint), slots=3, context=100)
    assert (engine.context, engine.slots, engine.tokenizer.vocab_size) == (100, 3, 1024)
    remote = open_backend("openai:http://127.0.0.1:9/v1#x", slots=5)
    assert (remote.context, remote.slots, remote.tokenizer) == (None, 5, None)
    joined = Joined(local)
    assert (joined.context, joined.slots, joined.tokenizer) == (2048, 2, local.tokenizer)
    for backend in (local, engine, remote):
        asyncio.run(backend.close())


def test_projectors_are_found_by_name_or_as_the_only_one(tmp_path):
    def touch(name):
        (tmp_path / name).touch()
        return tmp_path / name

    model = touch("a.gguf")
    assert mmproj_beside(model) is None
    only = touch("mmproj-BF16.gguf")
    assert mmproj_beside(model) == only
    touch("mmproj-F16.gguf")
    assert mmproj_beside(model) is None
    assert mmproj_beside(model) != touch("mmproj-b.gguf")
    own = touch("a-mmproj.gguf")
    assert mmproj_beside(model) == own


def test_a_checkpoint_directory_is_opened_by_the_engine(checkpoint):
    backend = open_backend(str(checkpoint), slots=2, context=256)
    assert type(backend).__name__ == "EngineBackend"
    asyncio.run(backend.close())


BAD = ["nothing-here", "nothing-here.gguf", "README.md", "src", "hf:src", "openai:src", "~nobody-x", "hf:~nobody-x"]


@pytest.mark.parametrize("address", BAD)
def test_bad_addresses_are_refused(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "src").mkdir()
    with pytest.raises(ValueError, match=address.split(":")[-1]):
        open_backend(address)


@pytest.mark.parametrize(("prefix", "extra"), [("", "train"), ("hf:", "hf")])
def test_without_torch_a_directory_names_the_extra(checkpoint, prefix, extra):
    script = f"""
import sys
sys.modules["torch"] = None
from firesteel.backends import open_backend
try:
    open_backend({prefix + str(checkpoint)!r})
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert f"firesteel[{extra}]" in done.stdout, done.stderr


def test_kindling_is_the_packaged_model(files, tmp_path, monkeypatch):
    folder = tmp_path / "assets" / "kindling"
    folder.mkdir(parents=True)
    monkeypatch.setattr("firesteel.backends.resolve.resources.files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="missing"):
        open_backend()
    shutil.copy(files[0], folder / "kindling.gguf")
    shutil.copy(files[1], folder / "kindling-mmproj.gguf")
    backend = open_backend(slots=1, threads=1, context=256)
    assert backend.name == "kindling"
    asyncio.run(backend.close())


def test_an_address_with_a_scheme_leads_to_a_server_or_to_transformers(checkpoint):
    server = open_backend("openai:http://127.0.0.1:1/v1#some/model:7b", slots=1)
    assert (type(server).__name__, server.name) == ("OpenAIBackend", "openai:http://127.0.0.1:1/v1#some/model:7b")
    asyncio.run(server.close())
    backend = open_backend(f"hf:{checkpoint}", slots=1)
    assert (type(backend).__name__, backend.name) == ("TransformersBackend", f"hf:{checkpoint}")
    asyncio.run(backend.close())
