"""Our own engine as a backend: checkpoint directories in PyTorch (needs the `train` extra).

One thread owns the engine and steps it; requests reach it as commands between two steps, and each step's tokens go
back to the event loop of whoever asked. Nothing here waits on the event loop's side.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import torch

from firesteel.backends.base import BackendFailed, ContextExceeded, Delta, Request, TokenLogprob, check_tokens
from firesteel.backends.grammar import turn_grammar
from firesteel.backends.sample import Sample
from firesteel.engine import Engine, Job, Prompt, Rollout, Sampling
from firesteel.format import Tokenizer, patchify, render
from firesteel.model import Muse, load

_CLOSE_THOUGHT = "<|eom|><|start|>assistant"


class EngineBackend:
    """Serves the checkpoint in `directory`, which also holds its tokenizer.json.

    `context` is the most tokens of one sequence (default: the model's own, at most 8192). On the CPU weights are fp32,
    elsewhere as the checkpoint has them. Raises ValueError for a directory that is no usable checkpoint.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        slots: int = 8,
        context: int | None = None,
        device: str = "cpu",
        name: str = "",
    ) -> None:
        model = load(directory, torch.float32 if device == "cpu" else None, device)
        self._open(model, Tokenizer(Path(directory) / "tokenizer.json"), slots, context, name or str(directory))

    @classmethod
    def of(cls, model: Muse, tokenizer: Tokenizer, *, slots: int = 8, context: int | None = None) -> EngineBackend:
        """Serves a model that is in memory, and perhaps in training (see `refresh`)."""
        self = cls.__new__(cls)
        self._open(model, tokenizer, slots, context, "model")
        return self

    def _open(self, model: Muse, tokenizer: Tokenizer, slots: int, context: int | None, name: str) -> None:
        config = model.config
        fits = tokenizer.vocab_size <= config.text.vocab_size
        if not fits or tokenizer.id("<|patch|>") != config.image_token_id:
            raise ValueError(f"The tokenizer {tokenizer.path} is not that of the checkpoint.")
        self.name, self.tokenizer, self.slots = name, tokenizer, slots
        self.context = context or min(config.text.max_position_embeddings, 8192)
        self.parallel = model.device.type != "cpu"
        self._worker = _Worker(Engine(model, tokenizer, slots, self.context))

    async def refresh(self) -> None:
        """To be awaited when the model's weights have changed and nothing is in flight. Raises what the engine raises,
        BackendFailed where it has ended before.
        """
        await asyncio.wrap_future(self._worker.refresh())

    async def close(self) -> None:
        """Ends the engine's thread; requests in flight end."""
        await asyncio.to_thread(self._worker.close)

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Deltas of all samples, as they come. Raises ValueError for a request that cannot be served."""
        check_tokens(request, self.tokenizer.vocab_size)
        scored = request.forced if request.logprobs is not None else ()
        prompt = await self._prompt(request, len(request.forced) - len(scored))
        if (tokens := len(prompt.ids) + len(scored)) >= self.context:
            raise ContextExceeded(tokens, self.context - 1)
        own, plain = tokens - len(request.forced), request.prompt is not None
        samples = [
            Sample(index, self.tokenizer, request.stop, prompt_tokens=own, plain=plain) for index in range(request.n)
        ]
        if request.forced and not scored:
            for sample in samples:
                yield sample.force(request.forced)
        if (plain or request.forced) and not (scored or request.max_tokens):
            for sample in samples:
                yield sample.end("length")
            return
        sampling = self._sampling(request, scored)
        stream = _Stream(asyncio.get_running_loop(), asyncio.Queue(), request.logprobs is not None)
        self._worker.submit(stream, prompt, request.n, sampling)
        try:
            while True:
                item = await stream.queue.get()
                if isinstance(item, ValueError):
                    raise item
                if item is None:  # the engine has ended
                    for sample in samples:
                        if not sample.finished:
                            yield sample.end("error")
                    return
                for token in item:
                    sample = samples[token.index]
                    if sample.finished:
                        continue
                    take = sample.force if token.forced else sample.feed
                    delta = take([token.id], token.logprobs)
                    assert delta is not None
                    if sample.finished:  # a stop string
                        self._worker.cancel(stream, token.index)
                        yield replace(delta, cached_tokens=min(token.cached_tokens, own))
                        continue
                    yield delta
                    if token.finish_reason:
                        yield sample.end(token.finish_reason, token.cached_tokens)
                if all(sample.finished for sample in samples):
                    return
        finally:
            self._worker.cancel(stream)

    def _sampling(self, request: Request, forced: Sequence[int]) -> Sampling:
        # After the thought comes the answer, or the call that was demanded (which one the mask decides).
        recipient = " to=user<|message|>" if request.tool_choice in ("auto", "none") else ""
        return Sampling(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            seed=request.seed,
            top=request.logprobs or 0,
            thinking_budget=request.thinking_budget,
            after_thought=_CLOSE_THOUGHT + recipient,
            grammar=turn_grammar(self.tokenizer.id, request.json_schema, request.tools, request.tool_choice),
            forced=forced,
            logit_bias=request.logit_bias,
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
        )

    async def _prompt(self, request: Request, read: int) -> Prompt:
        """What is read, as are the first `read` of the forced tokens."""
        forced = request.forced[:read]
        if request.prompt is not None:
            return Prompt([*request.prompt, *forced])
        tools = request.tools if request.tool_choice != "none" else ()
        rendered = render(request.messages, tools, request.strength, self.tokenizer)
        ids = [*rendered.ids, *forced]
        if not rendered.images:
            return Prompt(ids)
        cut = await asyncio.to_thread(lambda: [patchify(image) for image in rendered.images])
        patches, grids = zip(*cut, strict=True)
        return Prompt(ids, torch.from_numpy(np.concatenate(patches)), grids)


@dataclass(frozen=True)
class _Token:
    """What one step added to sample `index`."""

    index: int
    id: int
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: str | None
    cached_tokens: int
    forced: bool  # by the caller


@dataclass(eq=False)
class _Stream:
    """One request: where its tokens go (a list a step; an error that refuses it; None when the engine has ended)."""

    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[list[_Token] | ValueError | None]
    logprobs: bool
    job: Job | None = None  # known to the engine's thread

    def send(self, item: list[_Token] | ValueError | None) -> bool:
        """From the engine's thread. False where the event loop is gone."""
        try:
            self.loop.call_soon_threadsafe(self.queue.put_nowait, item)
        except RuntimeError:
            return False
        return True

    def token(self, rollout: Rollout) -> _Token:
        logprobs: tuple[TokenLogprob, ...] = ()
        if self.logprobs:
            logprobs = (TokenLogprob(logprob=rollout.logprobs[-1], top=rollout.top[-1] if rollout.top else ()),)
        assert self.job is not None
        return _Token(
            rollout.index,
            rollout.token_ids[-1],
            logprobs,
            rollout.finish_reason,
            rollout.cached_tokens,
            forced=len(rollout.token_ids) <= len(self.job.sampling.forced),
        )


class _Worker:
    """The thread that owns the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._commands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()  # over the three that follow
        self._ended = False
        self._streams: set[_Stream] = set()
        self._refreshes: set[Future[None]] = set()
        self._thread = threading.Thread(target=self._run, name="firesteel-engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._commands.put(None)
        self._thread.join()

    def _check(self) -> None:
        if self._ended:
            raise BackendFailed("The engine has ended.")

    def refresh(self) -> Future[None]:
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # whoever gives up waiting takes nothing back
        done.add_done_callback(self._refreshes.discard)

        def command() -> None:
            try:
                self._engine.refresh()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        with self._lock:
            self._check()
            self._refreshes.add(done)
            self._commands.put(command)
        return done

    def submit(self, stream: _Stream, prompt: Prompt, n: int, sampling: Sampling) -> None:
        def command() -> None:
            try:
                stream.job = self._engine.submit(prompt, n, sampling)
            except ValueError as error:
                stream.send(error)

        with self._lock:
            self._check()
            self._streams.add(stream)
            self._commands.put(command)

    def cancel(self, stream: _Stream, index: int | None = None) -> None:
        """Give up a request, or one sample of it. Does nothing for what has ended."""

        def command() -> None:
            if stream.job is not None:
                self._engine.cancel(stream.job if index is None else stream.job.rollouts[index])

        with self._lock:
            if index is None:
                self._streams.discard(stream)
            self._commands.put(command)

    def _run(self) -> None:
        try:
            while True:
                while not self._engine.busy or not self._commands.empty():
                    command = self._commands.get()
                    if command is None:
                        return
                    command()
                self._tell(self._engine.step())
        finally:
            with self._lock:
                self._ended = True
                for stream in self._streams:
                    stream.send(None)
                for refresh in list(self._refreshes):
                    refresh.set_exception(BackendFailed("The engine has ended."))

    def _tell(self, grown: list[tuple[Job, Rollout]]) -> None:
        with self._lock:
            streams = {stream.job: stream for stream in self._streams}
        news: dict[_Stream, list[_Token]] = {}
        for job, rollout in grown:
            if job in streams:
                news.setdefault(streams[job], []).append(streams[job].token(rollout))
        for stream, tokens in news.items():
            if not stream.send(tokens):
                self.cancel(stream)
