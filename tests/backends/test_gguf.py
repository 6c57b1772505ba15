"""llama.cpp in process, against transformers on a random checkpoint and against the protocol."""

import asyncio
import json
import random
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from firesteel.backends.base import Completion, ContextExceeded, Delta, Request, complete
from firesteel.backends.gguf import GGUFBackend
from firesteel.backends.gguf_header import read_header
from firesteel.format import Message, Part, Tokenizer, parse, render
from firesteel.model.gguf import export
from firesteel.train.tokenizer import write_companions

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "files.write",
            "parameters": {
                "type": "object",
                "properties": {
                    "mode": {"enum": ["new", "append"]},
                    "lines": {"type": "integer", "minimum": 3, "maximum": 12},
                    "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
                },
                "required": ["mode", "lines", "tags"],
            },
        },
    },
    {"type": "function", "function": {"name": "stop", "parameters": {"type": "object", "properties": {}}}},
]
SCHEMA = {
    "type": "object",
    "properties": {
        "answer": {"type": "integer", "minimum": -5, "maximum": 120},
        "unit": {"enum": ["cm", "kg"]},
        "name": {"type": "string", "maxLength": 12},
    },
    "required": ["answer", "unit"],
    "additionalProperties": False,
}


def ask(text: str, *pictures: Image.Image) -> list[Message]:
    return [Message("user", [Part(text=text), *(Part(image=picture) for picture in pictures)])]


def run(backend: GGUFBackend, request: Request) -> list[Completion]:
    return asyncio.run(complete(backend, request))


def picture(seed: int, width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(3 * width * height))


@pytest.mark.parametrize("text", ["count the red circles", "the sum of 345 and 67 equals 412; Grüße, ☕ 東京 " * 4])
def test_greedy_text_equals_transformers(backend, reference, text):
    # The prompt alone is longer than the sliding window.
    rendered = render(ask(text), tokenizer=backend.tokenizer)
    expected = reference.greedy(rendered, 64, backend.tokenizer.eos_ids)
    (sample,) = run(backend, Request(messages=ask(text), temperature=0, max_tokens=64))
    assert sample.token_ids == expected
    assert sample.prompt_tokens == len(rendered.ids)
    assert sample.finish_reason == ("length" if len(expected) == 64 else "stop")


@pytest.mark.parametrize("size", [(150, 90), (28, 28), (301, 202)])
def test_greedy_picture_equals_transformers(backend, reference, size):
    messages = ask("what is that?", picture(1, *size), picture(2, 60, 60))
    rendered = render(messages, tokenizer=backend.tokenizer)
    (sample,) = run(backend, Request(messages=messages, temperature=0, max_tokens=40))
    assert sample.token_ids == reference.greedy(rendered, 40, backend.tokenizer.eos_ids)
    assert sample.prompt_tokens == len(rendered.ids)


def test_a_file_tells_how_large_a_picture_may_be(checkpoint, reference, tmp_path):
    """Also where only the tokenizer lies beside it, as with the packaged model."""
    source = tmp_path / "source"
    shutil.copytree(checkpoint, source)
    write_companions(source, first_special=Tokenizer(source / "tokenizer.json").vocab_size - 128, max_image_tokens=4)
    model, mmproj = export(source, tmp_path / "small.gguf", dtype="F32")
    shutil.copy(source / "tokenizer.json", tmp_path)
    small = GGUFBackend(model, mmproj, slots=1, context=512, threads=1)
    messages = ask("what is that?", picture(1, 300, 290))
    rendered = render(messages, tokenizer=Tokenizer(source / "tokenizer.json"))
    assert [image.size for image in rendered.images] == [(56, 56)]
    (sample,) = run(small, Request(messages=messages, temperature=0, max_tokens=20))
    assert sample.token_ids == reference.greedy(rendered, 20, small.tokenizer.eos_ids)
    assert sample.prompt_tokens == len(rendered.ids)
    asyncio.run(small.close())


def test_logprobs_equal_transformers(backend, reference):
    messages = ask("the quick brown fox", picture(3, 70, 50))
    rendered = render(messages, tokenizer=backend.tokenizer)
    for sample in run(backend, Request(messages=messages, seed=1, n=3, top_k=20, max_tokens=30, logprobs=3)):
        expected = reference.logprobs(rendered, sample.token_ids)
        assert len(sample.logprobs) == len(sample.token_ids)
        for token, found, row in zip(sample.token_ids, sample.logprobs, expected, strict=True):
            assert found.logprob == pytest.approx(row[token].item(), abs=1e-3)
            assert [p for _, p in found.top] == pytest.approx(row.topk(3).values.tolist(), abs=1e-3)


def test_text_is_that_of_the_ids(backend):
    (sample,) = run(backend, Request(messages=ask("Grüße"), seed=5, max_tokens=200))
    data = b"".join(map(backend.tokenizer.token_bytes, sample.token_ids))
    assert sample.text == data.decode("utf-8", "replace")


def test_samples_differ_repeat_with_the_seed_and_outnumber_the_slots(backend):
    request = Request(messages=ask("brown fox"), seed=7, n=6, max_tokens=12)
    first, again = run(backend, request), run(backend, request)
    assert len({tuple(sample.token_ids) for sample in first}) == 6
    assert [s.token_ids for s in first] == [s.token_ids for s in again]
    assert all(sample.finish_reason for sample in first)


def test_requests_side_by_side_do_not_disturb_each_other(backend):
    requests = [Request(messages=ask(f"{i} red circles " * i), temperature=0, max_tokens=20) for i in range(1, 8)]

    async def together() -> list[list[Completion]]:
        return await asyncio.gather(*(complete(backend, request) for request in requests))

    for alone, beside in zip([run(backend, r) for r in requests], asyncio.run(together()), strict=True):
        assert [s.token_ids for s in alone] == [s.token_ids for s in beside]


def test_a_second_turn_uses_the_cache(backend):
    messages = ask("a question that is long enough to be worth keeping, is it not? " * 3)
    run(backend, Request(messages=messages, temperature=0, max_tokens=4))
    (sample,) = run(backend, Request(messages=messages, temperature=0, max_tokens=4))
    assert sample.cached_tokens > sample.prompt_tokens // 2


def test_conversations_keep_their_cache_beyond_the_slots(backend, reference):
    """Ten over four slots, at the same time, longer than the window; with a common beginning."""
    words = ["the", "quick", "brown", "fox", "counts", "12", "red", "circles", "and", "7", "blue", "squares"]
    talks = [ask(" ".join(random.Random(i // 2).choices(words, k=90)) + f" {i}") for i in range(10)]

    async def turn() -> list[Completion]:
        requests = [Request(messages=talk, temperature=0, max_tokens=8) for talk in talks]
        return [sample for [sample] in await asyncio.gather(*(complete(backend, request) for request in requests))]

    for cached in (False, True):
        samples = asyncio.run(turn())
        for talk, sample in zip(talks, samples, strict=True):
            rendered = render(talk, tokenizer=backend.tokenizer)
            assert sample.token_ids == reference.greedy(rendered, 8, backend.tokenizer.eos_ids)
            talk += [Message("assistant", [Part(text="red circles")]), *ask("and the blue squares?")]
        # Of all together: which slot a conversation gets depends on who came first, and one may get a stranger's.
        kept = sum(sample.cached_tokens for sample in samples) / sum(sample.prompt_tokens for sample in samples)
        assert not cached or kept > 0.7


def test_temperature_and_top_k(backend):
    greedy = run(backend, Request(messages=ask("fox"), temperature=0, max_tokens=16))
    top = run(backend, Request(messages=ask("fox"), temperature=2.0, top_k=1, max_tokens=16))
    nucleus = run(backend, Request(messages=ask("fox"), temperature=0.7, top_p=1e-6, max_tokens=16))
    assert top[0].token_ids == nucleus[0].token_ids == greedy[0].token_ids


def test_cancelling_frees_the_slots(backend):
    request = Request(messages=ask("fox"), n=4, seed=1, max_tokens=900)

    async def cancel_then_go_on() -> list[Completion]:
        for _ in range(3):
            stream = backend.stream(request)
            await anext(stream)
            await stream.aclose()
        waiting = [asyncio.create_task(complete(backend, request)) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        short = Request(messages=ask("fox"), n=4, seed=1, max_tokens=5)
        return await asyncio.wait_for(complete(backend, short), timeout=30)

    assert all(sample.token_ids for sample in asyncio.run(cancel_then_go_on()))


def test_requests_cancelled_at_any_moment_leave_nothing_behind(backend):
    rng = random.Random(0)

    async def give_up(number: int) -> None:
        request = Request(messages=ask("fox " * rng.randint(1, 60)), n=rng.randint(1, 3), seed=number, max_tokens=300)
        if number % 3 == 0:
            request = Request(prompt=[7], forced=[*range(9, 80)], logprobs=0, max_tokens=300)
        stream = backend.stream(request)
        pause, count = rng.choice([0, 0.001, 0.02, 0.2]), rng.randint(0, 9)
        task = asyncio.create_task(take(stream, count))
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()

    async def take(stream, count: int) -> None:
        for _ in range(count):
            await anext(stream)
        await asyncio.sleep(rng.random() / 20)

    async def scenario() -> list[Completion]:
        for first in range(0, 60, 12):
            await asyncio.gather(*(give_up(first + i) for i in range(12)))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert backend._slots.free == backend.slots
        short = Request(messages=ask("fox"), n=backend.slots, seed=1, max_tokens=5)
        done = await asyncio.wait_for(complete(backend, short), timeout=60)
        assert not any(slot["is_processing"] for slot in await backend._server.call("/slots"))
        return done

    assert all(len(sample.token_ids) == 5 for sample in asyncio.run(scenario()))


def test_closing_ends_requests_in_flight(files):
    backend = GGUFBackend(*files, slots=1, context=2048, threads=1)

    async def scenario() -> list[Completion]:
        task = asyncio.create_task(complete(backend, Request(messages=ask("fox"), temperature=0, max_tokens=1900)))
        await asyncio.sleep(0.2)
        await backend.close()
        return await asyncio.wait_for(task, timeout=30)

    assert asyncio.run(scenario())[0].finish_reason == "error"


def test_it_streams(backend):
    async def collect() -> list[Delta]:
        return [delta async for delta in backend.stream(Request(messages=ask("fox"), temperature=0, max_tokens=30))]

    deltas = asyncio.run(collect())
    assert len(deltas) > 2
    assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)


def test_full_context_ends_with_length_and_a_prompt_beyond_it_is_refused(files):
    small = GGUFBackend(*files, slots=1, context=256, threads=1)
    (sample,) = run(small, Request(messages=ask("fox"), temperature=0, max_tokens=5000))
    assert sample.finish_reason == "length"
    assert 200 < sample.prompt_tokens + len(sample.token_ids) <= 257
    long = ask("fox " * 400)
    with pytest.raises(ContextExceeded, match="more than the 255 that fit") as told:
        run(small, Request(messages=long, max_tokens=5))
    assert told.value.tokens == len(render(long, tokenizer=small.tokenizer).ids) and told.value.limit == 255
    with pytest.raises(ContextExceeded):
        run(small, Request(prompt=[5] * 200, forced=[5] * 56, max_tokens=0))
    asyncio.run(small.close())


def test_stop_strings_end_the_answer(backend):
    request = Request(messages=ask("fox"), temperature=0, json_schema=SCHEMA, thinking_budget=3, max_tokens=200)
    (whole,) = run(backend, request)
    (cut,) = run(backend, replace(request, stop=['"unit', "no such thing"]))
    assert cut.text == whole.text[: whole.text.index('"unit')]
    assert cut.finish_reason == "stop"


@pytest.mark.parametrize("seed", range(6))
def test_schema_masks_the_answer_and_leaves_the_thought_free(backend, seed):
    (sample,) = run(
        backend, Request(messages=ask("fox"), seed=seed, json_schema=SCHEMA, thinking_budget=6, max_tokens=200)
    )
    result = parse(sample.text)
    assert sample.finish_reason == "stop"
    answer = json.loads(result.content)
    assert -5 <= answer["answer"] <= 120 and answer["unit"] in ("cm", "kg") and len(answer.get("name", "")) <= 12
    assert set(answer) <= {"answer", "unit", "name"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("choice", ["required", "stop", "files.write"])
def test_a_forced_tool_is_called_with_typed_arguments(backend, choice, seed):
    request = Request(
        messages=ask("write"), tools=TOOLS, tool_choice=choice, seed=seed, thinking_budget=4, max_tokens=300
    )
    (sample,) = run(backend, request)
    result = parse(sample.text, TOOLS)
    assert result.tool_calls
    if sample.finish_reason == "length":  # random weights like to go on with one more call
        result.tool_calls.pop()
    else:
        assert not result.errors
    for call in result.tool_calls:
        assert choice in ("required", call.name)
        if call.name == "files.write":
            assert call.arguments["mode"] in ("new", "append") and 3 <= call.arguments["lines"] <= 12
            assert all(tag in (True, False) for tag in call.arguments["tags"])


def test_thinking_budget_closes_the_thought(backend):
    # The tool's grammar makes random weights think or not; look for a seed that does.
    for seed in range(40):
        request = Request(messages=ask("fox"), seed=seed, json_schema=SCHEMA, thinking_budget=5, max_tokens=120)
        (sample,) = run(backend, request)
        if sample.text.startswith(" to=self") and "<|eom|>" in sample.text:
            thought = sample.text.removeprefix(" to=self<|message|>").split("<|eom|>")[0]
            ids = sample.token_ids
            start, end = ids.index(backend.tokenizer.id("<|message|>")), ids.index(backend.tokenizer.id("<|eom|>"))
            assert end - start - 1 <= 5 and thought
            assert "<|eom|><|start|>assistant to=user<|message|>{" in sample.text
            return
    pytest.fail("no seed thinks")


def test_unusable_requests_are_refused(backend, files):
    with pytest.raises(ValueError, match="none of the tools"):
        run(backend, Request(messages=ask("fox"), tools=TOOLS, tool_choice="read"))
    with pytest.raises(ValueError, match="'pattern' cannot be enforced"):
        run(backend, Request(messages=ask("fox"), json_schema={"type": "string", "pattern": "a+"}))
    blind = GGUFBackend(files[0], slots=1, context=256, threads=1)
    with pytest.raises(ValueError, match="cannot see pictures"):
        run(blind, Request(messages=ask("fox", picture(0, 30, 30))))
    asyncio.run(blind.close())


def test_unusable_files_are_refused(files, tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        GGUFBackend(tmp_path / "missing.gguf")
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    with pytest.raises(ValueError, match="is not a GGUF file"):
        GGUFBackend(text)
    with pytest.raises(ValueError, match="is a GGUF file of clip, not of muse-glimmer"):
        GGUFBackend(files[1])
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(files[0].read_bytes()[:2000])
    with pytest.raises(ValueError, match="damaged"):
        GGUFBackend(cut)
    cut.write_bytes(files[0].read_bytes()[:-400_000])
    with pytest.raises(ValueError, match="cannot load"):
        GGUFBackend(cut)


def test_the_file_brings_its_tokenizer(backend, checkpoint):
    beside = Tokenizer(checkpoint / "tokenizer.json")
    assert backend.tokenizer.encode("Grüße 12") == beside.encode("Grüße 12")


def test_silent_and_free_of_torch(files: tuple[Path, Path]):
    script = f"""
import asyncio, sys
from firesteel.backends.base import Request, complete
from firesteel.backends.gguf import GGUFBackend
from firesteel.format import Message
backend = GGUFBackend({str(files[0])!r}, {str(files[1])!r}, slots=1, threads=1)
request = Request(messages=[Message("user", "fox")], max_tokens=3)
assert asyncio.run(complete(backend, request))[0].token_ids
asyncio.run(backend.close())
assert not {{"torch", "transformers", "gguf"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_that_does_not_type_its_tokens_is_refused(tmp_path):
    def text(word):
        return struct.pack("<Q", len(word)) + word

    entry = text(b"general.architecture") + struct.pack("<I", 8) + text(b"x")
    (tmp_path / "bare.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry)
    with pytest.raises(ValueError, match=r"bare\.gguf does not tell the types of its tokens"):
        read_header(tmp_path / "bare.gguf").copy(tmp_path / "copy.gguf", [1], 9)
