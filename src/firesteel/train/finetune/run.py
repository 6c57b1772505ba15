"""A fine-tuning from files to a directory that serves: read, encode, split, fit, write."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import expanduser
from pathlib import Path
from typing import Protocol

import torch

from firesteel.model.checkpoint import WEIGHT_FILES
from firesteel.train.finetune.examples import Example, read
from firesteel.train.finetune.fit import Learner, Report, Sample, Settings, fit, split
from firesteel.train.finetune.kindling import Kindling
from firesteel.train.finetune.rehearsal import rehearsal


class Tunable(Learner, Protocol):
    """A learner with its way in and out."""

    directory: Path  # where it was read from
    rate: float  # the learning rate that suits it

    def samples(self, example: Example) -> list[Sample]: ...

    def save(self, out: Path) -> list[str]:
        """Writes the tuned weights into `out`; returns the addresses under which they serve."""
        ...


@dataclass(frozen=True)
class Tuned:
    """What was learnt from (`samples`; `long` were left out), what came of it, and where it serves."""

    samples: int
    held_out: int
    long: int
    tokens: int  # of the assistant in these samples
    rehearsed: int  # problems beside them
    report: Report
    addresses: list[str]


def tune(
    sources: Sequence[str],
    model: str,
    out: Path,
    *,
    rate: float | None = None,
    epochs: float = 3.0,
    batch: int = 16,
    holdout: float = 0.05,
    length: int = 2048,
    strength: int | None = None,
    rehearse: float = 0.3,
    rank: int = 16,
    seed: int = 0,
    device: str | None = None,
) -> Tuned:
    """Tunes `model` on the examples in `sources` and writes it to `out`.

    `model`: `kindling`, a GGUF file or directory of ours (all weights learn), or `hf:DIR` (adapters of rank `rank`).
    Samples of more than `length` tokens are left out. `rehearse` is the share of `rehearsal` in what our own models
    learn, before its own long ones are left out; it stands beside the epochs, so that more of it makes a longer run.
    Raises ValueError for what cannot be read, opened or learnt.
    """
    if not 0 <= rehearse < 1:
        raise ValueError(f"The share of rehearsal is at least 0 and below 1, not {rehearse}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and is no empty directory.")
    out.mkdir(parents=True, exist_ok=True)
    examples = [example for source in sources for example in read(source, strength)]
    if not examples:
        raise ValueError(f"There is no example in {', '.join(sources)}.")
    learner = _open(model, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")), rank, seed)
    rate = learner.rate if rate is None else rate
    settings = Settings(rate=rate, epochs=epochs, batch=batch, holdout=holdout, seed=seed)
    encoded = [_encoded(learner, example) for example in examples]
    short = [[sample for sample in samples if len(sample.ids) <= length] for samples in encoded]
    fitting = [(example.key, samples) for example, samples in zip(examples, short, strict=True) if samples]
    if not fitting:
        raise ValueError(f"All {len(examples)} examples are longer than {length} tokens: raise --length.")
    learning, held = split(fitting, settings.holdout)
    if not learning:
        raise ValueError(f"A share of {holdout} holds out all that there is to learn from: lower --holdout.")
    problems = round(len(learning) * rehearse / (1 - rehearse)) if isinstance(learner, Kindling) else 0
    reminders = [sample for problem in rehearsal(problems, seed) for sample in learner.samples(problem)]
    reminders = [sample for sample in reminders if len(sample.ids) <= length]
    report = fit(learner, learning + reminders, held, settings)
    for file in learner.directory.iterdir():  # tokenizer, template, processor; the configuration is written anew
        if file.is_file() and not file.name.endswith(WEIGHT_FILES):
            shutil.copy(file, out / file.name)
    addresses = learner.save(out)
    tokens = sum(sample.learnt for sample in learning)
    long = sum(map(len, encoded)) - sum(map(len, short))
    tuned = Tuned(len(learning), len(held), long, tokens, len(reminders), report, addresses)
    record = {"model": model, "sources": list(sources), "length": length, "strength": strength, "rehearse": rehearse}
    record |= {"settings": dataclasses.asdict(settings)} | dataclasses.asdict(tuned)
    (out / "sft.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return tuned


def _open(model: str, device: torch.device, rank: int, seed: int) -> Tunable:
    kind, _, rest = model.partition(":")
    if kind != "hf":
        return Kindling(model, device)
    from firesteel.train.finetune.lora import Lora  # transformers and peft, which tuning kindling does not need

    return Lora(Path(expanduser(rest)), device, rank, seed)


def _encoded(learner: Tunable, example: Example) -> list[Sample]:
    try:
        return learner.samples(example)
    except ValueError as error:
        raise ValueError(f"{example.place}: {error}") from error
