"""`firesteel bench effort` and `bench curve`: what thinking costs and brings, and how that grows with training."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from firesteel.backends import resolve
from firesteel.evals import effort, effort_plot, effort_report, growth
from firesteel.evals.effort import Condition, Key, Model, Record, Settings
from firesteel.evals.effort_report import MAIN, Findings, Group, Point, points_text, tokens_text
from firesteel.tasks import FAMILIES


@dataclass(frozen=True)
class Asked:
    """Which problems are asked, and how."""

    keys: Sequence[Key]
    held_out: Sequence[str]
    settings: Settings
    threads: int | None


def asked(
    families: Sequence[str],
    held_out: Sequence[str],
    levels: Sequence[str],
    n: int,
    seeds: int,
    samples: int,
    max_tokens: int,
    threads: int | None,
) -> Asked:
    """From the options. No families means all; those held out are asked as well. Raises ValueError as `problems`."""
    keys = effort.problems([*(families or FAMILIES), *held_out], whole(levels), n, range(seeds))
    return Asked(keys, held_out, Settings(samples, max_tokens), threads)


def whole(words: Sequence[str]) -> list[int]:
    """Raises ValueError for what is no whole number."""
    if wrong := [word for word in words if not word.isdecimal()]:
        raise ValueError(f"{wrong[0]!r} is no whole number; write them between commas.")
    return [int(word) for word in words]


def bench_effort(
    models: Sequence[str],
    asked: Asked,
    strengths: Sequence[str],
    brief: bool,
    budgets: Sequence[str],
    out: Path,
    as_json: bool,
) -> None:
    """Asks what the record beside `out` lacks; writes `out` and its picture, prints tables or the JSON object."""
    findings = _find(models, asked, effort.conditions(strengths, brief, whole(budgets)), out)
    groups = findings.groups()
    found = effort_report.to_json(findings, groups)
    out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    effort_plot.draw_effort(findings, groups, out.with_suffix(".png"))
    if as_json:
        print(json.dumps(found))
        return
    console = _console()
    for name, group in groups.items():
        if name in MAIN or name.startswith("level "):
            console.print(_points_table(findings, name, group))
    for table in _comparisons(groups):
        console.print(table)
    console.print(f"Everything, by family too: {out}, {out.with_suffix('.png')}; the samples: {_record(out)}")


def bench_curve(checkpoints: Sequence[str], asked: Asked, strength: str, out: Path, as_json: bool) -> None:
    """The same for checkpoints named FLOPS=ADDRESS at one strength."""
    for checkpoint in checkpoints:
        growth.compute_of(checkpoint.partition("=")[0])
    findings = _find(checkpoints, asked, effort.conditions([strength], brief=False), out)
    groups = findings.groups()
    grown = {name: growth.growth(groups[name], asked.settings.samples) for name in MAIN if name in groups}
    out.write_text(json.dumps(growth.to_json(grown), indent=1), encoding="utf-8")
    for name, one in grown.items():
        effort_plot.draw_growth(one, _picture(out, name))
    if as_json:
        print(json.dumps(growth.to_json(grown)))
        return
    console = _console()
    for name, one in grown.items():
        k = one.samples
        table = Table(title=f"{name}: strength {strength}")
        for heading in ("FLOPs", "pass@1", f"pass@{k}", f"chance@{k}", f"majority@{k}", "thinking", "truncated"):
            table.add_column(heading, justify="right")
        for row in growth.rows(one):
            table.add_row(*row)
        console.print(table)
        for measure, fits in one.fits.items():
            told = [f"{form} R² {fit.r2:.3f}" if fit else f"{form}: too few points" for form, fit in fits.items()]
            console.print(f"{measure.replace('@k', f'@{k}')}: {', '.join(told)}")
    console.print("pass@k may stay flat where training only sharpens; see the level of chance beside it.")


def _find(arguments: Sequence[str], asked: Asked, conditions: Sequence[Condition], out: Path) -> Findings:
    models = [effort.model_of(argument) for argument in arguments]
    record = Record(_record(out), asked.settings)
    jobs = effort.missing(effort.plan(models, conditions, asked.keys), record)
    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("asking", total=len(jobs))
        for model in dict.fromkeys(models):
            own = effort.missing([job for job in jobs if job[0] == model], record)
            if own:
                asyncio.run(_ask(model, own, record, asked, lambda: progress.advance(bar)))
    return Findings(models, conditions, asked.keys, record, asked.settings, asked.held_out)


async def _ask(model: Model, jobs: list[effort.Job], record: Record, asked: Asked, advance: Callable[[], None]) -> None:
    options = {}
    if asked.threads is not None:
        if model.address != resolve.PACKAGED and not model.address.endswith(".gguf"):
            raise ValueError(f"--threads is for kindling and .gguf files, not for {model.address}.")
        options = {"threads": asked.threads}
    backend = resolve.open_backend(model.address, slots=asked.settings.samples, **options)
    try:
        await effort.ask(backend, jobs, record, asked.settings, advance)
    finally:
        await backend.close()


def _console() -> Console:
    """Where no terminal sets the width, the tables take what they need."""
    return Console(width=None if sys.stdout.isatty() else 150)


def _record(out: Path) -> Path:
    return out.with_suffix(".jsonl")


def _picture(out: Path, group: str) -> Path:
    return out.with_suffix(".png") if group == "all" else out.with_name(f"{out.stem}-{group.replace(' ', '-')}.png")


def _points_table(findings: Findings, name: str, group: Group) -> Table:
    k = findings.settings.samples
    table = Table(title=f"{name}: {group.problems} problems, {k} samples each")
    table.add_column("model")
    table.add_column("condition")
    for heading in ("pass@1", f"pass@{k}", f"chance@{k}", f"majority@{k}", "thinking", "median", "p95", "truncated"):
        table.add_column(heading, justify="right")
    for heading in ("AUC_OAA", "F1"):
        table.add_column(heading, justify="right")
    for arm, points in group.points.items():
        for condition, point in points.items():
            table.add_row(arm, condition, *_cells(point, k))
    return table


def _cells(point: Point, k: int) -> list[str]:
    return [
        f"{point.accuracy.mean:.3f} [{point.accuracy.low:.3f}, {point.accuracy.high:.3f}]",
        f"{point.pass_at[k]:.3f}",
        "–" if point.chance is None else f"{point.chance:.3f}",
        f"{point.majority:.3f}",
        f"{point.tokens:.1f}",
        f"{point.median_tokens:.0f}",
        f"{point.p95_tokens:.0f}",
        f"{point.truncated:.1%}",
        f"{point.auc_oaa:.3f}",
        "–" if point.f1 is None else f"{point.f1:.3f}",
    ]


def _comparisons(groups: dict[str, Group]) -> list[Table]:
    """The order of the strengths, then models against the first, by problems asked."""
    order = Table("problems", "model", "from", "to", "shorter", "accuracy", title="Order of the strengths")
    changes = Table("problems", "model", "condition", "thinking tokens", "accuracy", title="Against the first model")
    equals = Table(
        "problems", "model", "against", "accuracy", "tokens", "theirs", "difference", title="At equal accuracy"
    )
    for name in [name for name in MAIN if name in groups]:
        group = groups[name]
        for arm, steps in group.steps.items():
            for step in steps:
                told = points_text(step.gain) + (" inverted" if step.inverted else "")
                order.add_row(name, arm, step.low, step.high, f"{step.shorter:.1%}", told)
        for change in group.changes:
            row = (change.arm, change.condition, tokens_text(change.tokens), points_text(change.accuracy))
            changes.add_row(name, *row)
        for e in group.equals:
            numbers = (f"{e.accuracy:.3f}", f"{e.tokens:.1f}", f"{e.other_tokens:.1f}", tokens_text(e.saved))
            equals.add_row(name, e.arm, e.against, *numbers)
    return [table for table in (order, changes, equals) if table.row_count]
