"""The evaluation against a scripted backend that is right, wrong, talks nonsense, never ends, refuses or hangs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable

import pytest
from PIL import Image

from firesteel.backends.base import Delta, Request
from firesteel.evals.run import evaluate
from firesteel.tasks import FAMILIES, make
from firesteel.tasks.base import HELD_OUT, Family, Problem

TEXT = ["chain_sum", "compare", "sorting"]


def thought(text: str) -> str:
    return f" to=self<|message|>{text}<|eom|><|start|>assistant"


def answer(text: str) -> str:
    return f" to=user<|message|>{text}<|eot|>"


def keys(names: list[str], n: int, seed: int = 0) -> dict[str, Problem]:
    """The problems that an evaluation asks, by their question."""
    problems = [make(name, HELD_OUT * (seed + 1) + i) for name in names for i in range(n)]
    return {problem.question: problem for problem in problems}


class Scripted:
    """Says what `script` makes of a request, one character a token; counts who is inside."""

    name = "scripted"
    tokenizer = None
    context = None
    slots, parallel = 8, True

    def __init__(self, script: Callable[[Request], str], limit: int = 10_000) -> None:
        self.script, self.limit = script, limit
        self.requests: list[Request] = []
        self.inside = self.most = self.closed = 0

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            text = self.script(request)
            for character in text[: self.limit]:
                yield Delta(text=character, token_ids=(ord(character),))
                await asyncio.sleep(0)
            yield Delta(finish_reason="length" if len(text) > self.limit else "stop", prompt_tokens=5)
        finally:
            self.inside -= 1
            self.closed += 1

    async def close(self) -> None:
        pass


def run(backend: Scripted, families: list[str] = TEXT, n: int = 6, **options):
    return asyncio.run(evaluate(backend, families, n, **options))


def question(request: Request) -> str:
    return request.messages[-1].text


def test_right_answers_and_token_counts() -> None:
    known = keys(TEXT, 6)
    seen: list[tuple[int, int]] = []

    def script(request: Request) -> str:
        return thought("hm") + answer(known[question(request)].answer)

    backend = Scripted(script)
    report = run(backend, strength=64, concurrency=3, on_progress=lambda done, total: seen.append((done, total)))
    assert (report.mean, report.text_mean, report.visual_mean) == (1.0, 1.0, None)
    assert list(report.families) == TEXT
    assert [sample.family for sample in report.samples] == [name for name in TEXT for _ in range(6)]
    assert [sample.seed for sample in report.samples[:6]] == [HELD_OUT + i for i in range(6)]
    assert report.failures == []
    for sample in report.samples:
        assert sample.thinking_tokens == len(" to=self<|message|>hm<|eom|>")
        assert sample.thinking_tokens + sample.answer_tokens == len(thought("hm") + answer(sample.expected))
    score = report.families["compare"]
    assert (score.n, score.correct, score.low > 0.5, score.high) == (6, 6, True, pytest.approx(1.0))
    assert seen == [(done, 18) for done in range(1, 19)]
    assert backend.most == 3 and backend.closed == 18
    assert all(request.strength == 64 and request.temperature == 0.0 for request in backend.requests)


def test_wrong_and_garbage_answers_are_kept_as_failures() -> None:
    known = keys(["chain_sum"], 4)
    texts = iter(
        ["", "<|eom|><|start|> to=\x00 <atem:", answer("banana"), answer(known[next(iter(known))].answer + "0")]
    )
    report = run(Scripted(lambda request: next(texts)), ["chain_sum"], 4, concurrency=1)
    assert report.mean == 0.0
    assert [failure.question for failure in report.failures] == list(known)
    assert report.failures[2].got == "banana"
    assert report.failures[2].expected == known[report.failures[2].question].answer


def test_half_right_is_half() -> None:
    known = keys(["chain_sum", "compare"], 10)
    right = {name for number, name in enumerate(known) if number % 2}
    backend = Scripted(lambda request: answer(known[question(request)].answer if question(request) in right else "no"))
    report = run(backend, ["chain_sum", "compare"], 10)
    assert report.mean == 0.5 and len(report.failures) == 10
    assert report.families["chain_sum"].low < 0.5 < report.families["chain_sum"].high
    assert report.thinking_tokens == 0


def test_truncated_is_wrong_even_if_the_answer_is_there() -> None:
    known = keys(["chain_sum"], 3)
    complete = Scripted(
        lambda request: answer(known[question(request)].answer).removesuffix("<|eot|>") + " " * 50, limit=60
    )
    report = run(complete, ["chain_sum"], 3)
    assert [sample.truncated for sample in report.samples] == [True] * 3
    assert report.mean == 0.0 and report.families["chain_sum"].truncated == 3
    thinking = run(Scripted(lambda request: thought("never ends " * 20), limit=50), ["chain_sum"], 2)
    assert [(sample.thinking_tokens, sample.answer_tokens) for sample in thinking.samples] == [(50, 0)] * 2


def test_a_backend_that_gives_up_is_wrong() -> None:
    class Failing(Scripted):
        async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
            yield Delta(finish_reason="error")

    report = run(Failing(lambda request: ""), ["logic"], 2)
    assert [sample.failed for sample in report.samples] == [True, True] and report.mean == 0.0


def test_tokens_without_ids_count_as_deltas() -> None:
    class Remote(Scripted):
        async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
            for text in (
                " to=self<|message|>",
                "so",
                "<|eom|>",
                "<|start|>assistant to=user<|message|>",
                "7",
                "<|eot|>",
            ):
                yield Delta(text=text)
            yield Delta(finish_reason="stop")

    sample = run(Remote(lambda request: ""), ["chain_sum"], 1).samples[0]
    assert (sample.thinking_tokens, sample.answer_tokens, sample.got) == (3, 3, "7")


class Shade(Family):
    """A visual family for these tests: how bright is the picture?"""

    name, visual, levels = "shade", True, 1

    def generate(self, rng, level):
        value = rng.randint(0, 100)
        image = Image.new("RGB", (rng.randint(20, 60), 30), (value, value, value))
        return Problem(self.name, level, "How bright?", str(value), str(value), f"So {value}.", image, f"shade {value}")


def test_pictures_are_shown_or_blanked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "shade", Shade())
    looks = Scripted(lambda request: answer(str(request.messages[-1].images[0].getpixel((0, 0))[0])))
    report = run(looks, ["shade", "chain_sum"][:1], 5)
    assert (report.mean, report.visual_mean, report.text_mean) == (1.0, 1.0, None)
    message = looks.requests[0].messages[-1]
    assert [part.image is not None for part in message.parts] == [True, False]
    blank = run(looks, ["shade"], 5, blank_images=True)
    assert blank.mean == 0.0 and {sample.got for sample in blank.samples} == {"128"}
    sizes = [
        [request.messages[-1].images[0].size for request in half] for half in (looks.requests[:5], looks.requests[5:])
    ]
    assert sorted(sizes[0]) == sorted(sizes[1])
    assert looks.requests[5].messages[-1].images[0].getextrema() == ((128, 128),) * 3


def test_seeds_and_levels_change_the_problems() -> None:
    backend = Scripted(lambda request: answer("0"))
    asked = [
        [sample.question for sample in run(backend, ["chain_sum"], 5, **options).samples]
        for options in ({}, {"seed": 1}, {"level": 2}, {})
    ]
    assert asked[0] == asked[3]
    assert not set(asked[0]) & set(asked[1]) and not set(asked[0]) & set(asked[2])


def test_sampling_gets_a_seed() -> None:
    backend = Scripted(lambda request: answer("0"))
    run(backend, ["chain_sum"], 3, temperature=0.7, max_tokens=33)
    assert len({request.seed for request in backend.requests}) == 3
    assert all(request.temperature == 0.7 and request.max_tokens == 33 for request in backend.requests)


def test_cancelling_ends_every_request() -> None:
    async def scenario() -> Scripted:
        backend = Scripted(lambda request: "x" * 1_000_000, limit=2_000_000)
        task = asyncio.create_task(evaluate(backend, TEXT, 50, concurrency=4))
        while backend.inside < 4:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert backend.inside == 0 and len(backend.requests) == backend.closed == 4
        return backend

    asyncio.run(scenario())


def test_a_refused_request_ends_the_evaluation_with_its_own_error() -> None:
    def script(request: Request) -> str:
        if len(backend.requests) == 5:
            raise ValueError("The prompt is too long.")
        return answer("1")

    backend = Scripted(script)
    with pytest.raises(ValueError, match="too long"):
        run(backend, concurrency=2)
    assert backend.inside == 0 and len(backend.requests) <= 6


def test_nonsense_is_refused_before_anything_is_asked() -> None:
    backend = Scripted(lambda request: "")
    for families, n, options, message in [
        (["chess"], 1, {}, "chain_sum"),
        (["chain_sum"], 1, {"level": 9}, "levels 1 to 3"),
        ([], 1, {}, "at least one"),
        (["chain_sum"], 0, {}, "at least one"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(backend, families, n, **options)
    assert backend.requests == []


def test_the_report_as_json_and_table() -> None:
    known = keys(["chain_sum"], 2)
    first = next(iter(known))
    report = run(Scripted(lambda r: answer(known[first].answer if question(r) == first else "x")), ["chain_sum"], 2)
    found = json.loads(report.to_json())
    assert found["mean"] == 0.5 and found["visual_mean"] is None
    assert found["settings"]["backend"] == "scripted" and found["settings"]["n"] == 2
    assert found["families"]["chain_sum"]["correct"] == 1
    assert [failure["got"] for failure in found["failures"]] == ["x"]
    table = report.table()
    assert table.row_count == 3
    assert next(iter(table.columns[2].cells)) == "50.0%"
