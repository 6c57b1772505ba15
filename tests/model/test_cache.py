import pytest
import torch

from firesteel.model import Cache, Decoder


def feed(model, cache, ids, rows):
    """The logits (rows, tokens, vocabulary) of a step on the cache."""
    step = cache.step(ids.shape[1], rows)
    return model.logits(model.hidden(ids, attend=step))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("prompt", [1, 5, 8, 9, 20])
def test_prefill_and_single_steps_equal_the_whole(pair, tokens, tolerance, prompt):
    ids = tokens(2, 30)
    cache = Cache(pair.ours.config.text, rows=2, max_len=32)
    parts = [feed(pair.ours, cache, ids[:, :prompt], None)]
    parts += [feed(pair.ours, cache, ids[:, at : at + 1], None) for at in range(prompt, 30)]
    assert cache.lengths == [30, 30]
    assert (torch.cat(parts, dim=1) - pair.ours(ids)).abs().max() <= tolerance
    assert (torch.cat(parts, dim=1) - pair.theirs(ids).logits).abs().max() <= tolerance


@pytest.mark.parametrize("chunk", [3, 8, 11])
def test_prefill_in_chunks_equals_the_whole(pair, tokens, tolerance, chunk):
    ids = tokens(1, 30)
    cache = Cache(pair.ours.config.text, rows=3, max_len=32)
    parts = [feed(pair.ours, cache, ids[:, at : at + chunk], [1]) for at in range(0, 30, chunk)]
    assert cache.lengths == [0, 30, 0]
    assert (torch.cat(parts, dim=1) - pair.ours(ids)).abs().max() <= tolerance


def test_rows_of_different_lengths_run_together(pair, tokens, tolerance):
    model, ids = pair.ours, tokens(3, 30)
    whole = model(ids)
    cache = Cache(model.config.text, rows=4, max_len=30)
    starts = {0: 2, 1: 17, 3: 8}  # row of the cache: tokens it begins with
    for row, (slot, start) in enumerate(starts.items()):
        feed(model, cache, ids[row : row + 1, :start], [slot])
    for _ in range(10):  # rows 0, 1 and 3 are not adjacent: gathered
        at = [cache.lengths[slot] for slot in starts]
        new = torch.stack([ids[row, position] for row, position in enumerate(at)])[:, None]
        logits = feed(model, cache, new, list(starts))
        for row, position in enumerate(at):
            assert (logits[row, 0] - whole[row, position]).abs().max() <= tolerance


def test_copied_rows_go_on_alone_and_freed_rows_start_anew(pair, tokens, tolerance):
    model = pair.ours
    ids = tokens(3, 30)
    ids[1:, :12] = ids[0, :12]
    cache = Cache(model.config.text, rows=3, max_len=32)
    feed(model, cache, tokens(1, 25, seed=9), [2])  # something to overwrite
    feed(model, cache, ids[:1, :12], [0])
    cache.copy(0, [1, 2])
    parts = [feed(model, cache, ids[:, at : at + 1], None) for at in range(12, 30)]
    assert (torch.cat(parts, dim=1) - model(ids)[:, 12:]).abs().max() <= tolerance
    cache.free(1)
    other = tokens(1, 10, seed=4)
    assert (feed(model, cache, other, [1]) - model(other)).abs().max() <= tolerance


def test_sliding_layers_keep_only_their_window(pair):
    cache = Cache(pair.ours.config.text, rows=1, max_len=100)
    kinds = pair.ours.config.text.layer_types
    assert [keys.shape[2] - 1 for keys in cache.keys] == [100 if k == "full_attention" else 8 for k in kinds]


def test_too_long_a_sequence_is_refused(pair):
    cache = Cache(pair.ours.config.text, rows=2, max_len=10)
    cache.step(8)
    with pytest.raises(ValueError, match="11 tokens does not fit a cache of 10"):
        cache.step(3, rows=[1])
    cache.free(0)
    with pytest.raises(ValueError):
        cache.step(3)
    assert cache.lengths == [0, 8]  # nothing is counted of a step that was refused


def test_prepared_decoder_equals_the_module(pair, tokens, tolerance):
    model, ids = pair.ours, tokens(3, 30)
    cache = Cache(model.config.text, rows=3, max_len=32)
    for row, length in enumerate((12, 3, 9)):
        feed(model, cache, ids[row : row + 1, :length], [row])
    decode = Decoder(model, max_len=32)
    whole = model(ids)
    for _ in range(15):
        at = list(cache.lengths)
        new = torch.stack([ids[row, position] for row, position in enumerate(at)])
        logits = decode(new, cache.step(1))
        for row, position in enumerate(at):
            assert (logits[row] - whole[row, position]).abs().max() <= tolerance


def test_prepared_decoder_with_biases_equals_the_module(make_pair, tokens, tolerance):
    model = make_pair("muse_glimmer", attention_bias=True).ours
    ids = tokens(1, 12)
    cache, decode = Cache(model.config.text, rows=1, max_len=12), Decoder(model, max_len=12)
    logits = torch.cat([decode(ids[:, at], cache.step(1)) for at in range(12)])
    assert (logits - model(ids)[0]).abs().max() <= tolerance


def test_only_fp32_is_prepared(pair):
    with pytest.raises(ValueError, match="float32"):
        Decoder(pair.ours.to(torch.bfloat16), max_len=8)
