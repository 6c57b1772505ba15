import random

import torch

from firesteel.train.glyphs import CLASSES, SIDE, SLOTS, SQUARE, GlyphHead, page, scattered, sheet


def test_pages_say_what_they_show_and_grow_harder():
    first, last = (page(random.Random(3), progress) for progress in (0.0, 1.0))
    for drawn in (first, last):
        assert drawn.image.size == (SIDE, SIDE)
        assert drawn.labels.shape == ((SIDE // SQUARE) ** 2, SLOTS) and drawn.labels.max() < CLASSES
    assert (first.labels[:, 0] > 0).sum() > 25 and not first.labels[:, 1:].any()  # one sign a square
    assert any(page(random.Random(seed), 1.0).labels[:, 1].any() for seed in range(5))


def test_an_empty_square_is_blank_and_a_labelled_one_is_not():
    for seed in range(20):
        drawn = page(random.Random(seed), 0.0)
        ground = drawn.image.getpixel((0, 0))
        for square, (sign, *_) in enumerate(drawn.labels):
            left, top = square % 6 * SQUARE, square // 6 * SQUARE
            colours = drawn.image.crop((left + 4, top + 4, left + SQUARE - 4, top + SQUARE - 4)).getcolors(1024)
            assert (sign == 0) == (len(colours) == 1 and colours[0][1] == ground)


def test_a_shrunk_page_has_more_characters_each_where_its_label_says():
    counts = {}
    for side in (SIDE, 2 * SIDE):
        pages = [scattered(random.Random(seed), side) for seed in range(30)]
        assert {page.image.size for page in pages} == {(SIDE, SIDE)}
        counts[side] = sum((page.labels > 0).sum() for page in pages)
        for drawn in pages:
            for square in (drawn.labels[:, 0] > 0).nonzero()[0]:
                left, top = square % 6 * SQUARE, square // 6 * SQUARE
                seen = drawn.image.crop((left - 6, top - 6, left + SQUARE + 6, top + SQUARE + 6))
                assert len(seen.getcolors(4096)) > 1
    assert counts[2 * SIDE] > 1.1 * counts[SIDE]


def test_a_sheet_shows_something_exactly_where_its_transcript_says_so():
    for seed in range(20):
        drawn = sheet(random.Random(seed))
        lines, columns = len(drawn.rows), len(drawn.rows[0])
        assert drawn.transcript.count("row ") == lines and all(len(row) == columns for row in drawn.rows)
        step_x, step_y = SIDE / columns, SIDE / lines
        for line, row in enumerate(drawn.rows):
            for column, text in enumerate(row):
                box = (column * step_x + 4, line * step_y + 4, (column + 1) * step_x - 4, (line + 1) * step_y - 4)
                colours = drawn.image.crop(tuple(map(round, box))).getcolors(4096)
                assert (text == "-") == (len(colours) == 1), (seed, line, column, text)


def test_the_head_learns_what_features_tell():
    torch.manual_seed(0)
    head = GlyphHead(16)
    features = torch.randn(8, 16)
    labels = torch.randint(0, CLASSES, (8, SLOTS))
    before = head.loss(features, labels)
    optimiser = torch.optim.Adam(head.parameters(), 0.1)
    for _ in range(50):
        optimiser.zero_grad()
        head.loss(features, labels).backward()
        optimiser.step()
    assert head.loss(features, labels) < before / 100
    assert (head(features).argmax(-1) == labels).all()


def test_a_low_sign_at_the_top_stands_in_the_first_row(monkeypatch):
    monkeypatch.setattr("firesteel.train.glyphs._text", lambda rng: "_")
    monkeypatch.setattr("firesteel.train.glyphs.clear", lambda place, *args, **options: place[3] < 12)
    pages = [scattered(random.Random(seed)) for seed in range(30)]
    assert any(page.labels.any() for page in pages) and not any(page.labels[6:].any() for page in pages)
