"""What a run is: frozen dataclasses, a recipe that fills them in, and strict `a.b=c` overrides.

A recipe is a function in `firesteel.recipes` that returns a `Run`. Everything a run depends on is in that value, and
it is written beside the weights, so a directory of a run explains itself.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True, kw_only=True)
class Optim:
    """Muon for the hidden matrices, AdamW for the rest; trapezoid schedule (warm up, hold, linear decay to zero).

    One learning rate serves both: Muon's update is scaled to AdamW's typical size (Liu et al. 2025, arXiv 2502.16982).
    """

    lr: float = 4e-3
    adam_lr_scale: float = 0.75
    weight_decay: float = 0.02
    warmup: int = 100
    decay: float = 0.5  # the last part of the steps over which the rate falls linearly to zero
    clip: float = 1.0
    muon: bool = True
    balance: float = 1e-3  # how far a step moves the routers' bias against their load (arXiv 2408.15664)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Shares of rows (text) and of the samples of the other rows.

    Kinds of samples are drawn in turn, each from what those before it left: calls, talk, operators, looks, pictures,
    sheets, spelling, captions; the rest are traces of tasks. A sample longer than a row is drawn in vain, which leaves
    its kind less than its share.

    `families` narrows the tasks, empty means all; a family named twice is drawn twice as often as its kind's others.
    """

    text: float = 0.0  # rows of running text
    moved: float = 0.0  # pictures of tasks shown on a larger or oblong ground (`tasks.drawing.moved`)
    captions: float = 0.0  # pictures with their description
    calls: float = 0.0  # conversations with tools (`firesteel.train.calls`)
    talk: float = 0.0  # what people say that is no task (`firesteel.train.talk`)
    questions: tuple[str, ...] = ()  # instruction sets whose open questions it learns not to answer
    looks: float = 0.0  # pictures to be looked at closer (`firesteel.train.looks`), with a tool some 700 tokens each
    sheets: float = 0.0  # signs and numbers in rows to read aloud (`firesteel.train.glyphs`)
    spelling: float = 0.0  # words to be spelled (`firesteel.train.spelling`)
    pictures: float = 0.0  # questions about photographs, icons and pages of `albums`
    albums: tuple[str, ...] = ()  # files that `firesteel data pictures` made, drawn alike
    operators: float = 0.0  # questions with answers to judge (`firesteel.train.operators`)
    pools: tuple[str, ...] = ()  # files that `firesteel data answers` made, drawn alike
    levels: tuple[float, ...] = (1.0,)  # weight of level 1, 2, …
    families: tuple[str, ...] = ()
    visual: float = 0.6  # share of visual families among traces
    strengths: tuple[float, ...] = (0.12, 0.18, 0.25, 0.33, 0.12)  # weights of minimal, low, medium, high, xhigh
    thought: int = 0  # from low strength to high all think as this one does; 0: each as it should
    wording: float = 0.0  # share of traces asked in other words than the family's (`firesteel.train.wording`)
    spread: float = 0.0  # share of traces with the thought of another strength: what reinforcement can choose from

    def __post_init__(self) -> None:
        if len(self.strengths) != 5:
            raise ValueError("a mix weighs five strengths: minimal, low, medium, high, xhigh")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One phase of training on one mix: `steps` updates of `rows` packed rows of `length` tokens.

    The objective "text" learns the next token, and beside it the tower names what stands in the squares of `named`
    pictures of the mix's albums (`firesteel.train.named`). The others teach the vision tower characters
    (`firesteel.train.glyphs`) on `rows` pages an update and use neither `length` nor `mix`: "primer" from single large
    characters on, "pages" on scattered words alone.
    """

    name: str
    steps: int
    objective: str = "text"
    rows: int = 16
    length: int = 384
    named: int = 0
    mix: Mix = field(default_factory=Mix)
    optim: Optim = field(default_factory=Optim)

    def __post_init__(self) -> None:
        if self.objective not in ("text", "primer", "pages"):
            raise ValueError(f"a stage's objective is text, primer or pages, not {self.objective!r}")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A complete run. `model` is the checkpoint's config.json as a dictionary."""

    name: str
    model: dict[str, Any]
    stages: tuple[Stage, ...]
    vocab_size: int = 8192
    max_image_tokens: int = 4096  # larger pictures are shrunk to as many, in training and wherever the model is served
    sources: tuple[str, ...] = ()  # files of running text, see `corpus.documents`
    source_megabytes: int = 12  # how much of each source is read
    tokenizer_samples: int = 6000  # task problems among the texts that the vocabulary is learnt from
    seed: int = 0
    precision: str = "auto"  # "bf16", "fp32", or whichever the device multiplies faster
    compile: bool = True
    checkpoint_every: int = 100
    keep_every: int = 0  # on the plateau, so often a checkpoint is kept to branch from; 0: never
    branch: str = ""  # a kept checkpoint, of a run with the same stages, from which this one starts
    workers: int = 1  # processes that draw data ahead of the training


def from_dict(kind: Any, data: Mapping[str, Any]) -> Any:
    """A dataclass of this file from what `json.dumps(asdict(it))` wrote; what is not there takes its default.

    Raises ValueError for an unknown key.
    """
    hints = get_type_hints(kind)
    if unknown := data.keys() - hints.keys():
        raise ValueError(f"unknown key {min(unknown)!r}; there are: {', '.join(hints)}")
    return kind(**{key: _typed(hints[key], value) for key, value in data.items()})


def _typed(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value)
    return tuple(_typed(get_args(hint)[0], item) for item in value) if isinstance(value, list) else value


def override(config: Any, assignments: list[str]) -> Any:
    """Applies `a.b=c` assignments to nested frozen dataclasses, tuples (by index) and dictionaries.

    `config` may be a recipe: assignments to its parameters are then what it is called with (`size=512`).
    Raises ValueError for an unknown key or a value of the wrong kind, naming what exists.
    """
    if inspect.isfunction(config):
        known = inspect.signature(config).parameters
        given = [a for a in assignments if a.partition("=")[0] in known]
        arguments = override({name: known[name].default for name in known}, given)
        config, assignments = config(**arguments), [a for a in assignments if a not in given]
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"--set wants key=value, got {assignment!r}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = {"true": True, "false": False}.get(text, text)
        config = _replace(config, path.split("."), value, path)
    return config


def _replace(node: Any, keys: list[str], value: Any, path: str) -> Any:
    if not keys:
        if isinstance(node, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if isinstance(node, tuple) and isinstance(value, str | list):
            value = tuple(word for word in value.split(",") if word) if isinstance(value, str) else tuple(value)
        if isinstance(node, tuple) and node and type(value) is type(node[0]):
            value = (value,)
        if node is not None and type(value) is not type(node):
            raise ValueError(f"{path} is a {type(node).__name__}, {value!r} is not")
        return value
    key, rest = keys[0], keys[1:]
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        names = [f.name for f in dataclasses.fields(node)]
        if key not in names:
            raise ValueError(f"unknown key {key!r} in {path!r}; there are: {', '.join(names)}")
        return dataclasses.replace(node, **{key: _replace(getattr(node, key), rest, value, path)})
    if isinstance(node, dict):
        if key not in node:
            raise ValueError(f"unknown key {key!r} in {path!r}; there are: {', '.join(node)}")
        return {**node, key: _replace(node[key], rest, value, path)}
    if isinstance(node, tuple):
        named = [getattr(item, "name", None) for item in node]
        index = named.index(key) if key in named else int(key) if key.isdigit() else len(node)
        if index >= len(node):
            raise ValueError(f"unknown key {key!r} in {path!r}; there are {len(node)} entries")
        return (*node[:index], _replace(node[index], rest, value, path), *node[index + 1 :])
    raise ValueError(f"{path!r} goes deeper than the configuration does")
