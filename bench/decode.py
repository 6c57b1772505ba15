"""Decoding speed: llama.cpp in process and our engine against transformers' `generate`, same weights, same run.

    python bench/decode.py [CHECKPOINT] [--tokens 128] [--repeats 5] [--batches 1 8 16] [--gguf Q8_0]

Without a directory the packaged kindling is exported to one. The settings are requests side by side (greedy, one
prompt each) and `--samples` samples of one prompt (temperature 1). Turns end where the model ends them, for everybody;
a figure is new tokens a second over the whole call, prompt included, the median of the repeats. Contenders take turns
within each repeat, so that a busy machine is busy for all of them. Each has a process of its own: OpenMP slows down all
threads of a process once its pools together are larger than the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from importlib import resources
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import MuseGlimmerForConditionalGeneration

from firesteel.backends import Backend, Request, complete
from firesteel.backends.engine import EngineBackend
from firesteel.backends.gguf import GGUFBackend
from firesteel.format import Message, Tokenizer, render
from firesteel.model.gguf import export
from firesteel.model.gguf_import import to_directory

QUESTIONS = (
    "What is 47 + 86 + 19?",
    "Sort these numbers from small to large: 91, 14, 62, 5, 38, 77.",
    "A box holds 12 pens. Ann has 7 boxes and gives away 15 pens. How many pens are left?",
    "Write 45 in binary.",
)
STRENGTH = 256
BASE = "transformers fp32"


def questions(count: int) -> list[list[Message]]:
    """`count` prompts, no two alike."""
    return [[Message("user", f"{QUESTIONS[i % len(QUESTIONS)]} (No. {i + 1})")] for i in range(count)]


class Transformers:
    """`generate` on a left-padded batch, fp32."""

    def __init__(self, directory: Path, tokenizer: Tokenizer) -> None:
        self.model = MuseGlimmerForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
        self.tokenizer = tokenizer

    def run(self, prompts: list[list[Message]], samples: int, tokens: int) -> int:
        rows = [render(prompt, strength=STRENGTH, tokenizer=self.tokenizer).ids for prompt in prompts]
        width, pad = max(map(len, rows)), self.tokenizer.id("<|finetune_right_pad|>")
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if samples > 1 else {}
        with torch.inference_mode():
            out = self.model.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=tokens,
                num_return_sequences=samples,
                eos_token_id=self.tokenizer.eos_ids,
                pad_token_id=pad,
                **({"do_sample": False} | sampling),
            )
        return int((out[:, width:] != pad).sum())


class Ours:
    """One of our backends, asked for everything at once."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.runner = backend, asyncio.Runner()

    def run(self, prompts: list[list[Message]], samples: int, tokens: int) -> int:
        async def all_of_them() -> int:
            requests = [
                Request(
                    messages=prompt,
                    strength=STRENGTH,
                    n=samples,
                    max_tokens=tokens,
                    temperature=1.0 if samples > 1 else 0.0,
                    seed=1,
                )
                for prompt in prompts
            ]
            answers = await asyncio.gather(*(complete(self.backend, request) for request in requests))
            return sum(len(sample.token_ids) for answer in answers for sample in answer)

        return self.runner.run(all_of_them())


def opened(who: str, directory: Path, file: Path, slots: int, threads: int) -> Transformers | Ours:
    torch.set_num_threads(threads)
    if who == "transformers":
        return Transformers(directory, Tokenizer(directory / "tokenizer.json"))
    if who == "engine":
        return Ours(EngineBackend(directory, slots=slots, context=1024))
    return Ours(GGUFBackend(file, slots=slots, context=1024, threads=threads))


def compete(connection: Connection, *arguments: Any) -> None:
    """A contender's process: answers every task with its new tokens a second."""
    contender = opened(*arguments)
    while task := connection.recv():
        start = time.perf_counter()
        count = contender.run(*task)
        connection.send(count / (time.perf_counter() - start))
    os._exit(0)  # what is open ends with the process


def measure(contenders: dict[str, Connection], task: tuple[Any, ...], repeats: int) -> dict[str, float]:
    """Median tokens a second of each, after one call to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(repeats + 1):
        for name, connection in contenders.items():
            connection.send(task)
            rate = connection.recv()
            if repeat:
                rates[name].append(rate)
    return {name: median(values) for name, values in rates.items()}


def packaged(folder: Path) -> Path:
    """The packaged kindling as a checkpoint directory."""
    assets = Path(str(resources.files("firesteel"))) / "assets" / "kindling"
    to_directory(assets / "kindling.gguf", assets / "kindling-mmproj.gguf", folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("--tokens", type=int, default=128, help="most new tokens of a sample")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 16])
    parser.add_argument("--samples", type=int, default=8, help="samples of one prompt; 0 leaves that out")
    parser.add_argument("--gguf", default="Q8_0", choices=("F32", "BF16", "Q8_0"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    slots = max([*options.batches, options.samples])
    settings = [(f"batch {n}", questions(n), 1) for n in options.batches]
    if options.samples:
        settings.append((f"{options.samples} samples of one prompt", questions(1), options.samples))
    with tempfile.TemporaryDirectory() as folder:
        directory = options.checkpoint or packaged(Path(folder) / "kindling")
        file, _ = export(directory, Path(folder) / "model.gguf", dtype=options.gguf)
        contenders = {}
        for name in (BASE, f"llama.cpp {options.gguf}", "engine"):
            here, there = Pipe()
            arguments = (there, name.split()[0], directory, file, slots, options.threads)
            get_context("spawn").Process(target=compete, args=arguments, daemon=True).start()
            contenders[name] = here
        print(f"new tokens a second; {options.threads} threads, at most {options.tokens} tokens a sample")
        for title, prompts, samples in settings:
            rates = measure(contenders, (prompts, samples, options.tokens), options.repeats)
            shown = (f"  {name} {rate:7.0f} ({rate / rates[BASE]:.1f}x)" for name, rate in rates.items())
            print(f"{title:26}" + "".join(shown), flush=True)
        for connection in contenders.values():
            connection.send(None)


if __name__ == "__main__":
    main()
