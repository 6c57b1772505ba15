import dataclasses
import random
import re

import numpy as np
import pytest

from firesteel.format import Tokenizer, parse
from firesteel.tasks import make
from firesteel.tasks.albums import open_album
from firesteel.train.config import Mix, Stage
from firesteel.train.glyphs import SLOTS
from firesteel.train.shards import (
    BATCHES,
    Shards,
    _pack,
    build_shard,
    conversation,
    draw_sample,
    read_shard,
    sample_strength,
)
from firesteel.train.tokenizer import train_tokenizer
from tests.tasks.albums import small

STAGE = Stage(name="both", steps=BATCHES, rows=2, length=384, mix=Mix(text=0.25, captions=0.2, visual=0.5))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [make(name, seed).full for name in ("chain_sum", "bar_chart", "logic") for seed in range(50)]
    return Tokenizer(train_tokenizer(texts, 640, out=tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="module")
def shard(tokenizer, tmp_path_factory):
    text = np.array([tokenizer.id("<|begin_of_text|>"), *range(2, 200)] * 20, np.uint16)
    path = tmp_path_factory.mktemp("shards") / "a.npz"
    build_shard(STAGE, 0, 0, tokenizer, text, path)
    build_shard(STAGE, 0, 0, tokenizer, text, path.with_name("again.npz"))
    return path


def test_a_shard_is_a_pure_function_of_its_number(shard):
    pairs = zip(read_shard(shard, 2), read_shard(shard.with_name("again.npz"), 2), strict=True)
    for first, second in pairs:
        assert (first.ids == second.ids).all() and (first.mask == second.mask).all()
        assert [i.tobytes() for i in first.images] == [i.tobytes() for i in second.images]


def test_rows_hold_whole_samples_and_their_pictures(shard, tokenizer):
    begin, patch, image_start = (tokenizer.id(t) for t in ("<|begin_of_text|>", "<|patch|>", "<|image_start|>"))
    batches = list(read_shard(shard, STAGE.rows))
    assert len(batches) == BATCHES
    samples = 0
    for batch in batches:
        assert batch.ids.shape == (STAGE.rows, STAGE.length)
        assert (batch.ids == image_start).sum() == len(batch.images)
        merged = sum(i.width // 28 * (i.height // 28) for i in batch.images)
        assert (batch.ids == patch).sum() == merged
        for ids, mask, docs in zip(batch.ids, batch.mask, batch.docs, strict=True):
            for number in range(1, docs.max() + 1):
                sample = ids[docs == number]
                assert sample[0] == begin or mask.all()  # a window of running text may begin anywhere
                samples += 1
            assert not mask[docs == 0].any()
    assert samples > BATCHES * STAGE.rows


def test_learnt_tokens_are_what_the_assistant_says(tokenizer):
    rng = random.Random(0)
    sample = draw_sample(rng, Mix(families=("chain_sum",)), tokenizer)
    said = tokenizer.decode([i for i, m in zip(sample.ids, sample.mask, strict=True) if m])
    assert not parse(said).errors and parse(said).content.strip().isdigit()


def test_a_conversation_thinks_as_much_as_its_strength():
    problem = make("chain_sum", 3)
    lengths = [len(conversation(problem, s)[-1].reasoning) for s in (1, 16, 64, 256, 512)]
    assert lengths == sorted(set(lengths)) and lengths[0] == 0


def test_strengths_cover_the_scale():
    rng = random.Random(0)
    drawn = [sample_strength(rng, Mix()) for _ in range(2000)]
    assert min(drawn) == 1 and max(drawn) == 512 and len(set(drawn)) > 200
    low = [sample_strength(rng, Mix(strengths=(0.0, 1.0, 0.0, 0.0, 0.0))) for _ in range(200)]
    assert min(low) == 16 and 16 < max(low) < 64


def test_all_but_the_least_and_the_most_strength_may_think_alike(tokenizer):
    rng, thoughts = random.Random(1), {}
    for strength in (1, 16, 256, 512):
        weights = tuple(float(strength == each) for each in (1, 16, 64, 256, 512))
        mix = Mix(families=("equation",), strengths=weights, thought=64)
        said = tokenizer.decode(draw_sample(rng, mix, tokenizer).ids)
        thoughts[strength] = said.count("So "), said.count("Check")
    assert thoughts == {1: (0, 0), 16: (1, 0), 256: (1, 0), 512: (2, 1)}


def test_pictures_of_albums_are_drawn_from_the_trained_side(tokenizer, tmp_path):
    path = small.photographs(tmp_path / "a.zip")
    mix = Mix(pictures=1.0, captions=0.3, albums=(str(path),))
    stage = Stage(name="album", steps=BATCHES, rows=1, length=320, mix=mix)
    for name in ("one.npz", "two.npz"):
        build_shard(stage, 0, 0, tokenizer, np.zeros(0, np.uint16), tmp_path / name)
    batches = [list(read_shard(tmp_path / name, 1)) for name in ("one.npz", "two.npz")]
    assert all((a.ids == b.ids).all() for a, b in zip(*batches, strict=True))
    said = " ".join(tokenizer.decode(list(batch.ids[0])) for batch in batches[0])
    assert all(word in said for word in ("cup", "ship", "bbox_2d", "How many pictures", "Describe the picture."))
    album = open_album(str(path))
    shades = {album.image(number).getpixel((5, 5)) for number in album.trained}
    alone = {image.getpixel((5, 5)) for batch in batches[0] for image in batch.images if image.width != 224}
    assert len(alone) > 6 and alone <= shades


def test_pages_to_be_named_come_beside_the_rows_of_their_update(tokenizer, tmp_path):
    mix = Mix(families=("chain_sum",), albums=(str(small.photographs(tmp_path / "a.zip")),))
    stage = Stage(name="beside", steps=BATCHES, rows=2, length=320, named=3, mix=mix)
    build_shard(stage, 0, 0, tokenizer, np.zeros(0, np.uint16), tmp_path / "shard.npz")
    batches = list(read_shard(tmp_path / "shard.npz", 2))
    assert len(batches) == BATCHES
    for batch in batches:
        assert batch.ids.shape == (2, 320) and len(batch.pages) == 3 and batch.glyphs.shape == (3 * 36, SLOTS)
    assert len({page.tobytes() for batch in batches for page in batch.pages}) > 2 * BATCHES


def test_moved_pictures_keep_their_question_and_answer(tokenizer):
    still, moved = (Mix(families=("bar_chart",), moved=share) for share in (0.0, 1.0))
    one, two = (draw_sample(random.Random(4), mix, tokenizer) for mix in (still, moved))
    answers = [tokenizer.decode(sample.ids).rsplit("<|message|>")[-1] for sample in (one, two)]
    assert answers[0] == answers[1] and one.images[0].size != two.images[0].size


def test_tasks_are_asked_in_other_words(tokenizer):
    asked = []
    for share in (0.0, 1.0):
        sample = draw_sample(random.Random(4), Mix(families=("compare",), wording=share), tokenizer)
        asked.append(tokenizer.decode(sample.ids).partition("<|start|>user<|message|>")[2].partition("<|eot|>")[0])
    assert asked[0] != asked[1] and [re.findall(r"\d+", text) for text in asked] == [["43", "10", "17"]] * 2


def test_words_are_spelled_letter_by_letter_and_joined_again(tokenizer):
    rng, mix = random.Random(0), Mix(spelling=1.0, families=("chain_sum",))
    kinds = set()
    for _ in range(60):
        sample = draw_sample(rng, mix, tokenizer)
        said = parse(tokenizer.decode([i for i, m in zip(sample.ids, sample.mask, strict=True) if m])).content
        asked = tokenizer.decode(sample.ids).split("<|eot|>")[-3].rpartition(": ")[2]
        kind = "joined" if " " in asked.split(", ")[0] else "numbered" if said.startswith("1 ") else "spelled"
        kinds.add(kind)
        words, letters = (said, asked) if kind == "joined" else (asked, said)
        letters = re.sub(r"(^| )\d+ (?=\w)", r"\1", letters) if kind == "numbered" else letters
        assert [each.replace(" ", "") for each in letters.split(", ")] == words.split(", ")
    assert kinds == {"joined", "numbered", "spelled"}


def test_every_turn_of_a_talk_is_learnt(tokenizer):
    rng, mix = random.Random(2), Mix(talk=1.0)
    for _ in range(20):
        sample = draw_sample(rng, mix, tokenizer)
        whole = tokenizer.decode(sample.ids)
        learnt = tokenizer.decode([i for i, m in zip(sample.ids, sample.mask, strict=True) if m])
        assert not sample.images and learnt.count("<|eot|>") == whole.count("assistant to=user")


def test_a_share_of_pictures_without_albums_is_explained(tokenizer):
    with pytest.raises(ValueError, match="firesteel data pictures"):
        draw_sample(random.Random(0), Mix(pictures=1.0), tokenizer)


def test_rows_are_filled(shard):
    """Best-fit decreasing leaves little room; first come, first served would leave a third."""
    batches = list(read_shard(shard, STAGE.rows))
    assert np.mean([(batch.docs > 0).mean() for batch in batches]) > 0.88


def test_packing_prefers_no_length(tokenizer):
    mix, rng = Mix(families=("chain_sum",)), random.Random(0)
    drawn = np.mean([len(draw_sample(rng, mix, tokenizer).ids) for _ in range(1000)])
    rows = _pack(random.Random(1), Stage(name="x", steps=1, length=384, mix=mix), 60, tokenizer)
    lengths = [(docs == number).sum() for _, _, docs, _ in rows for number in range(1, docs.max() + 1)]
    assert abs(np.mean(lengths) / drawn - 1) < 0.08


def test_ranks_draw_each_their_part_and_use_all(tokenizer, tmp_path):
    stage = dataclasses.replace(STAGE, steps=2 * BATCHES, mix=Mix(families=("chain_sum",)))
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer.path.read_bytes())
    ranks = [Shards(stage, 0, path, None, tmp_path / "shards", 1, rank, 2) for rank in range(2)]
    drawn = [[], []]
    for shards, numbers in zip(ranks, drawn, strict=True):
        submit = shards._pool.submit
        shards._pool.submit = lambda work, *args, submit=submit, to=numbers: (to.append(args[2]), submit(work, *args))[
            1
        ]
    for first, second in zip(*(shards.batches(0) for shards in ranks), strict=True):
        assert (first.ids == second.ids).all()
    assert drawn == [[0], [1]]
    for shards in ranks:
        shards.close()


def test_rows_too_short_for_any_sample_are_refused(tokenizer):
    stage = Stage(name="narrow", steps=1, length=4, mix=Mix(families=("chain_sum",)))
    with pytest.raises(ValueError, match="No sample of stage 'narrow' fits its rows of 4"):
        _pack(random.Random(0), stage, 1, tokenizer)
