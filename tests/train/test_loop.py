import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from firesteel import model as models
from firesteel.format import Tokenizer
from firesteel.model.config import TextConfig
from firesteel.recipes import RECIPES
from firesteel.recipes.kindling import glimmer
from firesteel.train import checkpoint
from firesteel.train.batches import Packed, device_batch
from firesteel.train.config import override
from firesteel.train.learner import NAMED
from firesteel.train.loop import Trainer, _claim, branched, precision, prepare, train
from firesteel.train.shards import Batch, Shards
from firesteel.train.tokenizer import train_tokenizer
from tests.tasks.albums import small

TINY = ["stages.0.rows=2", "stages.1.rows=2", "stages.0.steps=4", "stages.1.steps=4", "checkpoint_every=2"]


def losses(directory):
    return [json.loads(line)["loss"] for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    return train(override(RECIPES["smoke"](), TINY), directory)


def test_a_run_leaves_a_checkpoint_metrics_and_a_picture(finished):
    directory = finished.parent
    assert (directory / "loss.png").stat().st_size > 1000
    assert len(losses(directory)) == 2
    loaded = models.load(finished)
    tokenizer = Tokenizer(finished / "tokenizer.json")
    logits = loaded(torch.tensor([tokenizer.encode("2+2")]))
    assert logits.isfinite().all()


def test_a_killed_run_draws_the_same_curve(finished, tmp_path):
    """The kill falls between two checkpoints; the resumed run must not notice."""
    run = override(RECIPES["smoke"](), TINY)
    for name in ("tokenizer", "shards"):
        shutil.copytree(finished.parent / name, tmp_path / name)
    first = _trainer(run, tmp_path)

    class Killed(BaseException):
        pass

    def kill_at_three(data, loss=first.loss):
        if first.step == 3:
            raise Killed
        return loss(data)

    first.loss = kill_at_three
    with pytest.raises(Killed):
        first.fit()
    second = _trainer(run, tmp_path)
    assert checkpoint.place_of(checkpoint.newest(tmp_path)) == (0, 2)
    second.fit()
    assert losses(tmp_path) == losses(finished.parent)
    # Weights and optimiser, bit for bit.
    ours, theirs = (load_file(directory / checkpoint.FILE) for directory in (tmp_path, finished.parent))
    assert ours.keys() == theirs.keys() and any(name.startswith("optimiser.") for name in ours)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def _trainer(run, directory):
    tokenizer, text = prepare(run, directory)
    return Trainer(run, directory, tokenizer, text, torch.device("cpu"))


def test_a_directory_belongs_to_one_run(finished):
    with pytest.raises(ValueError, match="other settings"):
        train(override(RECIPES["smoke"](), ["seed=5"]), finished.parent)


def test_a_stage_may_be_added_to_a_finished_run(finished, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(finished.parent, directory)
    run = override(RECIPES["smoke"](), TINY)
    longer = dataclasses.replace(run, stages=(*run.stages, dataclasses.replace(run.stages[1], name="more")))
    train(longer, directory)
    assert losses(directory)[:2] == losses(finished.parent) and len(losses(directory)) == 3
    with pytest.raises(ValueError, match="other settings"):
        train(run, directory)
    with pytest.raises(ValueError, match="other settings"):
        train(dataclasses.replace(longer, stages=longer.stages[1:]), directory)


def test_a_directory_from_before_a_setting_existed_is_still_its_runs(finished, tmp_path):
    run = override(RECIPES["smoke"](), TINY)
    settings = json.loads((finished.parent / "run.json").read_text())
    del settings["keep_every"], settings["stages"][0]["optim"]["balance"]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(settings))
    _claim(run, path)
    assert json.loads(path.read_text())["keep_every"] == 0
    settings["stages"][0]["optim"]["clip"] = 2.0
    path.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="other settings"):
        _claim(run, path)


def test_another_horizon_branches_from_the_plateau(finished, tmp_path):
    """A run of 4 steps keeps its plateau at 2; a branch falls from there, as a run of that length would have."""
    changes = ["stages.0.rows=2", "stages.0.optim.decay=0.5", "stages.0.optim.warmup=1", "checkpoint_every=100"]
    run = override(RECIPES["smoke"](), [*changes, "keep_every=2"])
    run = dataclasses.replace(run, stages=run.stages[:1])
    directories = {}
    for name, steps in (("long", 8), ("short", 4), ("branch", 8)):
        directories[name] = directory = tmp_path / name
        directory.mkdir()
        for made in ("tokenizer", "shards"):
            if (name, made) != ("branch", "tokenizer"):
                shutil.copytree(finished.parent / made, directory / made)
        changes = [f"stages.0.steps={steps}"]
        if name == "branch":
            changes.append(f"branch={directories['long'] / 'plateau-00-0000002.safetensors'}")
        train(override(run, changes), directory, "cpu")
    kept = sorted(path.name for path in directories["long"].glob("plateau*"))
    assert kept == ["plateau-00-0000002.safetensors", "plateau-00-0000004.safetensors"]
    rows = {
        name: json.loads((path / "metrics.jsonl").read_text().splitlines()[-1]) for name, path in directories.items()
    }
    assert rows["branch"]["step"] == 4 and rows["long"]["step"] == 8
    assert rows["branch"]["loss"] == rows["short"]["loss"] and rows["branch"]["lr"] == rows["short"]["lr"]


def test_a_branch_needs_a_plateau_and_a_fall(finished):
    end = finished.parent / checkpoint.FILE
    with pytest.raises(ValueError, match="does not stand on the plateau"):
        branched(override(RECIPES["smoke"](), [f"branch={end}"]))


def test_a_sparse_model_learns_and_its_load_evens_out(finished, tmp_path):
    for name in ("tokenizer", "shards"):
        shutil.copytree(finished.parent / name, tmp_path / name)
    run = override(RECIPES["smoke-sparse"](), ["stages.0.steps=32", "stages.0.rows=2", "checkpoint_every=100"])
    run = dataclasses.replace(run, stages=run.stages[:1])
    trainer = _trainer(run, tmp_path)
    loads = []
    step = trainer._balance
    trainer._balance = lambda rate: (loads.append(torch.stack([r.load for r in trainer.routers])), step(rate))[1]
    trainer.fit()
    curve = losses(tmp_path)
    assert curve[-1] < 0.8 * curve[0]
    busiest = [(sum(part) / sum(part).float().mean()).max().item() for part in (loads[:4], loads[-8:])]
    assert busiest[1] < busiest[0] and busiest[1] < 1.3
    assert all(router.e_score_correction_bias.abs().max() > 0.02 for router in trainer.routers)


def test_packed_loss_equals_the_loss_of_samples_alone(finished):
    """Attention, positions and targets must not notice what else is in the row."""
    run = override(RECIPES["smoke"](), TINY)
    trainer = _trainer(run, finished.parent)
    stage = run.stages[1]
    tokenizer_path = finished.parent / "tokenizer" / "tokenizer.json"
    shards = Shards(stage, run.seed, tokenizer_path, None, finished.parent / "shards", 1)
    batch = next(shards.batches(0))
    shards.close()
    packed, count = trainer.loss(device_batch(batch, torch.device("cpu")))
    total, images = 0.0, list(batch.images)
    start = trainer.tokenizer.id("<|image_start|>")
    for ids, mask, docs in zip(batch.ids, batch.mask, batch.docs, strict=True):
        for number in range(1, docs.max() + 1):
            where = docs == number
            own = [images.pop(0) for _ in range(int((ids[where] == start).sum()))]
            arrays = {"ids": ids[None, where], "mask": mask[None, where], "docs": docs[None, where]}
            alone = dataclasses.replace(batch, **arrays, images=own)
            loss, learnt = trainer.loss(device_batch(alone, torch.device("cpu")))
            total += loss.item() * learnt
    assert packed.item() == pytest.approx(total / count, rel=1e-4)


def test_a_picture_that_many_samples_show_is_read_once(finished):
    run = override(RECIPES["smoke"](), TINY)
    trainer = _trainer(run, finished.parent)
    shards = Shards(
        run.stages[1], run.seed, finished.parent / "tokenizer" / "tokenizer.json", None, finished.parent / "shards", 1
    )
    batch = next(shards.batches(0))
    shards.close()
    seen = {(image.size, image.tobytes()): image for image in batch.images}
    assert seen
    size, _ = max(seen, key=lambda key: sum(image.size == key[0] for image in batch.images))
    one = next(image for (s, _), image in seen.items() if s == size)
    shared = [one if image.size == size else image for image in batch.images]
    copies = [image.copy() for image in shared]
    once = device_batch(dataclasses.replace(batch, images=shared), torch.device("cpu"))
    each = device_batch(dataclasses.replace(batch, images=copies), torch.device("cpu"))
    assert len(once.grid) < len(each.grid) == len(once.shown)
    assert trainer.loss(once)[0].item() == pytest.approx(trainer.loss(each)[0].item(), rel=1e-5)


def test_naming_squares_adds_to_the_loss_of_the_text(finished, tmp_path):
    run = override(RECIPES["smoke"](), TINY)
    trainer = _trainer(run, finished.parent)
    album = str(small.photographs(tmp_path / "a.zip"))
    mix = dataclasses.replace(run.stages[1].mix, albums=(album,))
    stage = dataclasses.replace(run.stages[1], name="named", named=4, mix=mix)
    tokenizer = finished.parent / "tokenizer" / "tokenizer.json"
    shards = Shards(stage, run.seed, tokenizer, None, tmp_path, 1)
    batch = next(shards.batches(0))
    shards.close()
    torch.nn.init.normal_(trainer.learner.glyphs.out.weight)
    empty = np.zeros((2, 0), np.uint8)
    parts = [
        dataclasses.replace(batch, pages=(), glyphs=None),
        Batch(empty.astype(np.int64), empty, empty, [], batch.pages, batch.glyphs),
    ]
    both, text, names = (trainer.loss(device_batch(b, torch.device("cpu")))[0].item() for b in (batch, *parts))
    assert both == pytest.approx(text + NAMED * names, rel=1e-4) and names > 1


def test_packed_attention_sees_its_own_sample_only():
    config = TextConfig(num_hidden_layers=2, sliding_window=8, layer_types=("sliding_attention", "full_attention"))
    mask = Packed(torch.tensor([[1, 1, 2, 2, 0]]), config).mask[0, 0]
    assert mask.int().tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]


def test_precision_names():
    cpu = torch.device("cpu")
    assert precision("fp32", cpu) is torch.float32 and precision("bf16", cpu) is torch.bfloat16
    with pytest.raises(ValueError):
        precision("fp8", cpu)


def test_a_built_corpus_brings_its_tokenizer_and_must_fit_the_run(tmp_path):
    built = tmp_path / "corpus"
    train_tokenizer(["one two three four five six seven"] * 50, 400, out=built / "tokenizer")
    (built / "manifest.json").write_text('{"shards": [{"file": "tokens-00000.npy"}]}')
    np.save(built / "tokens-00000.npy", np.arange(50, dtype=np.uint16))
    smoke = RECIPES["smoke"]()
    shape = {"width": 64, "layers": 4, "heads": 1, "ffn": 128, "vision_width": 64, "vision_layers": 2}
    run = dataclasses.replace(smoke, sources=(str(built),), vocab_size=400, model=glimmer(vocab=400, **shape))
    tokenizer, text = prepare(run, tmp_path / "run")
    assert tokenizer.vocab_size == 400 and np.load(text).tolist() == list(range(50))
    with pytest.raises(ValueError, match="--set vocab_size=1024"):
        prepare(dataclasses.replace(smoke, sources=(str(built),)), tmp_path / "run")
    with pytest.raises(ValueError, match="The model has a vocabulary of 1024 and the run one of 400"):
        prepare(dataclasses.replace(smoke, vocab_size=400), tmp_path / "run")


def test_a_tokenizer_stands_in_a_run_when_it_is_whole(tmp_path, monkeypatch):
    def killed(*args, **options):
        raise KeyboardInterrupt

    run = dataclasses.replace(RECIPES["smoke"](), tokenizer_samples=3, max_image_tokens=36)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("firesteel.train.loop.write_companions", killed)
        prepare(run, tmp_path)
    tokenizer, _ = prepare(run, tmp_path)
    assert tokenizer.max_image_tokens == 36
    (tmp_path / "tokenizer" / "processor_config.json").unlink()
    with pytest.raises(ValueError, match=r"at most 4096 tokens and the run says 36: correct its processor_config"):
        prepare(run, tmp_path)


def test_what_follows_a_stage_is_done_again_after_a_kill(finished, tmp_path):
    for name in ("tokenizer", "shards"):
        shutil.copytree(finished.parent / name, tmp_path / name)
    run = override(RECIPES["smoke"](), TINY)
    called = []

    def killed(stage, model, tokenizer):
        called.append(stage.name)
        if len(called) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path, after_stage=killed)
    train(run, tmp_path, after_stage=killed)
    assert called == ["pretrain", "pretrain", "sft"]
    assert losses(tmp_path) == losses(finished.parent)


def test_a_short_stage_is_judged_on_as_many_batches(finished):
    trainer = _trainer(override(RECIPES["smoke"](), TINY), finished.parent)
    seen = []
    loss = trainer.loss
    trainer.loss = lambda data: (seen.append(data), loss(data))[1]
    trainer.validation_loss(trainer.run.stages[0], 6)
    assert len(seen) == 6


def test_rows_longer_than_the_window_see_what_the_model_sees():
    shape = glimmer(vocab=512, width=64, layers=4, heads=1, ffn=64, vision_width=64, vision_layers=1)
    shape["text_config"]["sliding_window"] = 8
    model = models.Muse(models.Config.from_dict(shape))
    model.init_weights(0)
    body, ids = model.model.language_model, torch.randint(0, 400, (2, 40), generator=torch.Generator().manual_seed(1))
    packed = body(body.embed(ids), Packed(torch.ones_like(ids), model.config.text))
    torch.testing.assert_close(model.logits(packed), model(ids), atol=1e-4, rtol=1e-4)
