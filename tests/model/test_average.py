import json

import pytest
import torch

from firesteel.model import Config, Muse, load, save
from firesteel.model.average import average
from firesteel.recipes.kindling import glimmer


@pytest.fixture
def made(tmp_path):
    def make(name, seed, width=64):
        torch.manual_seed(seed)
        shape = {"vocab": 256, "width": width, "layers": 4, "heads": 1, "ffn": 64, "vision_width": 64}
        save(Muse(Config.from_dict(glimmer(**shape, vision_layers=1))), tmp_path / name)
        (tmp_path / name / "tokenizer.json").write_text(json.dumps(name))
        return tmp_path / name

    return make


def test_weights_are_the_mean_and_other_files_are_the_firsts(made, tmp_path):
    directories = [made(name, seed) for seed, name in enumerate("abc")]
    files = sorted(path.name for path in directories[0].iterdir())
    (directories[0] / "model.gguf").touch()  # as a fine-tuning leaves it: the old weights once more
    average(directories, tmp_path / "mean")
    mean, *parts = (load(directory).state_dict() for directory in (tmp_path / "mean", *directories))
    for name, tensor in mean.items():
        expected = torch.stack([part[name].double() for part in parts]).mean(0)
        torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=1e-5)
    assert json.loads((tmp_path / "mean" / "tokenizer.json").read_text()) == "a"
    assert sorted(path.name for path in (tmp_path / "mean").iterdir()) == files


def test_a_start_may_count_less(made, tmp_path):
    start, tuned = made("start", 0), made("tuned", 1)
    average([start, tuned], tmp_path / "mean", [1, 3])
    mean, first, second = (load(directory).state_dict() for directory in (tmp_path / "mean", start, tuned))
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, 0.25 * first[name] + 0.75 * second[name], atol=1e-6, rtol=1e-5)
    for wrong in ([1], [1, -1], [1, float("nan")], [1, float("inf")]):
        with pytest.raises(ValueError, match="as many weights, in all above 0"):
            average([start, tuned], tmp_path / "other", wrong)


def test_what_was_taught_moves_to_another_start(made, tmp_path):
    new, tuned, old = made("new", 0), made("tuned", 1), made("old", 2)
    average([new, tuned, old], tmp_path / "moved", [1, 1, -1])
    moved, *parts = (load(directory).state_dict() for directory in (tmp_path / "moved", new, tuned, old))
    for name, tensor in moved.items():
        torch.testing.assert_close(tensor, parts[0][name] + parts[1][name] - parts[2][name], atol=1e-6, rtol=1e-5)


def test_what_has_no_mean_is_refused(made, tmp_path):
    one, other = made("one", 0), made("other", 0, width=128)
    with pytest.raises(ValueError, match="at least two"):
        average([one], tmp_path / "mean")
    with pytest.raises(ValueError, match="not of the same shape"):
        average([one, other], tmp_path / "mean")
    with pytest.raises(ValueError, match="no empty directory"):
        average([one, one], other)
    assert not (tmp_path / "mean").exists()
