"""Conformance suites that are not ours, of all three protocols (llm-comply), with nothing skipped.

A scripted model calls the tool that it is offered; kindling answers, thinks, sees and calls tools itself.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.scripted import Scripted, calls, says
from tests.server.serving import kindling, live

SUITE = Path(sys.executable).parent / "llm-comply"
# The suite skips its tests of thoughts unless a model's name promises some.
OPENAI, ANTHROPIC = "gpt-5-x", "claude-sonnet-4-x"
ANTHROPIC_HEADERS = ["--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01"]


class Obliging(Scripted):
    """Calls a tool where there is one; answers otherwise, after a thought if it should think."""

    async def stream(self, request):
        call = calls(("get_weather", {"location": "San Francisco"}))
        thought = "let me see" if request.strength > 1 else ""
        self.lines = [call if request.tools else says("Hello to you.", thought)]
        async for delta in super().stream(request):
            yield delta


def conformance(backend, format, model, *options, **settings):
    """(how many tests passed, what failed)."""
    with live(backend=backend, aliases=(OPENAI, ANTHROPIC), **settings) as (url, _):
        where = ["--format", format, "-u", f"{url}/v1", "-k", "x", "-m", model, "--timeout", "300"]
        told = subprocess.run([SUITE, *where, "--json", *options], capture_output=True, text=True, timeout=900)
    results = json.loads(told.stdout)["results"]
    failed = [(result["id"], result.get("errors")) for result in results if result["status"] != "passed"]
    return len(results) - len(failed), failed


@pytest.mark.parametrize(
    ("dialect", "model"),
    # The suite does not know response.reasoning_summary_text.*, though its copy of the specification does: there the
    # model must not think.
    [("open-responses", OPENAI), ("summary", f"{OPENAI}-instant")],
)
def test_responses(dialect, model):
    assert conformance(Obliging(), "open-responses", model, raw_reasoning=dialect) == (13, [])


def test_chat_completions():
    assert conformance(Obliging(), "openai-chat", OPENAI) == (9, [])


def test_messages():
    assert conformance(Obliging(), "anthropic", ANTHROPIC, *ANTHROPIC_HEADERS) == (9, [])


@pytest.mark.parametrize(
    ("format", "model", "count", "strength", "options"),
    [
        ("open-responses", OPENAI, 13, "medium", []),
        ("openai-chat", OPENAI, 9, "medium", []),
        ("anthropic", ANTHROPIC, 9, "minimal", ANTHROPIC_HEADERS),
    ],
)
def test_kindling(format, model, count, strength, options):
    # Where it thinks, kindling may go round in circles over what it was taught nothing like ("What is my name?").
    short = {"max_tokens": 400, "most_tokens": 400, "strength": strength}
    assert conformance(kindling, format, model, *options, raw_reasoning="open-responses", **short) == (count, [])
