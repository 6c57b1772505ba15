import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from firesteel.train.batches import device_batch, rows_of
from firesteel.train.glyphs import SLOTS, GlyphHead
from firesteel.train.shards import Batch

CPU = torch.device("cpu")


def batch(image_rows):
    rng = np.random.default_rng(0)
    ids, mask = rng.integers(0, 99, (4, 8)), rng.integers(0, 2, (4, 8)).astype(np.uint8)
    images = [Image.new("RGB", (28 * (1 + row), 28)) for row in image_rows]
    return Batch(ids, mask, np.ones((4, 8), np.uint8), images, image_rows=np.array(image_rows, np.int32))


def test_ranks_share_the_rows_and_their_pictures():
    whole = batch([0, 1, 1, 2, 3])
    parts = [rows_of(whole, rank, 2) for rank in range(2)]
    assert (np.concatenate([p.ids for p in parts]) == whole.ids).all()
    assert [[i.width // 28 for i in p.images] for p in parts] == [[1, 2, 2], [3, 4]]


def test_a_rank_without_pictures_runs_the_tower_all_the_same():
    part = rows_of(batch([0, 1]), 1, 2)
    assert len(part.images) == 1
    assert not rows_of(batch([]), 1, 2).images  # where no rank has any, none does


def test_shares_weigh_the_ranks_means_to_the_mean_of_all():
    whole = batch([])
    parts = [device_batch(whole, CPU, rank, 2) for rank in range(2)]
    alone = device_batch(whole, CPU)
    assert alone.share == 1 and sum(p.count for p in parts) == alone.count
    losses = torch.rand(4, 8)
    means = [losses[2 * rank : 2 * rank + 2][p.learnt].mean() * p.share for rank, p in enumerate(parts)]
    assert sum(means).item() == pytest.approx(losses[alone.learnt].mean().item())


def test_shares_of_a_reading_stage_know_what_empty_slots_weigh():
    rng = np.random.default_rng(0)
    glyphs = rng.integers(0, 3, (8, SLOTS)).astype(np.uint8)
    empty = np.zeros((4, 0), np.uint8)
    whole = Batch(empty.astype(np.int64), empty, empty, [], glyphs=glyphs)
    head = GlyphHead(16)
    torch.nn.init.normal_(head.out.weight)
    features = torch.randn(8, 16)
    parts = [device_batch(whole, CPU, rank, 2) for rank in range(2)]
    shares = [head.loss(features[4 * rank : 4 * rank + 4], p.glyphs) * p.glyph_share for rank, p in enumerate(parts)]
    assert sum(shares).item() == pytest.approx(head.loss(features, torch.from_numpy(glyphs)).item(), rel=1e-5)


def test_pages_beside_the_rows_are_shared_and_come_last():
    rows = batch([0, 1, 2, 3])
    pages = [Image.new("RGB", (28, 56)) for _ in range(4)]
    whole = dataclasses.replace(rows, pages=pages, glyphs=np.ones((8, SLOTS), np.uint8))
    parts = [device_batch(whole, CPU, rank, 2) for rank in range(2)]
    for part in parts:
        assert part.grid.tolist()[-2:] == [[1, 4, 2]] * 2 and len(part.glyphs) == 4
        assert part.count == int(part.learnt.sum()) and part.glyph_share == 0.5
    assert sum(part.share for part in parts) == pytest.approx(1)
