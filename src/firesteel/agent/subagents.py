"""`subagents.spawn_agents`: the model hands parts of its task to fresh agents that work at once.

Each child begins a conversation of its own with the filled-in template, has the same tools except this one, and spends
from its parent's budget. Names and parameters as reported for Muse Spark 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from firesteel.agent.events import ABOVE
from firesteel.agent.loop import Permit, deny
from firesteel.agent.schedule import Job, answer_of, race
from firesteel.agent.tools import Tool, ToolError, tool
from firesteel.backends import Backend
from firesteel.format import Message, Trace

MOST = 16
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def spawn_agents(backend: Backend, tools: Sequence[Tool] = (), *, permit: Permit = deny, **options: Any) -> Tool:
    """The tool. `tools` are those of the children, `options` those of their requests."""

    @tool(name="subagents.spawn_agents")
    async def spawn(message_template: str, subagents: list[dict], max_response_chars: int = 2048) -> str:  # type: ignore[type-arg]
        """Starts independent agents at once, each with its own copy of a message, and returns what each answers.

        message_template: The task, with placeholders in braces, such as: Summarise the chapter {chapter}.
        subagents: At most 16 objects {"title": …, "params": {placeholder: value}}, one for each agent.
        max_response_chars: A longer answer is cut there.
        """
        above = ABOVE.get()
        assert above is not None, "the tool is called by a run"
        if not 1 <= len(subagents) <= MOST:
            raise ToolError(f"subagents must name 1 to {MOST} agents, not {len(subagents)}.")
        if max_response_chars < 1:
            raise ToolError("max_response_chars must be at least 1.")
        tasks = [_fill(message_template, child.get("params", {}), number) for number, child in enumerate(subagents, 1)]
        jobs = [
            Job(
                agent=number,
                trace=Trace([Message("user", task)]),
                budget=above.budget.child(),
                tools=tools,
                options=dict(options),
            )
            for number, task in enumerate(tasks, 1)
        ]
        reasons: dict[int, str] = {}
        async with aclosing(race(jobs, backend, permit, above.emit)) as outcomes:
            async for job, reason, _ in outcomes:
                reasons[job.agent] = reason
        return "\n\n".join(
            f"{job.agent}. {child.get('title') or 'agent'}: {_said(job, reasons[job.agent], max_response_chars)}"
            for job, child in zip(jobs, subagents, strict=True)
        )

    return spawn


def _fill(template: str, params: Any, number: int) -> str:
    if not isinstance(params, dict):
        raise ToolError(f"The params of agent {number} must be an object.")
    if missing := [name for name in _PLACEHOLDER.findall(template) if name not in params]:
        raise ToolError(f"Agent {number} has no value for the placeholder {{{missing[0]}}}.")
    return _PLACEHOLDER.sub(lambda match: str(params[match[1]]), template)


def _said(job: Job, reason: str, most: int) -> str:
    answer = answer_of(job.trace)
    if not answer:
        return f"(no answer: {reason})"
    return answer if len(answer) <= most else f"{answer[:most]}… (cut, {len(answer)} characters)"
