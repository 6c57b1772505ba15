"""`bench contemplate` as its user meets it."""

import json

import pytest

from firesteel.backends import resolve
from tests.evals.test_contemplating import Mostly

ASK = ["bench", "contemplate", "--families", "chain_sum", "--n", "3", "--seeds", "1"]


@pytest.fixture
def interrupted(monkeypatch):
    """It is interrupted in its third problem, once."""

    class Interrupted(Mostly):
        problems, left = [], 1

        async def stream(self, request):
            text = request.messages[0].text
            if text not in self.problems:
                self.problems.append(text)
            if len(self.problems) == 3 and Interrupted.left:
                Interrupted.left = 0
                raise KeyboardInterrupt
            async for delta in super().stream(request):
                yield delta

    monkeypatch.setattr(resolve, "open_backend", lambda *_, **options: Interrupted(0.6))


def test_an_interrupted_bench_prints_what_there_is_and_goes_on(interrupted, run, tmp_path):
    out = tmp_path / "r.jsonl"
    status, table, told = run(*ASK, "--out", out)
    assert status == 130 and "2 of 3 problems" in " ".join(table.split())
    assert "the same command goes on" in " ".join(told.split())
    assert len(out.read_text().splitlines()) == 3
    status, whole, _ = run(*ASK, "--out", out, "--json")
    assert status == 0 and len(json.loads(whole)["outcomes"]["one thinker"]) == 3
    status, _, told = run(*ASK, "--out", out, "--level", "2")
    assert status != 0 and "other settings" in " ".join(told.split())
