"""llama.cpp as a backend: GGUF files in this process, without torch.

- Prompts are our own token ids. With pictures llama.cpp must cut the text itself; it sees exactly our pixels, because a
  picture already has the size of its grid.
- The first `slots` samples of a request share one prefill; further ones start as slots become free, on its cache.
- Thinking budget and masks are part of the one request: the budget forces the tokens that close the thought, and the
  grammar spans the whole turn.
- Forced tokens whose log-probabilities are asked for are generated first, one by one (see `llama_body.py`); without
  log-probabilities they are only read, as part of the prompt. Behind pictures they become text again, which is refused
  where llama.cpp would cut it into other tokens.
- Cancelling closes the connection, which ends the work and frees its slots.
"""

from __future__ import annotations

import asyncio
import base64
import io
import random
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from firesteel.backends import llama_body
from firesteel.backends.base import ContextExceeded, Delta, Request, TokenLogprob, check_tokens
from firesteel.backends.gguf_header import Header, read_header
from firesteel.backends.llama_server import LlamaError, LlamaServer, Options, default_threads
from firesteel.backends.merge import merged
from firesteel.backends.sample import Sample
from firesteel.backends.slots import Slots
from firesteel.format import Tokenizer, render, resize_to_grid
from firesteel.format.tokenizer import most_image_tokens

_ARCHITECTURE = "muse-glimmer"
_F32_FILE = 0  # general.file_type


class GGUFBackend:
    """Serves one model. `context` is the most tokens of one sequence (default: the model's own, at most 8192).

    It may be longer than the model was trained for: windowed layers see no further than before, the others know no
    positions. Memory for it is taken at once, for each of the `slots`.

    `mmproj_path` makes it see; `tokenizer` defaults to the one beside the file or inside it. Raises ValueError, with
    one sentence, for files that are missing, damaged or of another architecture.
    """

    def __init__(
        self,
        model_path: str | Path,
        mmproj_path: str | Path | None = None,
        *,
        tokenizer: Tokenizer | None = None,
        slots: int = 8,
        context: int | None = None,
        threads: int | None = None,
        name: str = "",
    ) -> None:
        model = Path(model_path)
        mmproj = Path(mmproj_path) if mmproj_path else None
        self.name = name or str(model)
        header = read_header(model)
        _check(header, _ARCHITECTURE, "general.architecture")
        if mmproj is not None:
            _check(read_header(mmproj), _ARCHITECTURE, "clip.projector_type")
        self.slots, self.parallel = slots, False  # llama.cpp computes on the processor here
        self.context = context or min(header.context or 8192, 8192)
        options = Options(
            slots=slots,
            context=self.context,
            exact=header.metadata.get("general.file_type") == _F32_FILE,
            threads=threads or default_threads(),
        )
        with tempfile.TemporaryDirectory(prefix="firesteel-") as folder:
            self.tokenizer = tokenizer or _tokenizer(header, Path(folder))
            _check_tokenizer(self.tokenizer, header)
            unfinished = _unfinished(self.tokenizer)
            # What no grammar of llama.cpp can demand: ends, and texts that are empty or seem so.
            nul = [id for id in range(self.tokenizer.vocab_size) if self.tokenizer.token_bytes(id)[:1] == b"\0"]
            self._alone = {*unfinished, *self.tokenizer.eos_ids, *nul}
            copy = Path(folder) / "model.gguf"
            header.copy(copy, unfinished, self.context)
            self._server: LlamaServer | None = LlamaServer(copy, mmproj, options)
        self._sees = mmproj is not None
        self._slots = Slots(slots)
        self._marker = ""

    async def close(self) -> None:
        """Frees the model; requests in flight end."""
        server, self._server = self._server, None
        if server is not None:
            server.break_off()
            await asyncio.to_thread(server.close)

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Deltas of all samples, as they come. Raises ValueError for a request that cannot be served."""
        assert self._server is not None, "the backend is closed"
        check_tokens(request, self.tokenizer.vocab_size)
        ids, prompt = await self._prompt(request)
        own, plain = len(ids), request.prompt is not None
        ids = [*ids, *request.forced]
        if len(ids) >= self.context:
            raise ContextExceeded(len(ids), self.context - 1)
        room = min(request.max_tokens, self.context - len(ids))
        body = llama_body.body(request, self.tokenizer, ids, room)
        if room:
            body["prompt"] = self._longer(prompt, request.forced)
        seed = random.randrange(2**31) if request.seed is None else request.seed % 2**31
        samples = [
            Sample(index, self.tokenizer, request.stop, prompt_tokens=own, plain=plain) for index in range(request.n)
        ]
        # One request shares its prefill among its samples; what does not fit follows one by one.
        shared = min(request.n, self.slots)
        parts = [samples[:shared], *([sample] for sample in samples[shared:])]
        streams = [
            self._part(request, prompt, body | {"n": len(part), "seed": seed + part[0].index}, part) for part in parts
        ]
        async with aclosing(streams[0] if len(streams) == 1 else merged(streams)) as deltas:
            async for delta in deltas:
                yield delta

    async def _part(
        self, request: Request, prompt: Any, body: dict[str, Any], samples: Sequence[Sample]
    ) -> AsyncGenerator[Delta, None]:
        """The deltas of some samples, each with an end."""
        try:
            async with (
                self._slots.taken(len(samples)),
                aclosing(self._generated(request, prompt, body, samples)) as deltas,
            ):
                async for delta in deltas:
                    yield delta
        except LlamaError as error:
            if 400 <= error.status < 500:
                raise ValueError(f"llama.cpp refused the request: {error}") from error
        except OSError:
            pass  # the server went away, which the unfinished samples tell
        for sample in samples:
            if not sample.finished:
                yield sample.end("error")

    async def _generated(
        self, request: Request, prompt: Any, body: dict[str, Any], samples: Sequence[Sample]
    ) -> AsyncGenerator[Delta, None]:
        """The deltas of samples that llama.cpp makes together."""
        logprobs, cached = await self._score(self._scored(request, prompt))
        if request.forced:
            for sample in samples:
                yield sample.force(request.forced, logprobs)
        if body["n_predict"] == 0:
            for sample in samples:
                yield sample.end("length", cached or 0)
            return
        # What is generated behind a stop string is in vain.
        async with aclosing(self._events(body, fast=bool(request.stop))) as stream:
            async for events in stream:
                for index, group in (_by_sample(events) if len(samples) > 1 else {0: events}).items():
                    if not samples[index].finished:
                        for delta in _deltas(samples[index], group, cached):
                            yield delta
                if all(sample.finished for sample in samples):
                    return

    async def _score(self, bodies: Iterator[dict[str, Any]]) -> tuple[list[TokenLogprob], int | None]:
        """The log-probabilities that these pieces get, and how much of the prompt was cached before the first.

        Raises ConnectionError where the server ends early.
        """
        logprobs: list[TokenLogprob] = []
        cached: int | None = None
        for body in bodies:
            due = len(logprobs) + body["n_predict"]
            async with aclosing(self._events(body)) as stream:
                async for events in stream:
                    logprobs += _logprobs(events)
                    last = events[-1]
            if len(logprobs) < due:
                raise ConnectionError("llama.cpp ended early")
            cached = _cached(last) if cached is None else cached
        return logprobs, cached

    def _events(self, body: dict[str, Any], fast: bool = False) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Raises ConnectionError where the backend was closed."""
        if self._server is None:
            raise ConnectionError("the backend was closed")
        return self._server.events("/completion", body, fast)

    def _scored(self, request: Request, prompt: Any) -> Iterator[dict[str, Any]]:
        """What is asked for the log-probabilities of the forced tokens, if they are: a piece at a time, as each holds
        all that stands before it. Raises ValueError as `_longer` does.
        """
        done = 0
        for piece, body in llama_body.forced(request, self._alone, self.tokenizer.eos_ids):
            yield body | {"prompt": self._longer(prompt, request.forced[:done])}
            done += len(piece)

    def _longer(self, prompt: Any, ids: Sequence[int]) -> Any:
        """A prompt as llama.cpp takes it, with more tokens. Raises ValueError for what no text becomes."""
        if isinstance(prompt, list):
            return [*prompt, *ids]
        said = prompt["prompt_string"].rpartition(">")[2]  # since the last control token
        text = said + self.tokenizer.decode(ids)
        if self.tokenizer.encode(text, special=True) != [*self.tokenizer.encode(said), *ids]:
            raise ValueError("Behind a picture, only tokens can be forced that are whole words of plain text.")
        return prompt | {"prompt_string": prompt["prompt_string"][: -len(said)] + text}

    async def _prompt(self, request: Request) -> tuple[list[int], Any]:
        """What stands before the turn as ids, and as llama.cpp takes it."""
        if request.prompt is not None:
            ids = list(request.prompt)
            return ids, ids
        tools = request.tools if request.tool_choice != "none" else ()
        rendered = render(request.messages, tools, request.strength, self.tokenizer)
        if not rendered.images:
            return rendered.ids, rendered.ids
        if not self._sees:
            raise ValueError(f"{self.name} cannot see pictures: it was opened without a vision projector.")
        assert self._server is not None
        if not self._marker:
            self._marker = (await self._server.call("/props"))["media_marker"]
        pictures = await asyncio.to_thread(lambda: [_png(image) for image in rendered.images])
        text = "".join(self._marker if isinstance(segment, int) else segment for segment in rendered.segments)
        return rendered.ids, {"prompt_string": text, "multimodal_data": pictures}


def _by_sample(events: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    groups: dict[int, list[dict[str, Any]]] = {}
    for event in events:
        groups.setdefault(event.get("index", 0), []).append(event)
    return groups


def _deltas(sample: Sample, events: list[dict[str, Any]], cached: int | None) -> Iterator[Delta]:
    """What some events of one sample say: at most one delta of tokens, and one that ends it."""
    last = events[-1]
    cached = _cached(last) if cached is None else cached
    ids = [id for event in events if not event["stop"] for id in event["tokens"]]
    if delta := sample.feed(ids, _logprobs(events)):
        yield replace(delta, cached_tokens=min(cached, delta.prompt_tokens)) if sample.finished else delta
    if last["stop"] and not sample.finished:
        yield sample.end("length" if last["stop_type"] == "limit" else "stop", cached)


def _cached(event: dict[str, Any]) -> int:
    """Of a last event, or any where timings were asked for."""
    return event.get("timings/cache_n") or event.get("timings", {}).get("cache_n", 0)


def _logprobs(events: list[dict[str, Any]]) -> list[TokenLogprob]:
    tokens = [token for event in events if not event["stop"] for token in event.get("completion_probabilities", ())]
    return [
        TokenLogprob(logprob=token["logprob"], top=tuple((t["id"], t["logprob"]) for t in token["top_logprobs"]))
        for token in tokens
    ]


def _png(image: Any) -> str:
    buffer = io.BytesIO()
    resize_to_grid(image.convert("RGB")).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()


def _check(header: Header, needed: str, key: str) -> None:
    found = header.metadata.get(key)
    if found != needed:
        raise ValueError(f"{header.path} is a GGUF file of {found or 'no known kind'}, not of {needed}.")


def _tokenizer(header: Header, folder: Path) -> Tokenizer:
    beside = header.path.with_name("tokenizer.json")
    processor = header.metadata.get("firesteel.file.processor_config.json")
    most = most_image_tokens(processor) if processor else None
    if beside.is_file():
        return Tokenizer(beside, most)
    inside = header.metadata.get("tokenizer.huggingface.json")
    if inside is None:
        raise ValueError(f"{header.path} does not hold its tokenizer: put its tokenizer.json beside it.")
    path = folder / "tokenizer.json"
    path.write_text(inside, encoding="utf-8")
    return Tokenizer(path, most)


def _check_tokenizer(tokenizer: Tokenizer, header: Header) -> None:
    tokens = header.metadata.get("tokenizer.ggml.tokens", [])
    for token in ("<|start|>", "<|message|>", "<|eom|>", "<|eot|>"):
        if not tokenizer.id(token) < len(tokens) or tokens[tokenizer.id(token)] != token:
            raise ValueError(f"The tokenizer {tokenizer.path} is not that of {header.path}.")


def _unfinished(tokenizer: Tokenizer) -> list[int]:
    """Ids whose bytes are not whole characters."""
    found = []
    for id in range(tokenizer.vocab_size):
        data = tokenizer.token_bytes(id)
        if not data.isascii():
            try:
                data.decode("utf-8")
            except UnicodeDecodeError:
                found.append(id)
    return found
