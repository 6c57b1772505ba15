"""Our problems as a taskset of verifiers 0.4, and the price of thinking as an environment (`verifiers.v1`).

- verifiers finds plugins by the name of a top-level module. Write one, `firesteel_problems.py`, with the lines
  `from firesteel.train.adapters.verifiers import Problems` and `__all__ = ["Problems"]`; its id is then
  `firesteel-problems`. A second module that exports `Priced` is an environment to pair it with (`--env.id`).
- The price compares samples of one problem, which in verifiers is an environment's business: `Priced` is its best-of-n
  with our price in `finalize`. Not needed under prime-rl, whose own length penalty is the same.
- Lengths are the characters of thought: the price only compares them, and not every client counts tokens.
- Its pins (mcp, openai) exclude those of our extras: install both packages into an environment of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from firesteel.train.adapters.questions import Question, costs, draw

try:
    import verifiers.v1 as vf
except ModuleNotFoundError as error:
    if error.name != "verifiers":
        raise
    raise ValueError("This adapter needs verifiers 0.4: pip install 'verifiers>=0.4', without our extras.") from error

__all__ = ["Priced", "Problems"]


class Data(vf.TaskData):
    """A problem's name beside its prompt."""

    family: str
    level: int
    number: int
    strength: str

    @property
    def question(self) -> Question:
        return Question(self.family, self.level, self.number, self.strength)


class Asked(vf.Task[Data]):
    """One problem: `correct` is its reward, `thinking` (characters of thought) a metric."""

    @vf.reward
    async def correct(self, trace: vf.Trace) -> float:
        return float(not trace.is_truncated and self.data.question.is_right(trace.last_reply))

    @vf.metric
    async def thinking(self, trace: vf.Trace) -> float:
        return float(_thought(trace))


class Settings(vf.TasksetConfig):
    """`--env.taskset.*`: what `questions.draw` takes. `say_strength` writes the strength into the system prompt.

    A server that writes it itself, as Firesteel's does, takes it as `reasoning_effort` in the sampling instead.
    """

    families: tuple[str, ...] = ()
    levels: tuple[int, ...] = (1,)
    strengths: tuple[str, ...] = ("medium",)
    seed: int = 0
    held_out: bool = False
    say_strength: bool = True


class Problems(vf.Taskset[Asked, Settings]):
    """Problems without end; select a number of them where an end is needed."""

    INFINITE = True

    def load(self) -> Iterator[Asked]:
        wanted = self.config
        for question in draw(wanted.families, wanted.levels, wanted.strengths, wanted.seed, wanted.held_out):
            system = question.line if wanted.say_strength else None
            yield Asked(Data(prompt=_prompt(question), system_prompt=system, **vars(question)), wanted.task)


class PricedConfig(vf.EnvConfig):
    """`n` attempts at each problem; `scale` multiplies the price of thinking."""

    agent: vf.AgentConfig = vf.AgentConfig()
    n: int = 8
    scale: float = 1.0


class Priced(vf.Env[PricedConfig]):
    """A group of attempts at one of our problems, with `thinking_cost` (0 or less) among the rewards of each."""

    async def run(self, task: vf.Task, agents: vf.Agents) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.config.n):
                group.create_task(agents.agent.run(task))

    async def finalize(self, task: vf.Task, episode: vf.Episode) -> None:
        traces = episode.traces
        rewards = [trace.rewards["correct"].value for trace in traces]
        price = costs(rewards, [_thought(trace) for trace in traces], task.data.strength, self.config.scale)
        for trace, cost in zip(traces, price, strict=True):
            trace.record_reward("thinking_cost", cost)


def _prompt(question: Question) -> list[vf.UserMessage]:
    return [vf.UserMessage.model_validate(question.problem.message.to_dict())]


def _thought(trace: vf.Trace) -> int:
    return sum(len(message.reasoning_content or "") for message in trace.assistant_messages)
