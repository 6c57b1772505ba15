"""verifiers' own classes take our problems: they load, score, and pay for thought within a group."""

import asyncio
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from firesteel.tasks import make

vf = pytest.importorskip("verifiers.v1", reason="verifiers is not installed: it needs an environment of its own")

from firesteel.train.adapters.verifiers import Asked, Data, Priced, PricedConfig, Problems, Settings  # noqa: E402


def traced(task: Any, answer: str, thought: str = "", finish_reason: str = "stop") -> Any:
    """A finished run that said this."""
    named = vf.TraceTask(type="Asked", data=task.data)
    message = vf.AssistantMessage(content=answer, reasoning_content=thought)
    trace = vf.Trace(task=named, agent=vf.AgentInfo(config=vf.AgentConfig()))
    trace.nodes.append(vf.MessageNode(parent=None, message=message, sampled=True))
    trace.calls.append(vf.ModelCall(node=0, finish_reason=finish_reason))
    return trace


def scored(task: Any, *said: Any) -> list[Any]:
    traces = [traced(task, *what) for what in said]

    async def score() -> None:
        for trace in traces:
            await task.score(trace)

    asyncio.run(score())
    return traces


def test_tasks_are_our_problems() -> None:
    taskset = Problems(Settings(families=("chain_sum", "clock"), strengths=("low",)))
    text, picture = islice(taskset, 2)
    assert isinstance(text, Asked) and Problems.task_type() is Asked and Asked.data_type() is Data
    assert (text.data.idx, text.data.system_prompt) == (0, "Reasoning strength: low.")
    assert text.data.prompt_text == make("chain_sum", text.data.number).question
    url = picture.data.prompt[0].content[0].image_url.url
    assert (
        url.startswith("data:image/png;base64,") and picture.data.prompt_text == picture.data.question.problem.question
    )
    assert [task.data for task in taskset.take(2)] == [text.data, picture.data]
    assert next(iter(Problems(Settings(say_strength=False)))).data.system_prompt is None


def test_the_reward_is_our_checker() -> None:
    task = next(iter(Problems(Settings(families=("chain_sum",)))))
    answer = task.data.question.problem.answer
    right, wrong, cut = scored(task, (answer, "so it is"), ("no idea",), (answer, "", "length"))
    assert [trace.reward for trace in (right, wrong, cut)] == [1.0, 0.0, 0.0]
    assert right.metrics["thinking"] == 8.0


def test_a_group_pays_for_its_thoughts() -> None:
    task = next(iter(Problems(Settings(families=("chain_sum",), strengths=("low",)))))
    answer = task.data.question.problem.answer
    traces = scored(task, (answer, "x" * 10), (answer, "x" * 40), ("no", "x" * 20), ("no", ""))
    environment = SimpleNamespace(config=PricedConfig(n=4))
    asyncio.run(Priced.finalize(environment, task, SimpleNamespace(traces=traces)))
    assert [trace.reward for trace in traces] == [1 - 0.0625, 1 - 0.25, -0.125, 0.0]
    assert Priced.__mro__[1] is vf.Env
