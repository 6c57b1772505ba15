"""Whatever transformers can load from a local directory: `hf:DIR` (needs the `hf` extra).

- The checkpoint's own chat template writes the prompt; control tokens in what callers say are spelled out and act as
  text (`sanitize_control_tokens`). Strength becomes `reasoning_effort`, `reasoning_strength` or `enable_thinking`,
  where the template asks for one of them.
- Muse checkpoints speak the Muse grammar and give raw text; others are read here (see `hf_reply.py`) and give events.
  The pictures of the former are cut up by our own code, which needs no torchvision as most processors do.
- Only safetensors, only local files, never code from a checkpoint.
- One `generate` at a time, in a thread, for all samples of a request at once (at most `slots`). Between two steps it
  looks whether somebody still listens.
- Answers by schema, demanded calls and budgets of thought need a mask and are refused; our own engine has it. So are
  prompts of token ids, biases of tokens and penalties. Muse checkpoints score whole answers, in one pass.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jinja2.exceptions import TemplateError
from PIL.Image import Image
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as SEEING

from firesteel.backends.base import BackendFailed, Delta, Request, TokenLogprob
from firesteel.backends.hf_reply import Reading
from firesteel.backends.openai_messages import Dialect, effort, messages
from firesteel.backends.sample import Sample
from firesteel.backends.slots import Slots
from firesteel.format import STRENGTHS, Message, Tokenizer, image_span, patchify

_FILES = {"local_files_only": True, "trust_remote_code": False}
_EFFORTS = ("low", "medium", "high")  # every template that asks for a word knows them; more where it spells them out


class TransformersBackend:
    """Serves the checkpoint in `directory`, at most `slots` samples at once; it sees if it brings a processor.

    On the CPU weights are fp32, elsewhere as the checkpoint has them. Raises ValueError for a directory that
    transformers cannot load.
    """

    def __init__(self, directory: str | Path, *, slots: int = 8, device: str = "cpu", name: str = "") -> None:
        self.name = name or f"hf:{directory}"
        self.slots = slots
        self._device = device
        self._turn = Slots(1)
        try:
            self._model, self._processor, self._sees = _load(Path(directory), device)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise ValueError(f"transformers cannot load {directory}: {str(error).strip().splitlines()[0]}") from error
        self._tokenizer = getattr(self._processor, "tokenizer", self._processor)
        if not getattr(self._tokenizer, "is_fast", False):
            raise ValueError(f"{directory} holds no tokenizer.json.")
        self._template = self._processor.chat_template or self._tokenizer.chat_template
        if not isinstance(self._template, str):
            raise ValueError(f"{directory} holds no chat template, or several.")
        muse = _is_muse(self._model.config)
        self.tokenizer = Tokenizer(Path(directory) / "tokenizer.json") if muse else None
        self.context: int | None = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self.parallel = self._model.device.type != "cpu"
        eos = self._model.generation_config.eos_token_id
        eos = self._tokenizer.eos_token_id if eos is None else eos
        self._eos: list[int] = eos if isinstance(eos, list) else [] if eos is None else [eos]
        self._feeds: set[_Feed] = set()

    async def close(self) -> None:
        """Frees the model once the step in progress is over; requests in flight end."""
        for feed in self._feeds:
            feed.stop()
        async with self._turn.taken(1):
            self._model = None

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Deltas of all samples, as they come.

        Raises ValueError for a request that cannot be served, BackendFailed where the device fails (out of memory).
        """
        assert self._model is not None, "the backend is closed"
        if request.json_schema is not None or request.tool_choice not in ("auto", "none"):
            raise ValueError(f"{self.name} cannot be held to a schema or to a call: transformers has no mask for it.")
        if request.thinking_budget is not None and request.strength > 1:
            raise ValueError(f"{self.name} cannot close a thought after so many tokens: choose a strength instead.")
        if request.prompt is not None:
            raise ValueError(f"{self.name} continues conversations only, no prompts of token ids.")
        if request.logit_bias or request.presence_penalty or request.frequency_penalty:
            raise ValueError(f"{self.name} has no biases of tokens and no presence or frequency penalty.")
        if request.forced and (self.tokenizer is None or request.max_tokens):
            raise ValueError(f"{self.name} scores whole answers of Muse models only, and goes on from none.")
        inputs = await self._done(asyncio.to_thread(self._inputs, request))
        async with self._turn.taken(1):
            if request.forced:
                scored = await self._done(asyncio.to_thread(self._score, inputs, request))
                for index in range(request.n):
                    sample = self._sample(index, request, inputs["input_ids"][0].tolist())
                    assert isinstance(sample, Sample)
                    yield sample.force(request.forced, scored)
                    yield sample.end("length")
                return
            for first in range(0, request.n, self.slots):
                indices = range(first, min(request.n, first + self.slots))
                async with aclosing(self._batch(request, inputs, indices)) as deltas:
                    async for delta in deltas:
                        yield delta

    async def _batch(self, request: Request, inputs: Any, indices: Sequence[int]) -> AsyncGenerator[Delta, None]:
        prompt = inputs["input_ids"][0].tolist()
        samples = [self._sample(index, request, prompt) for index in indices]
        rows = len(samples) if request.temperature > 0 else 1  # greedy samples are all the same
        feed = _Feed(asyncio.get_running_loop(), rows, request.logprobs)
        self._feeds.add(feed)
        work = asyncio.create_task(asyncio.to_thread(self._generate, inputs, request, feed, indices[0]))
        work.add_done_callback(lambda _: feed.queue.put_nowait(None))
        steps = 0
        try:
            while (step := await feed.queue.get()) is not None:
                steps += 1
                for number, sample in enumerate(samples):
                    if sample.finished:
                        continue
                    id, logprobs = step[number % rows]
                    delta = sample.feed([id], logprobs)
                    assert delta is not None
                    yield delta
                    if sample.finished:  # a stop string
                        feed.stop(number % rows)
                    elif id in self._eos:
                        yield sample.end("stop")
            await self._done(work)
            for sample in samples:
                if not sample.finished:
                    yield sample.end("length" if steps == request.max_tokens else "error")
        finally:
            feed.stop()
            await asyncio.gather(work, return_exceptions=True)
            self._feeds.discard(feed)

    async def _done(self, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except RuntimeError as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BackendFailed(f"{self.name} failed: {said.rstrip('.')}.") from error

    def _sample(self, index: int, request: Request, prompt: list[int]) -> Sample | Reading:
        if self.tokenizer is not None:
            return Sample(index, self.tokenizer, request.stop, prompt_tokens=len(prompt))
        text = self._tokenizer.decode(prompt)
        return Reading(index, self._tokenizer, text, request.tools, request.stop, len(prompt))

    def _generate(self, inputs: Any, request: Request, feed: _Feed, first: int) -> None:
        """In a thread of its own."""
        if self._model is None:  # closed while it waited
            return
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
        if request.temperature > 0:
            sampling = {"do_sample": True, "num_return_sequences": feed.rows, "temperature": request.temperature}
            sampling |= {"top_k": request.top_k, "top_p": request.top_p}
        with torch.random.fork_rng() if request.seed is not None else nullcontext():
            if request.seed is not None:
                torch.manual_seed(request.seed + first)
            self._model.generate(
                **inputs,
                max_new_tokens=request.max_tokens,
                streamer=feed,
                stopping_criteria=[feed.stopped],
                logits_processor=[feed.note],
                **sampling,
            )

    def _score(self, inputs: Any, request: Request) -> list[TokenLogprob]:
        """The log-probabilities of the forced tokens, if asked for."""
        if self._model is None or request.logprobs is None:
            return []
        forced = torch.tensor([request.forced], device=self._device)
        longer = {"input_ids": forced, "attention_mask": torch.ones_like(forced)}
        tensors = dict(inputs) | {name: torch.cat([inputs[name], more], 1) for name, more in longer.items()}
        with torch.no_grad():
            logits = self._model(**tensors).logits[0, -1 - forced.shape[1] : -1]
        rows = zip(logits.float().log_softmax(-1), request.forced, strict=True)
        return [_logprob(row, id, request.logprobs) for row, id in rows]

    def _inputs(self, request: Request) -> Any:
        """The prompt in tensors."""
        images = [image for message in request.messages for image in message.images]
        if images and not self._sees:
            raise ValueError(f"{self.name} cannot see pictures.")
        words = [w for w in STRENGTHS if w in _EFFORTS or re.search(rf"['\"]{w}['\"]", self._template)]
        word = effort(request.strength, words)
        known = {"reasoning_effort": word, "reasoning_strength": word, "enable_thinking": request.strength > 1}
        try:
            inputs = self._processor.apply_chat_template(
                self._messages(request.messages),
                tools=list(request.tools) if request.tools and request.tool_choice != "none" else None,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                sanitize_control_tokens=True,
                **{name: value for name, value in known.items() if re.search(rf"\b{name}\b", self._template)},
            )
        except TemplateError as error:
            raise ValueError(f"The chat template of {self.name} refuses this conversation: {error}.") from error
        if images and self.tokenizer is not None:
            shown = [self.tokenizer.shown(image) for image in images]
            inputs = _with_pictures(inputs["input_ids"][0].tolist(), shown, self.tokenizer)
        return inputs.to(self._device)

    def _messages(self, conversation: Sequence[Message]) -> list[dict[str, Any]]:
        """As chat templates expect them: like chat completions, but with arguments as objects and pictures open."""
        sent = messages(
            conversation, Dialect(reasoning="reasoning_content"), lambda image: {"type": "image", "image": image}
        )
        names = {call["id"]: call["function"]["name"] for entry in sent for call in entry.get("tool_calls", ())}
        for number, (message, entry) in enumerate(zip(conversation, sent, strict=True)):
            for call in entry.get("tool_calls", ()):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
            if message.role == "tool":
                entry["name"] = names[entry["tool_call_id"]]
            elif message.role == "assistant" and "message.commentary" in self._template:
                entry |= {"content": message.text, "commentary": message.commentary}
            elif number and "developer" in self._template:
                entry["role"] = message.role
            if self._sees and entry["role"] in ("system", "user") and isinstance(entry["content"], str):
                entry["content"] = [{"type": "text", "text": entry["content"]}]
        return sent


def _load(directory: Path, device: str) -> tuple[Any, Any, bool]:
    """The model, its processor or tokenizer, and whether it can be shown pictures."""
    config = transformers.AutoConfig.from_pretrained(directory, **_FILES)
    joint, muse = config.model_type in SEEING, _is_muse(config)
    sees = joint and any((directory / f"{name}_config.json").is_file() for name in ("processor", "preprocessor"))
    reader = transformers.AutoProcessor if sees and not muse else transformers.AutoTokenizer
    processor = reader.from_pretrained(directory, **_FILES)
    kind = transformers.AutoModelForImageTextToText if joint else transformers.AutoModelForCausalLM
    dtype = torch.float32 if device == "cpu" else "auto"
    loaded: Any = kind.from_pretrained(directory, dtype=dtype, use_safetensors=True, output_loading_info=True, **_FILES)
    model, info = loaded
    if missing := info["missing_keys"]:
        raise ValueError(f"{len(missing)} weights are missing, such as {sorted(missing)[0]}.")
    return model.eval().to(device), processor, sees or muse


def _is_muse(config: Any) -> bool:
    return str(config.model_type).startswith("muse_")


def _with_pictures(ids: Sequence[int], images: Sequence[Image], tokenizer: Tokenizer) -> Any:
    """The tensors of a Muse prompt whose template left one `<|patch|>` for each picture."""
    patch = tokenizer.id("<|patch|>")
    spans = iter([tokenizer.encode(image_span(image), special=True) for image in images])
    if ids.count(patch) != len(images):
        raise ValueError("The chat template of this checkpoint does not show every picture.")
    prompt = [id for placed in ids for id in (next(spans) if placed == patch else [placed])]
    pixels, grids = zip(*map(patchify, images), strict=True)
    tensors = {"input_ids": [prompt], "attention_mask": [[1] * len(prompt)], "image_grid_thw": grids}
    return transformers.BatchFeature(tensors | {"pixel_values": np.concatenate(pixels)}, tensor_type="pt")


class _Feed:
    """Between the generating thread and the event loop; `generate` takes it for a streamer.

    A step is for each row its token and, where they were asked for, the log-probabilities.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, rows: int, top: int | None) -> None:
        self.rows = rows
        self.queue: asyncio.Queue[list[tuple[int, tuple[TokenLogprob, ...]]] | None] = asyncio.Queue()
        self._loop = loop
        self._top = top
        self._stopped = [False] * rows
        self._prompt = True  # is what comes first
        self._scores: deque[torch.Tensor] = deque()  # of steps whose tokens have not come yet (rows, V)

    def stop(self, row: int | None = None) -> None:
        """Ends one row, or all, after the step in progress."""
        self._stopped = [stopped or row in (None, number) for number, stopped in enumerate(self._stopped)]

    def stopped(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """A stopping criterion."""
        return torch.tensor(self._stopped, device=input_ids.device)

    def note(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """A logits processor that changes nothing; it comes before temperature and truncation."""
        if self._top is not None:
            self._scores.append(scores.float().log_softmax(-1))
        return scores

    def put(self, tokens: torch.Tensor) -> None:
        if self._prompt:
            self._prompt = False
            return
        ids = tokens.tolist()
        logprobs: list[tuple[TokenLogprob, ...]] = [()] * len(ids)
        if self._top is not None:
            logprobs = [(_logprob(*each, self._top),) for each in zip(self._scores.popleft(), ids, strict=True)]
        try:
            self._loop.call_soon_threadsafe(self.queue.put_nowait, list(zip(ids, logprobs, strict=True)))
        except RuntimeError:  # the event loop is gone
            self.stop()

    def end(self) -> None:
        """Nothing is held back."""


def _logprob(row: torch.Tensor, id: int, count: int) -> TokenLogprob:
    top = row.topk(min(count, len(row)))
    return TokenLogprob(logprob=row[id].item(), top=tuple(zip(top.indices.tolist(), top.values.tolist(), strict=True)))
