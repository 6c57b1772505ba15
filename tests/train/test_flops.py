import dataclasses

import numpy as np
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from firesteel.model import Config, Muse
from firesteel.recipes import RECIPES
from firesteel.train.batches import device_batch
from firesteel.train.flops import PEAKS, Flops, _known, peak
from firesteel.train.learner import Learner
from firesteel.train.shards import Batch

CPU = torch.device("cpu")


def learner(recipe):
    model = Muse(Config.from_dict(RECIPES[recipe]().model))
    model.init_weights(0)
    return Learner(model, torch.float32)


def batch(model, picture):
    ids = np.random.default_rng(0).integers(2, 99, (2, 64))
    images = [Image.new("RGB", (112, 84))] if picture else []
    if picture:
        ids[0, 4:16] = model.config.image_token_id
    ones = np.ones((2, 64), np.uint8)
    return device_batch(Batch(ids, ones, ones, images), CPU)


def test_the_count_is_what_runs():
    """torch's own counter sees the same products, but for the gradient of the patches, which nobody asks for."""
    taught = learner("smoke")
    data = batch(taught.model, picture=True)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        taught(data).backward()
    patches = 2 * taught.model.model.vision_tower.patch_embedder.patch_embedding.weight.numel() * len(data.pixels)
    assert counter.get_total_flops() == Flops.of(taught).update(data) - patches


def test_only_chosen_experts_count():
    sparse = learner("smoke-sparse")
    data = batch(sparse.model, picture=False)
    experts = sum(p.numel() for name, p in sparse.named_parameters() if "experts." in name and p.ndim > 1)
    flops = Flops.of(sparse)
    matrices = sum(p.numel() for p in sparse.model.model.language_model.layers.parameters() if p.ndim > 1)
    assert flops.token == 6 * (matrices - experts * 6 // 8)
    more = dataclasses.replace(data, count=data.count + 1)
    assert flops.update(more) - flops.update(data) == 6 * sparse.model.lm_head.weight.numel()


def test_the_peak_of_this_machine_is_measured():
    assert 1e9 < peak(CPU, torch.float32) < 1e15


def test_a_gpu_is_known_by_whole_words():
    assert _known("NVIDIA L4") == PEAKS["L4"] and _known("NVIDIA L40S") == PEAKS["L40S"]
    assert _known("NVIDIA H100 PCIe") == PEAKS["H100 PCIe"] and _known("NVIDIA A100-SXM4-80GB") == PEAKS["A100"]
    assert _known("NVIDIA L40") is None
