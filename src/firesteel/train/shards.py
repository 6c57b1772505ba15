"""Packed training data: a pure function of (seed, stage, shard number), drawn by worker processes and kept on disk.

A shard holds the rows of `BATCHES` consecutive updates. Samples (a conversation with its pictures) are packed whole
into rows of fixed length; `docs` numbers the samples of a row, so that attention never crosses from one to another:
best-fit decreasing over a shard (Ding et al. 2024, arXiv 2404.10830), which leaves few positions empty (`filled` in the
metrics). One shape for every batch means one compilation. Pictures stay PNG until the batch is used.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from firesteel.format import STRENGTHS, Message, Part, Tokenizer, render
from firesteel.tasks import FAMILIES, make
from firesteel.tasks.albums import families, open_album
from firesteel.tasks.base import HELD_OUT, Family, Problem, thought
from firesteel.tasks.drawing import moved
from firesteel.train import calls, looks, operators, spelling, talk, wording
from firesteel.train.config import Mix, Stage
from firesteel.train.glyphs import Page, page, scattered, sheet
from firesteel.train.named import named

BATCHES = 32
_MISSES = 1000  # samples drawn before it is said that none fits

_PLACED = ("point", "box")  # families whose words name places by numbers
_DESCRIBE = ("Describe the picture.", "What is in the picture?", "Say all that you see.")


@dataclass(frozen=True)
class Sample:
    """Token ids, loss mask (1 where the token is learnt) and the pictures of one conversation."""

    ids: list[int]
    mask: list[int]
    images: Sequence[Image.Image]


@dataclass(frozen=True)
class Batch:
    """(R, L) arrays of one update and its pictures in reading order; in a reading stage L is 0.

    `pages` are the pictures that the tower alone reads, `glyphs` (squares, slots) what stands in each of their squares.
    `image_rows` (images,) says which row each picture of `images` belongs to. `after` and `positions` (R, L), where
    samples share a prompt: the number of the sample that a token goes on from (0: none), and the token's place in its
    own sequence.
    """

    ids: np.ndarray
    mask: np.ndarray
    docs: np.ndarray
    images: Sequence[Image.Image]
    pages: Sequence[Image.Image] = ()
    glyphs: np.ndarray | None = None
    image_rows: np.ndarray | None = None
    after: np.ndarray | None = None
    positions: np.ndarray | None = None


def sample_strength(rng: random.Random, mix: Mix) -> int:
    """A strength 1..512: a mind is asked for it by a number, half the time a named one, else any up to the next."""
    named = [strength for strength in STRENGTHS.values() if strength]
    place = rng.choices(range(len(named)), mix.strengths)[0]
    low = named[place]
    high = named[place + 1] - 1 if place + 1 < len(named) else low
    return low if rng.random() < 0.5 else rng.randint(low, high)


def conversation(problem: Problem, strength: int) -> list[Message]:
    """The training example: question (picture first), the thought that belongs to the strength, the answer."""
    return [problem.message, Message("assistant", problem.answer, thought(problem, strength))]


def draw_sample(rng: random.Random, mix: Mix, tokenizer: Tokenizer) -> Sample:
    """One of the other kinds that a mix has, in the order that `Mix` tells, or a task, or its picture described."""
    if mix.calls and rng.random() < mix.calls:
        return _tool_sample(rng, mix, tokenizer, calls.conversation)
    if mix.talk and rng.random() < mix.talk:
        strength = sample_strength(rng, mix)
        return _sample(talk.conversation(rng, strength, mix.questions, mix.wording), strength, tokenizer)
    if mix.operators and rng.random() < mix.operators:
        return _operator_sample(rng, mix, tokenizer)
    if mix.looks and rng.random() < mix.looks:
        return _tool_sample(rng, mix, tokenizer, looks.conversation)
    if mix.pictures and rng.random() < mix.pictures:
        return _album_sample(rng, mix, tokenizer)
    if rng.random() < mix.sheets:
        return _sheet_sample(rng, tokenizer)
    if mix.spelling and rng.random() < mix.spelling:
        return _at_once(spelling.conversation(rng, tokenizer), tokenizer)
    names = list(mix.families) or list(FAMILIES)
    visual = [n for n in names if FAMILIES[n].visual]
    textual = [n for n in names if not FAMILIES[n].visual]
    describe = bool(visual) and rng.random() < mix.captions
    pool = visual if visual and (describe or not textual or rng.random() < mix.visual) else textual
    name = rng.choice(pool)
    level = rng.choices(range(1, len(mix.levels) + 1), mix.levels)[0]
    problem = make(name, rng.randrange(HELD_OUT), min(level, FAMILIES[name].levels))
    if mix.wording and rng.random() < mix.wording:
        problem = wording.changed(problem, rng)
    if mix.moved and problem.image is not None and name not in _PLACED and rng.random() < mix.moved:
        problem = replace(problem, image=moved(problem.image, rng))
    return _told(rng, mix, tokenizer, problem, describe)


def _told(rng: random.Random, mix: Mix, tokenizer: Tokenizer, problem: Problem, describe: bool) -> Sample:
    """The problem asked and answered, or its picture described."""
    if describe:
        assert problem.image is not None
        question = [Part.image_of(problem.image), Part.text_of(rng.choice(_DESCRIBE))]
        messages = [Message(role="user", content=question), Message(role="assistant", content=problem.caption)]
        strength = STRENGTHS["minimal"]
    else:
        strength = sample_strength(rng, mix)
        thinks = sample_strength(rng, mix) if mix.spread and rng.random() < mix.spread else strength
        if mix.thought and STRENGTHS["low"] <= thinks < STRENGTHS["xhigh"]:
            thinks = mix.thought
        messages = conversation(problem, thinks)
    return _sample(messages, strength, tokenizer)


@lru_cache
def _asked(album: str) -> list[Family]:
    """What is asked about the pictures of an album that training may see."""
    return list(families(open_album(album)).values())


def _album_sample(rng: random.Random, mix: Mix, tokenizer: Tokenizer) -> Sample:
    if not mix.albums:
        raise ValueError("A share of pictures needs albums: name files that firesteel data pictures made.")
    problem = rng.choice(_asked(rng.choice(mix.albums))).generate(rng, 1)
    return _told(rng, mix, tokenizer, problem, rng.random() < mix.captions)


def _tool_sample(rng: random.Random, mix: Mix, tokenizer: Tokenizer, draw: Callable) -> Sample:
    strength = sample_strength(rng, mix)
    messages, tools = draw(rng, strength)
    return _sample(messages, strength, tokenizer, tools)


def _operator_sample(rng: random.Random, mix: Mix, tokenizer: Tokenizer) -> Sample:
    if not mix.pools:
        raise ValueError("A share of operators needs pools: name files that firesteel data answers made.")
    messages, strength = operators.conversation(rng, sample_strength(rng, mix), mix.pools)
    return _sample(messages, strength, tokenizer)


def _sheet_sample(rng: random.Random, tokenizer: Tokenizer) -> Sample:
    """A sheet read aloud, or, one time in three, asked for one place of it."""
    drawn = sheet(rng)
    question, answer = "Read the rows.", drawn.transcript
    if rng.random() < 1 / 3:
        row = rng.randrange(len(drawn.rows))
        column = rng.randrange(len(drawn.rows[row]))
        question, answer = f"What stands in row {row + 1}, column {column + 1}?", drawn.rows[row][column]
    asked = [Part.image_of(drawn.image), Part.text_of(question)]
    return _at_once([Message(role="user", content=asked), Message(role="assistant", content=answer)], tokenizer)


def _at_once(messages: Sequence[Message], tokenizer: Tokenizer) -> Sample:
    """What is said without a thought."""
    return _sample(messages, STRENGTHS["minimal"], tokenizer)


def _sample(
    messages: Sequence[Message], strength: int, tokenizer: Tokenizer, tools: Sequence[dict[str, Any]] = ()
) -> Sample:
    rendered = render(messages, tools, strength, tokenizer, generation_prompt=False)
    return Sample(rendered.ids, rendered.loss_mask, rendered.images)


def build_shard(stage: Stage, seed: int, number: int, tokenizer: Tokenizer, text: np.ndarray, out: Path) -> None:
    """Draws the rows of shard `number` of a stage and writes them to `out` (atomically)."""
    rng = random.Random(f"{seed}/{stage.name}/{number}")
    if stage.objective != "text":
        count = BATCHES * stage.rows
        if stage.objective == "primer":
            pages = [page(rng, (number * BATCHES + row // stage.rows) / stage.steps) for row in range(count)]
        else:
            pages = [scattered(rng) for _ in range(count)]
        empty = np.zeros(0, np.uint16)
        _write(out, [(empty, empty, empty, [])] * count, pages)
        return
    rows_total = BATCHES * stage.rows
    text_rows = round(rows_total * stage.mix.text) if len(text) > stage.length else 0
    packed = _pack(rng, stage, rows_total - text_rows, tokenizer)
    per_shard = text_rows * stage.length
    for row in range(text_rows):  # consecutive windows of the shuffled corpus, wrapping at its end
        start = (number * per_shard + row * stage.length) % (len(text) - stage.length)
        ids = text[start : start + stage.length]
        docs = np.cumsum(ids == tokenizer.id("<|begin_of_text|>"))
        docs += docs[0] == 0  # a window that begins within a document
        packed.append((ids, np.ones(stage.length, np.uint8), docs.astype(np.uint8), []))
    rng.shuffle(packed)
    _write(out, packed, [named(rng, stage.mix.albums) for _ in range(BATCHES * stage.named)])


def _write(out: Path, packed: Sequence[tuple], pages: Sequence[Page]) -> None:
    images = [(row, _png(image)) for row, (_, _, _, row_images) in enumerate(packed) for image in row_images]
    drawn = [_png(page.image) for page in pages]
    temporary = out.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        ids=np.stack([p[0] for p in packed]).astype(np.uint16),
        mask=np.stack([p[1] for p in packed]).astype(np.uint8),
        docs=np.stack([p[2] for p in packed]).astype(np.uint8),
        image_row=np.array([row for row, _ in images], np.int32),
        image_end=np.cumsum([len(data) for _, data in images]).astype(np.int64),
        image_data=np.frombuffer(b"".join(data for _, data in images), np.uint8),
        page_end=np.cumsum([len(data) for data in drawn]).astype(np.int64),
        page_data=np.frombuffer(b"".join(drawn), np.uint8),
        glyphs=np.stack([page.labels for page in pages]) if pages else np.zeros((0, 0, 0), np.uint8),
    )
    temporary.replace(out)


def _pack(rng: random.Random, stage: Stage, count: int, tokenizer: Tokenizer) -> list:
    """Fills `count` rows: the longest sample first, each into the fullest row that it fits, else into a new one.

    A few more samples are drawn than fit, and rows left out by lot: no length that fits is preferred. Raises ValueError
    where none does.
    """
    samples: list[Sample] = []
    tokens = missed = 0
    while tokens <= count * stage.length:
        sample = draw_sample(rng, stage.mix, tokenizer)
        if len(sample.ids) <= stage.length:
            samples.append(sample)
            tokens += len(sample.ids)
        else:
            missed += 1
        if missed == _MISSES and not samples:
            raise ValueError(f"No sample of stage {stage.name!r} fits its rows of {stage.length}: make them longer.")
    rows: list[list[Sample]] = []
    used: list[int] = []
    for sample in sorted(samples, key=lambda s: len(s.ids), reverse=True):
        fits = [row for row, n in enumerate(used) if n + len(sample.ids) <= stage.length]
        if not fits:
            rows.append([])
            used.append(0)
        best = max(fits, key=used.__getitem__) if fits else -1
        rows[best].append(sample)
        used[best] += len(sample.ids)
    pad = tokenizer.id("<|finetune_right_pad|>")
    return [_row(row, stage.length, pad) for row in rng.sample(rows, count)]


def _row(samples: list[Sample], length: int, pad: int) -> tuple:
    ids = np.full(length, pad, np.uint16)
    mask = np.zeros(length, np.uint8)
    docs = np.zeros(length, np.uint8)
    at = 0
    for number, sample in enumerate(samples, 1):
        span = slice(at, at + len(sample.ids))
        ids[span], mask[span], docs[span] = sample.ids, sample.mask, number
        at += len(sample.ids)
    return ids, mask, docs, [image for sample in samples for image in sample.images]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def read_shard(path: Path, rows: int) -> Iterator[Batch]:
    """Yields the batches of a shard in order."""
    with np.load(path, allow_pickle=False) as shard:
        ids, mask, docs = shard["ids"], shard["mask"], shard["docs"]
        image_row = shard["image_row"]
        images, pages = (np.split(shard[f"{kind}_data"], shard[f"{kind}_end"])[:-1] for kind in ("image", "page"))
        glyphs = shard["glyphs"]  # (pages, squares, slots)
    share = len(pages) * rows // len(ids)  # of an update
    for number, first in enumerate(range(0, len(ids), rows)):
        chosen = np.nonzero((image_row >= first) & (image_row < first + rows))[0]
        span, part = slice(first, first + rows), slice(number * share, (number + 1) * share)
        yield Batch(
            ids[span].astype(np.int64),
            mask[span],
            docs[span],
            [_opened(images[i]) for i in chosen],
            [_opened(page) for page in pages[part]],
            np.concatenate(glyphs[part]) if share else None,
            image_row[chosen] - first,
        )


def _opened(data: np.ndarray) -> Image.Image:
    return Image.open(io.BytesIO(data.tobytes()))


def _work(stage: Stage, seed: int, number: int, tokenizer_path: str, text_path: str, out: str) -> None:
    """What a worker process does: loads what it needs from disk and draws one shard."""
    text = np.load(text_path, mmap_mode="r") if text_path else np.zeros(0, np.uint16)
    build_shard(stage, seed, number, Tokenizer(Path(tokenizer_path)), text, Path(out))


class Shards:
    """The batches of one stage from any step on; missing shards are drawn ahead by worker processes.

    Where `ranks` processes share the folder, each draws its part of the shards and waits for those of the others.
    """

    def __init__(
        self,
        stage: Stage,
        seed: int,
        tokenizer: Path,
        text: Path | None,
        folder: Path,
        workers: int,
        rank: int = 0,
        ranks: int = 1,
    ):
        self.stage, self.seed, self.folder, self.rank, self.ranks = stage, seed, folder, rank, ranks
        self._arguments = (str(tokenizer), str(text) if text else "")
        self._pool = ProcessPoolExecutor(max(1, workers), mp_context=get_context("spawn"))
        self._ahead = ranks * max(2, workers + 1)
        self._pending: dict[int, Future] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def count(self) -> int:
        return -(-self.stage.steps // BATCHES)

    def batches(self, step: int) -> Iterator[Batch]:
        """Yields the batch of `step`, `step + 1`, … to the stage's end."""
        for number in range(step // BATCHES, self.count):
            for ahead in range(number, min(number + self._ahead, self.count)):
                self._ensure(ahead)
            if future := self._pending.pop(number, None):
                future.result()
            while not self._path(number).exists():
                time.sleep(0.05)
            first = number * BATCHES
            for offset, batch in enumerate(read_shard(self._path(number), self.stage.rows)):
                if step <= first + offset < self.stage.steps:
                    yield batch

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.stage.name}-{number:05d}.npz"

    def _ensure(self, number: int) -> None:
        ours = number % self.ranks == self.rank
        if ours and number not in self._pending and not self._path(number).exists():
            arguments = (self.stage, self.seed, number, *self._arguments, str(self._path(number)))
            self._pending[number] = self._pool.submit(_work, *arguments)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
