"""One small build of everything, looked at from all sides."""

import bz2
import dataclasses
import hashlib
import json
import random

import datasets
import numpy as np
import pytest

from firesteel.format import Tokenizer
from firesteel.tasks import make
from firesteel.tasks.base import HELD_OUT
from firesteel.train.corpus import documents, encode_corpus, is_built, shards
from firesteel.train.curation.build import build
from firesteel.train.curation.recipe import Executor, Recipe, Source

LICENSED = {"licence": "CC BY-SA 4.0", "attribution": "its writers"}
QUESTION = "A ferryman carries nine goats across the green river before noon; how many goats wait on the far bank?"
FRENCH = "Il était une fois un petit garçon qui vivait avec sa mère dans une maison au bord de la forêt. " * 12
STUB = "Here a page was begun about some old bridge that nobody has ever finished, since its writer went to look at it."
_NAMES = ["miller", "carter", "sailor", "teacher", "farmer", "painter", "baker", "doctor", "soldier", "tailor"]
_THINGS = ["river", "garden", "castle", "market", "bridge", "forest", "harbour", "kitchen", "window", "orchard"]
_ACTS = ["walked past", "had painted", "remembered", "wrote about", "was fond of", "looked for", "ran from"]


def prose(seed: int, sentences: int = 14) -> str:
    """A text that no filter objects to, unlike those of other seeds."""
    rng = random.Random(seed)
    lines = []
    for _ in range(sentences):
        one, two, three = rng.sample(_NAMES, 3)
        first, second = (f"{rng.choice(_ACTS)} the {rng.choice(_THINGS)}" for _ in range(2))
        lines.append(f"That {one} from number {rng.randrange(10**4)} {first} with a {two}, and the {three} {second}.")
    return "\n".join(lines)


def corpus(root) -> Recipe:
    """Writes the sources under `root`: of each kind one, with things to drop planted in them."""
    notes = root / "notes"
    notes.mkdir()
    for seed in range(6):
        (notes / f"{seed}.md").write_text(prose(seed))
    (notes / "asked.md").write_text(f"{prose(50, 7)}\nHe asked: {QUESTION.upper()}\n{prose(51, 7)}")
    (notes / "french.md").write_text(FRENCH)
    (notes / "stub.md").write_text(STUB)
    (notes / "forged.md").write_text(f"{prose(60)}\nHe typed <|eot|> and <|begin_of_text|> into the old machine.")
    near = prose(0).replace("miller", "smith", 1)
    rows = [prose(20), prose(1), near, prose(21)]  # a copy of a note, and nearly one
    (root / "rows.jsonl").write_text("".join(json.dumps({"title": "Row", "body": row}) + "\n" for row in rows))
    page = "<page><title>{}</title><ns>0</ns><id>{}</id><revision><text>{}</text></revision></page>"
    pages = "".join(page.format(f"T{n}", n, f"'''Here''' {prose(n)} {{{{cite}}}}") for n in (30, 32))
    (root / "dump.xml.bz2").write_bytes(bz2.compress(f'<mediawiki xmlns="x">{pages}</mediawiki>'.encode()))
    datasets.Dataset.from_dict({"text": [prose(40), prose(41), prose(42)]}).save_to_disk(root / "set")
    (root / "public.txt").write_text(QUESTION + "\n")
    return Recipe(
        name="tiny",
        root=str(root),
        sources=(
            Source(name="notes", kind="text", path="notes", weight=2.0, **LICENSED),
            Source(name="rows", kind="jsonl", path="rows.jsonl", template="{title}\n{body}", **LICENSED),
            Source(name="rows-again", kind="jsonl", path="rows.jsonl", template="{body}", weight=0.5, **LICENSED),
            Source(name="dump", kind="wikipedia", path="dump.xml.bz2", **LICENSED),
            Source(name="set", kind="dataset", path="set", **LICENSED),
            Source(name="tasks", kind="tasks", families=("product",), levels=(1,), samples=80, **LICENSED),
        ),
        vocab_size=512,
        evaluation_files=("public.txt",),
        evaluation_problems=60,
        evaluation_seeds=1,
        shard_tokens=6000,
    )


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def built(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "corpus"
    build(recipe, out)
    return out


@pytest.fixture(scope="module")
def manifest(built):
    return json.loads((built / "manifest.json").read_text())


def described(manifest, name):
    return next(source for source in manifest["sources"] if source["name"] == name)


def texts(built):
    return list(documents(built))


def test_what_was_planted_is_dropped_for_its_reason(manifest, built):
    notes = described(manifest, "notes")
    assert notes["in"]["documents"] == 10
    assert notes["dropped"] == {
        "language": {"language fr": 1},
        "gopher": {"gopher_short_doc": 1},
        "evaluation": {"asked by public.txt": 1},
    }
    assert not any("ferryman" in text.lower() or "garçon" in text or text == STUB for text in texts(built))
    shown = (built / "dropped" / "notes" / "evaluation").glob("*.jsonl")
    assert [json.loads(line)["id"] for path in shown for line in path.read_text().splitlines()] == ["notes/asked.md/0"]


def test_copies_and_near_copies_of_an_earlier_source_are_dropped(manifest, built):
    assert described(manifest, "rows")["dropped"] == {"near duplicate": {"duplicate": 2}}
    again = described(manifest, "rows-again")["dropped"]
    assert again["exact duplicate"] == {"duplicate": 1} and again["near duplicate"] == {"duplicate": 3}
    kept = texts(built)
    assert kept.count(prose(1)) == 2  # the note, in two passes
    assert sum("smith" in text for text in kept) == 0


def test_held_out_questions_are_dropped_from_generated_ones(manifest, built):
    tasks = described(manifest, "tasks")
    asked = {make("product", HELD_OUT + number, level).question for number in range(60) for level in (1, 2, 3)}
    held = [n for n in range(80) if make("product", n, 1).question in asked]
    assert tasks["dropped"]["evaluation"] == {"asked by family product": len(held)} and held
    assert not any(text.splitlines()[0] in asked for text in texts(built))


def test_counts_add_up(manifest, built):
    for source in manifest["sources"]:
        lost = sum(sum(reasons.values()) for reasons in source["dropped"].values())
        assert source["in"]["documents"] - lost == source["out"]["documents"]
        mixed = source["out"]["mixture"]["documents"]
        assert mixed == round(source["weight"] * source["out"]["documents"])
        assert source["licence"] and source["attribution"]
    mixtures = [source["out"]["mixture"] for source in manifest["sources"]]
    assert sum(mixture["tokens"] for mixture in mixtures) == manifest["tokens"] == sum(map(len, shards(built)))
    assert sum(mixture["documents"] for mixture in mixtures) == manifest["documents"] == len(texts(built))
    assert described(manifest, "dump")["inputs"][0]["bytes"] > 0
    assert described(manifest, "set")["in"]["documents"] == 3


def test_shards_hold_whole_documents_and_no_forged_control_token(manifest, built):
    tokenizer = Tokenizer(built / "tokenizer" / "tokenizer.json")
    arrays = shards(built)
    assert len(arrays) > 1
    for array, shard in zip(arrays, manifest["shards"], strict=True):
        assert array.dtype == np.uint16 and array[0] == tokenizer.id("<|begin_of_text|>") and len(array) <= 6000
        assert hashlib.sha256((built / shard["file"]).read_bytes()).hexdigest() == shard["sha256"]
        assert tokenizer.id("<|eot|>") not in array
    assert any("typed <|eot|> and <|begin_of_text|>" in text for text in texts(built))


def test_a_run_reads_a_built_directory(built, tmp_path):
    tokenizer = Tokenizer(built / "tokenizer" / "tokenizer.json")
    encode_corpus([built], tokenizer, tmp_path / "text.npy", megabytes=0)
    assert np.array_equal(np.load(tmp_path / "text.npy"), np.concatenate(shards(built)))
    encode_corpus([built], Tokenizer.default(), tmp_path / "other.npy", megabytes=0)  # another vocabulary
    ids = np.load(tmp_path / "other.npy")
    begin = Tokenizer.default().id("<|begin_of_text|>")
    assert (ids == begin).sum() == len(texts(built))
    decoded = {Tokenizer.default().decode(part[1:].tolist()) for part in np.split(ids, np.flatnonzero(ids == begin))}
    assert decoded - {""} == set(texts(built))


def test_the_same_recipe_writes_the_same_bytes_also_when_it_was_stopped(recipe, built, tmp_path, monkeypatch):
    out = tmp_path / "again"
    stopped = "near-drop"

    def stop(name, number, total):
        if name == stopped:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(recipe, out, stop)
    assert not is_built(out)
    finished = out / "scratch" / "read" / "notes" / "00000.jsonl"
    before = finished.stat().st_mtime_ns
    build(recipe, out)
    assert finished.stat().st_mtime_ns == before  # what was finished is not done again
    for path in [*built.glob("tokens-*.npy"), built / "manifest.json", built / "tokenizer" / "tokenizer.json"]:
        assert path.read_bytes() == (out / path.relative_to(built)).read_bytes(), path.name


def test_a_directory_belongs_to_one_recipe_and_one_state_of_its_sources(recipe, built):
    with pytest.raises(ValueError, match="another recipe"):
        build(dataclasses.replace(recipe, seed=1), built)
    build(dataclasses.replace(recipe, executor=Executor(workers=2)), built)  # where it runs changes nothing
