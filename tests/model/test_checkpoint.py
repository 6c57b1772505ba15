import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from firesteel.model import load, save
from firesteel.model.checkpoint import INDEX, WEIGHTS


def reopen(pair, directory, **settings):
    return type(pair.theirs).from_pretrained(directory, output_loading_info=True, **settings)


def test_saved_directory_opens_in_transformers_and_back(pair, tmp_path, tokens, tolerance):
    save(pair.ours, tmp_path / "saved")
    theirs, info = reopen(pair, tmp_path / "saved")
    assert not any(info.values()), info
    ids = tokens(2, 20)
    with torch.no_grad():
        assert (theirs(ids).logits - pair.theirs(ids).logits).abs().max() == 0
        assert (load(tmp_path / "saved")(ids) - pair.ours(ids)).abs().max() == 0


def test_config_says_what_transformers_would_say(pair, tmp_path):
    save(pair.ours, tmp_path / "saved")
    ours = json.loads((tmp_path / "saved" / "config.json").read_text())
    theirs = json.loads((pair.directory / "config.json").read_text())
    if not pair.ours.config.spark:  # what vLLM calls it
        vision = ours["vision_config"]
        assert vision.pop("output_dim") == ours["out_hidden_size"]
        assert vision.pop("adapter_dim") == ours["projector_hidden_size"]
        assert vision.pop("merge_kernel_size") == vision["merge_size"]
    for part in ("text_config", "vision_config", "audio_config"):
        assert all(theirs[part][name] == value for name, value in ours.get(part, {}).items()), part
    parts = ("text_config", "vision_config", "audio_config")
    assert all(theirs[name] == value for name, value in ours.items() if name not in parts)


def test_names_and_shapes_are_the_published_ones(pair):
    theirs = {name: tensor.shape for name, tensor in load_file(pair.directory / WEIGHTS).items()}
    assert theirs == {name: tensor.shape for name, tensor in pair.ours.state_dict().items()}


def test_tied_head_is_written_once(make_pair, tmp_path, tokens, tolerance):
    pair = make_pair("muse_glimmer", tie_word_embeddings=True)
    save(pair.ours, tmp_path / "saved")
    theirs, info = reopen(pair, tmp_path / "saved")
    assert not any(info.values()), info
    assert "lm_head.weight" not in load_file(tmp_path / "saved" / WEIGHTS)
    ids = tokens(1, 6)
    with torch.no_grad():
        assert (theirs(ids).logits - pair.ours(ids)).abs().max() <= tolerance


def test_shards_with_index_open_on_both_sides(pair, tmp_path, tokens, tolerance):
    save(pair.ours, tmp_path / "saved", shard_bytes=100_000)
    assert len(list((tmp_path / "saved").glob("model-*.safetensors"))) > 1
    theirs, info = reopen(pair, tmp_path / "saved")
    assert not any(info.values()), info
    ids = tokens(1, 6)
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "saved")(ids), pair.ours(ids))
        assert (theirs(ids).logits - pair.ours(ids)).abs().max() <= tolerance
    save(pair.ours, tmp_path / "saved")  # a smaller set of files replaces the larger one
    assert [path.name for path in (tmp_path / "saved").glob("*safetensors*")] == [WEIGHTS]


def test_bf16_keeps_gates_and_router_in_fp32(make_pair, tmp_path):
    pair = make_pair("muse_spark")
    model = load(pair.directory, dtype=torch.bfloat16)
    theirs = type(pair.theirs).from_pretrained(pair.directory, dtype=torch.bfloat16)
    expected = {name: tensor.dtype for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.dtype for name, tensor in model.state_dict().items()} == expected
    save(model, tmp_path / "saved")
    again, info = reopen(pair, tmp_path / "saved")
    assert not any(info.values()), info
    assert {name: tensor.dtype for name, tensor in again.state_dict().items()} == expected
    assert {t.dtype for t in load(tmp_path / "saved").state_dict().values()} == {torch.bfloat16, torch.float32}


def test_bf16_rounds_where_transformers_rounds(pair, tokens):
    ids = tokens(2, 20)
    with torch.no_grad():
        exact = pair.ours.hidden(ids)
        theirs = type(pair.theirs).from_pretrained(pair.directory, dtype=torch.bfloat16).model(ids).last_hidden_state
        model = load(pair.directory, dtype=torch.bfloat16)
        ours = model.hidden(ids)
        assert model(ids).dtype == torch.float32
    error = (theirs.float() - exact).abs().mean()
    assert (ours.float() - theirs.float()).abs().mean() < error / 5


def test_broken_directories_are_refused_in_one_sentence(make_pair, tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        load(tmp_path / "nowhere")
    directory = make_pair("muse_glimmer").directory
    config = directory / "config.json"
    data, weights = json.loads(config.read_text()), load_file(directory / WEIGHTS)

    config.write_text(json.dumps(data | {"model_type": "llama"}))
    with pytest.raises(ValueError, match="Unknown model_type 'llama'"):
        load(directory)
    config.write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        load(directory)
    config.write_text(json.dumps(data))

    head = weights.pop("lm_head.weight")
    save_file(weights, directory / WEIGHTS)
    with pytest.raises(ValueError, match=r"lacks tensor lm_head\.weight"):
        load(directory)
    save_file(weights | {"lm_head.weight": head[:5].contiguous()}, directory / WEIGHTS)
    with pytest.raises(ValueError, match=r"misshapen tensor lm_head\.weight \(\(5, 32\), not \(64, 32\)\)"):
        load(directory)
    save_file(weights | {"lm_head.weight": head, "extra": head.clone()}, directory / WEIGHTS)
    with pytest.raises(ValueError, match="unexpected tensor extra"):
        load(directory)
    (directory / WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        load(directory)
    (directory / WEIGHTS).unlink()
    with pytest.raises(ValueError, match="neither"):
        load(directory)
    (directory / INDEX).write_text('{"weight_map": {"lm_head.weight": "model-1.safetensors"}}')
    with pytest.raises(ValueError, match=r"lacks model-1\.safetensors"):
        load(directory)
