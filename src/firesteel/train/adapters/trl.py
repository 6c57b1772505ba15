"""Our problems and the price of thinking for TRL's GRPOTrainer (`pip install trl`); see examples/trl_grpo.py.

- A row is a conversation (the strength as system line, the question) and a problem's name. Pictures lie in `images`,
  where TRL's trainer looks for them; it needs a processor that can cut them up.
- Rewards are read from the token ids, with control tokens, by the readers of our backends: the text that TRL decodes
  has lost what separates thought from answer. A completion that did not end by itself is wrong.
- The price is a reward function of its own beside `correct`, never positive, so TRL logs the two apart and sums them.
  It needs whole groups: `per_device_train_batch_size * steps_per_generation` must be a multiple of `num_generations`.
- `loss_type="cispo"`, `epsilon_high=5.0`, `scale_rewards="batch"`, `beta=0.0` are the settings nearest to our own loss
  (ScaleRL, arXiv 2510.13786).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from firesteel.backends.hf_reply import Reading
from firesteel.format import parse
from firesteel.train.adapters.questions import Question, costs, draw

RewardFunction = Callable[..., list[float]]

# Before a Muse template: takes the strength out of a row's system line, where TRL can only give one for a whole run.
_ROW_STRENGTH = """
{%- if messages[0].role == "system" -%}
{%- set said = messages[0].content if messages[0].content is string else messages[0].content[0].text -%}
{%- if said.startswith("Reasoning strength: ") -%}
{%- set reasoning_strength = said[20:-1] -%}
{%- set messages = messages[1:] -%}
{%- endif -%}
{%- endif -%}
"""


def dataset(
    n: int,
    families: Sequence[str] = (),
    levels: Sequence[int] = (1,),
    strengths: Sequence[str] = ("medium",),
    seed: int = 0,
    held_out: bool = False,
) -> Any:
    """A `datasets.Dataset` of `n` rows: prompt, family, level, number, strength, and images where a family has any.

    Raises ValueError as `questions.draw` does, and where `datasets` is missing.
    """
    try:
        from datasets import Dataset, Features, Image, List, Value
    except ModuleNotFoundError as error:
        raise ValueError("A data set for TRL needs it and datasets: pip install trl.") from error
    questions = list(islice(draw(families, levels, strengths, seed, held_out), n))
    message = {"role": Value("string"), "content": Value("string")}
    columns = {"prompt": List(message), "family": Value("string"), "level": Value("int64"), "number": Value("int64")}
    columns |= {"strength": Value("string")}
    if any(question.problem.image is not None for question in questions):
        columns |= {"images": List(Image())}
    rows = [{name: value for name, value in _row(question).items() if name in columns} for question in questions]
    return Dataset.from_list(rows, features=Features(columns))


def reward_funcs(processing_class: Any, scale: float = 1.0, **template: Any) -> list[RewardFunction]:
    """What GRPOTrainer takes: `correct` (0 or 1) and `thinking_cost`, the pass-rate-gated price of thinking.

    `processing_class` is the trainer's tokenizer or processor, `scale` multiplies the price (0 for a first phase in
    which thinking is free), `template` is what `GRPOConfig.chat_template_kwargs` gives to the chat template.
    """
    read = _reader(getattr(processing_class, "tokenizer", processing_class), template)

    def judged(questions: Sequence[Question], completion_ids: Sequence[Sequence[int]]) -> list[tuple[float, int]]:
        said = [read(list(ids)) for ids in completion_ids]
        return [
            (float(answer is not None and question.is_right(answer)), thinking)
            for question, (answer, thinking) in zip(questions, said, strict=True)
        ]

    def correct(completion_ids: Sequence[Sequence[int]], **columns: Any) -> list[float]:
        return [reward for reward, _ in judged(_questions(columns), completion_ids)]

    def thinking_cost(completion_ids: Sequence[Sequence[int]], **columns: Any) -> list[float]:
        questions = _questions(columns)
        found = judged(questions, completion_ids)
        paid = [0.0] * len(found)
        for question in set(questions):
            group = [place for place, other in enumerate(questions) if other == question]
            rewards, lengths = zip(*(found[place] for place in group), strict=True)
            for place, cost in zip(group, costs(rewards, lengths, question.strength, scale), strict=True):
                paid[place] = cost
        return paid

    return [correct, thinking_cost]


def row_strength(template: str) -> str:
    """A Muse chat template that takes the strength from each row's system line and leaves that line out."""
    return _ROW_STRENGTH.strip() + template


def _row(question: Question) -> dict[str, Any]:
    problem = question.problem
    prompt = [{"role": "system", "content": question.line}, {"role": "user", "content": problem.question}]
    return vars(question) | {"prompt": prompt, "images": [] if problem.image is None else [problem.image]}


def _questions(columns: dict[str, Any]) -> list[Question]:
    names = ("family", "level", "number", "strength")
    return [Question(*values) for values in zip(*(columns[name] for name in names), strict=True)]


def _reader(tokenizer: Any, template: dict[str, Any]) -> Callable[[list[int]], tuple[str | None, int]]:
    """From the ids of a completion to its answer (None where it did not end) and its tokens of thought."""
    ends = {tokenizer.eos_token_id}
    if {"<|message|>", "<|eom|>"} <= tokenizer.get_vocab().keys():
        end_of_message = tokenizer.convert_tokens_to_ids("<|eom|>")

        def muse(ids: list[int]) -> tuple[str | None, int]:
            said = parse(tokenizer.decode(ids, skip_special_tokens=False))
            whole = len(ids) - ids[::-1].index(end_of_message) if end_of_message in ids else len(ids)
            return said.answer if said.complete else None, whole if said.reasoning else 0

        return muse
    opening = tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}], add_generation_prompt=True, tokenize=False, **template
    )

    def usual(ids: list[int]) -> tuple[str | None, int]:
        reading = Reading(0, tokenizer, opening, (), ())
        answer, thinking = "", 0
        for count, id in enumerate(ids, start=1):
            for event in reading.feed([id]).events:
                answer += event.text if event.kind == "content" else ""
                thinking = count if event.kind == "reasoning" else thinking
        answer += "".join(event.text for event in reading.end("stop").events if event.kind == "content")
        return answer if ids and ids[-1] in ends else None, thinking

    return usual
