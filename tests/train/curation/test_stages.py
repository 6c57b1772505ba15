"""The same stages for every executor; only the local one runs here."""

import dill
import pytest
from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.executor.ray import RayPipelineExecutor
from datatrove.executor.slurm import SlurmPipelineExecutor

from firesteel.train.curation.build import stages
from firesteel.train.curation.recipe import Executor, Recipe, Source
from firesteel.train.curation.stages import executor


@pytest.fixture
def planned(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    licensed = {"licence": "CC0", "attribution": "nobody"}
    sources = (
        Source(name="text", kind="text", path="a.txt", **licensed),
        Source(name="tasks", kind="tasks", samples=1, **licensed),
    )
    return stages(Recipe(name="r", sources=sources, root=str(tmp_path), tasks=3), tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "made"),
    [("local", LocalPipelineExecutor), ("slurm", SlurmPipelineExecutor), ("ray", RayPipelineExecutor)],
)
def test_every_executor_takes_every_stage(planned, tmp_path, kind, made):
    before: PipelineExecutor | None = None
    for stage in planned:
        after = executor(Executor(kind=kind, workers=2, partition="cpu"), stage, tmp_path / "logs", before)
        assert type(after) is made and after.world_size == stage.tasks
        if kind == "slurm":
            assert after.depends is before
        travelled = dill.loads(dill.dumps(after))  # how a stage reaches another machine
        assert [step.name for step in travelled.pipeline] == [step.name for step in stage.steps]
        before = after


def test_only_prose_is_searched_for_near_duplicates(planned):
    tasks = {stage.name: stage.tasks for stage in planned}
    assert tasks["exact-drop"] == tasks["encode"] == 6 and tasks["near-drop"] == 3
