"""Any checkpoint that transformers opens, tuned through low-rank adapters (Hu et al. 2021, arXiv 2106.09685) with peft.

- The checkpoint is opened and its prompts are written by the backend that serves it: what is served is what is trained.
- A turn of the assistant is what the chat template writes between the prompt that asks for it and the end of the turn.
  This needs no generation marks in the template, and is right for templates that drop earlier thoughts: where the next
  prompt does not go on from this turn's tokens, the turns become samples of their own.
- Adapters stand on every linear map but the head, where they come closest to full tuning (Schulman et al. 2025, "LoRA
  Without Regret"). The base keeps its weights.
- Written are the merged checkpoint, in the base's dtype, and the adapter alone beside it (`adapter/`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import torch
import torch.nn.functional as F
import transformers
from jinja2.exceptions import TemplateError
from torch import Tensor

from firesteel.backends.base import Request
from firesteel.backends.hf import TransformersBackend
from firesteel.backends.openai_messages import effort
from firesteel.format import STRENGTHS, Message
from firesteel.train.finetune.examples import Example
from firesteel.train.finetune.fit import Sample, padded
from firesteel.train.learner import precision


class Lora(TransformersBackend):
    """The checkpoint in `directory` with adapters of rank `rank`. Raises ValueError where it cannot be opened."""

    rate = 2e-4

    def __init__(self, directory: str | Path, device: torch.device, rank: int = 16, seed: int = 0) -> None:
        super().__init__(directory, device=str(device))
        self.directory = Path(directory)
        self._dtype = precision("auto", device)
        config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model: Any = peft.get_peft_model(self._model, config)

    # ---------------------------------------------------------------- text

    def samples(self, example: Example) -> list[Sample]:
        """The conversation as one sample, or several where the template writes the past otherwise than it was said."""
        found: list[Sample] = []
        for index, message in enumerate(example.messages):
            if message.role != "assistant":
                continue
            sample = self._answer(example, index)
            if found and sample.ids[: len(found[-1].ids)] == found[-1].ids:
                earlier = found.pop().mask
                sample = Sample(sample.ids, earlier + sample.mask[len(earlier) :], sample.inputs)
            found.append(sample)
        return found

    def _answer(self, example: Example, index: int) -> Sample:
        """The prompt as it is served, and the tokens of the message at `index`."""
        self._refuse_control(example.messages[index])
        history = example.messages[:index]
        served = self._inputs(Request(messages=history, tools=example.tools, strength=example.strength))
        inputs = {name: tensor.cpu() for name, tensor in served.items()}
        prompt: list[int] = inputs.pop("input_ids")[0].tolist()
        del inputs["attention_mask"]
        asked = self._text(example, history, add_generation_prompt=True)
        said = self._text(example, example.messages[: index + 1], add_generation_prompt=False)
        if not said.startswith(asked):
            raise ValueError(
                f"The chat template of {self.name} writes an answer otherwise than its prompt begins one "
                f"(...{asked[-40:]!r}); if that is a thought, give the example one in `reasoning_content`."
            )
        turn = said[len(asked) :]
        message = example.messages[index]
        for piece in (message.reasoning, message.commentary, message.text, *(call.name for call in message.tool_calls)):
            if piece.strip() not in turn:
                raise ValueError(
                    f"The chat template of {self.name} leaves out what the assistant says: {piece[:60]!r}."
                )
        ids = self._tokenizer.encode(turn, add_special_tokens=False)
        ends = [position for position, id in enumerate(ids, 1) if id in self._eos]
        ids = ids[: ends[-1]] if ends else ids + self._eos[:1]  # what follows the end is never generated
        for name, tensor in inputs.items():
            if tensor.shape == (1, len(prompt)):  # one value a token, such as its type
                inputs[name] = torch.cat([tensor, tensor.new_zeros(1, len(ids))], dim=1)
        return Sample(prompt + ids, [0] * len(prompt) + [1] * len(ids), inputs)

    def _text(self, example: Example, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        try:
            text: str = self._processor.apply_chat_template(
                self._messages(messages),
                tools=list(example.tools) or None,
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
                **self._options(example.strength),
            )
        except TemplateError as error:
            raise ValueError(f"The chat template of {self.name} refuses this conversation: {error}.") from error
        return text

    def _options(self, strength: int) -> dict[str, Any]:
        """The template's variables for a strength, as `_inputs` sets them."""
        words = [w for w in STRENGTHS if w in ("low", "medium", "high") or re.search(rf"['\"]{w}['\"]", self._template)]
        word = effort(strength, words)
        known = {"reasoning_effort": word, "reasoning_strength": word, "enable_thinking": strength > 1}
        return {name: value for name, value in known.items() if re.search(rf"\b{name}\b", self._template)}

    def _refuse_control(self, message: Message) -> None:
        """Raises ValueError where the assistant's words would be read as control tokens."""
        calls = [str(call.arguments) for call in message.tool_calls]
        for token in self._tokenizer.all_special_tokens:
            if any(token in text for text in (message.text, message.reasoning, message.commentary, *calls)):
                raise ValueError(f"The assistant says {token!r}, which is a control token of {self.name}: take it out.")

    # ---------------------------------------------------------------- numbers

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], rate, weight_decay=0.0)

    def loss(self, samples: Sequence[Sample]) -> Tensor:
        """See `fit.Learner`. Samples with pictures pass one by one: every processor shapes them in its own way."""
        plain = [sample for sample in samples if not sample.inputs]
        groups = [plain] if plain else []
        groups += [[sample] for sample in samples if sample.inputs]
        return torch.stack([self._pass(group) for group in groups]).sum()

    def _pass(self, samples: Sequence[Sample]) -> Tensor:
        device = self.model.device
        ids, learnt = padded(samples, 0, device)
        lengths = torch.tensor([len(sample.ids) for sample in samples], device=device)
        inputs: dict[str, Any] = {name: tensor.to(device) for name, tensor in samples[0].inputs.items()}
        inputs["attention_mask"] = (torch.arange(ids.size(1), device=device) < lengths[:, None]).long()
        targets, chosen = ids[:, 1:], learnt[:, 1:]
        keep = chosen.any(0).nonzero()[:, 0]  # vocabularies are large: logits only where some row learns
        with torch.autocast(device.type, torch.bfloat16, enabled=self._dtype is torch.bfloat16):
            logits = self.model(input_ids=ids, use_cache=False, logits_to_keep=keep, **inputs).logits  # (B, K, V)
        chosen = chosen[:, keep]
        return F.cross_entropy(logits[chosen].float(), targets[:, keep][chosen], reduction="sum")

    def save(self, out: Path) -> list[str]:
        """See `run.Tunable`. The learner is used up."""
        self.model.save_pretrained(out / "adapter")
        merged = self.model.merge_and_unload()
        dtype = transformers.AutoConfig.from_pretrained(self.directory).dtype
        merged.to(dtype or torch.float32).save_pretrained(out)
        return [f"hf:{out}"]
