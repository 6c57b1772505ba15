"""What a build is made of: stages, each a datatrove pipeline in numbered tasks, and the executors that run them.

- Slurm is given all stages at once, each to wait for the one before it.
- datatrove marks each finished task; a build that was stopped goes on at the first unfinished one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers import JsonlWriter

from firesteel.train.curation.recipe import Executor

_SHOWN = 300  # characters of a dropped document


@dataclass(frozen=True)
class Stage:
    """A pipeline and into how many tasks it is cut."""

    name: str
    steps: list[PipelineStep]
    tasks: int


def executor(where: Executor, stage: Stage, logs: Path, before: PipelineExecutor | None) -> PipelineExecutor:
    """The executor of one stage. Slurm's starts when `before` has finished; the others are run one after another."""
    common: dict[str, Any] = {"pipeline": stage.steps, "tasks": stage.tasks, "logging_dir": str(logs / stage.name)}
    common["workers"] = min(where.workers, stage.tasks)
    if where.kind == "slurm":
        from datatrove.executor.slurm import SlurmPipelineExecutor

        return SlurmPipelineExecutor(
            **common,
            depends=before,
            time=f"{where.hours}:00:00",
            partition=where.partition,
            mem_per_cpu_gb=where.memory_gb,
            job_name=stage.name,
            venv_path=sys.prefix if sys.prefix != sys.base_prefix else None,
        )
    if where.kind == "ray":
        from datatrove.executor.ray import RayPipelineExecutor

        return RayPipelineExecutor(**common, mem_per_cpu_gb=where.memory_gb, time=where.hours * 3600)
    return LocalPipelineExecutor(**common)


def written(folder: Path) -> JsonlWriter:
    """A block that keeps documents, each task's in a file of its number."""
    return JsonlWriter(str(folder), "${rank}.jsonl", compression=None)


def shown(out: Path, reason: str) -> JsonlWriter:
    """Where a filter shows what it dropped: `out/dropped/SOURCE/REASON/`, the beginning of each document."""
    name = "${source}/" + reason.replace(" ", "-") + "/${rank}.jsonl"
    return JsonlWriter(str(out / "dropped"), name, compression=None, adapter=_brief)


def _brief(writer: Any, document: Document) -> dict[str, Any]:
    reason = document.metadata.get("filter_reason", "duplicate")
    return {"id": document.id, "reason": reason, "text": document.text[:_SHOWN]}
