"""`firesteel sft`: a model and conversations in, a tuned model out."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from firesteel.cli.train import require_extra
from firesteel.format import strength_number


def sft(data: Sequence[str], model: str, out: Path, strength: str | None, **settings: Any) -> None:
    """Tunes, and says what came of it. `settings`: those of `finetune.run.tune`. Raises ValueError as it does."""
    require_extra("Fine-tuning")
    if model.startswith("hf:") and not (find_spec("transformers") and find_spec("peft")):
        raise ValueError("Tuning other models needs transformers and peft: pip install 'firesteel[train,hf]'.")
    from firesteel.train.finetune.run import tune

    tuned = tune(data, model, out, strength=None if strength is None else strength_number(strength), **settings)
    report = tuned.report
    print(
        f"Learnt from {tuned.samples} examples ({tuned.tokens:,} tokens of the assistant), {tuned.held_out} held out."
    )
    if tuned.rehearsed:
        print(f"Rehearsed {tuned.rehearsed} generated problems beside them, so that it keeps what it can do.")
    if tuned.long:
        print(f"Left out {tuned.long} that are longer than {settings['length']} tokens: --length takes them.")
    first, last = report.training[0], report.training[-1]
    print(f"Made {report.updates} updates: loss {first:.3f} at the first, {last:.3f} at the last.")
    if tuned.held_out:
        print(
            f"Held-out loss {report.before:.3f} before, {report.after:.3f} after update {report.kept}, which was kept."
        )
    if report.updates < report.planned:
        print(f"Stopped {report.planned - report.updates} updates early, because the held-out loss no longer fell.")
        print("What is to be known by heart (facts, a name) needs --holdout 0.")
    print("\n".join(f"firesteel ask --model {address}" for address in tuned.addresses))
