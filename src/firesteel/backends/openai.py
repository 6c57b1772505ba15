"""Any server that speaks OpenAI's chat completions, over HTTP: `openai:http://host:port/v1#model`.

- Such servers parse what their models say, so deltas carry events and no raw text: nothing that a server sends is read
  as wire grammar, and arguments of calls keep their bytes.
- What a server refuses by name it is not sent again (see `openai_messages.py`). What fails before the first piece of
  an answer is asked again (see `retry.py`); what fails after it ends the sample with "error" and a sentence.
- `n` samples are one request, or several where the server gives only one.
- Stop strings are found here. Closing the connection, as a cancellation does, ends the server's work.
- The key goes into the header of requests to this one address and nowhere else: redirections are not followed, and it
  is blotted out of what the server says. To this machine itself no proxy is used.

Reference: platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import httpx

from firesteel.backends import retry
from firesteel.backends.base import BackendFailed, Delta, Request
from firesteel.backends.merge import merged
from firesteel.backends.openai_messages import Dialect, Refused, adapted, body, tool_names
from firesteel.backends.openai_reply import Choice, Usage, choices_of, models_of, objects, refusal_of
from firesteel.backends.slots import Slots
from firesteel.format import Tokenizer

_LOG = logging.getLogger(__name__)
_KEYS = ("FIRESTEEL_API_KEY", "OPENAI_API_KEY")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_KEY_REFUSED = (401, 403)
_MOST = 1 << 16  # bytes read of a refusal


class OpenAIBackend:
    """Asks the server at `url` (up to its /v1), `slots` requests at a time, each again at most `retries` times.

    Without `model` the server must serve exactly one. `api_key` defaults to FIRESTEEL_API_KEY, then OPENAI_API_KEY.
    `timeout` is the longest silence in seconds. One event loop may use it. Raises ValueError for a bad address.
    """

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        api_key: str | None = None,
        slots: int = 8,
        timeout: float = 600.0,
        retries: int = 4,
        name: str = "",
    ) -> None:
        self.name = name or f"openai:{url}" + (f"#{model}" if model else "")
        self.tokenizer: Tokenizer | None = None
        self.context: int | None = None
        self.slots, self.parallel = slots, True
        self._url = _checked(url)
        keys = [api_key, *map(os.environ.get, _KEYS)]
        self._key = next((key.strip() for key in keys if key and key.strip()), "")
        if not (self._key.isascii() and self._key.isprintable()):
            raise ValueError(f"The key for {self.name} holds a character that no header can carry.")
        self._model = model
        self._retries = retries
        self._dialect = Dialect()
        self._slots = Slots(slots)
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(timeout, connect=10.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=slots),
            trust_env=self._url.host not in _LOOPBACK,
        )

    async def close(self) -> None:
        """Closes the connections; requests in flight end."""
        await self._client.aclose()

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Deltas of all samples, as they come.

        Raises ValueError for a request that cannot be served, BackendFailed where the server or the key is to blame.
        """
        if request.thinking_budget is not None and request.strength > 1:
            raise ValueError(f"{self.name} cannot close a thought after so many tokens: choose a strength instead.")
        if request.prompt is not None or request.forced:
            raise ValueError(f"{self.name} continues conversations only: no token ids can be given to it.")
        missing = list(range(request.n))
        if request.n > 1 and "n" not in self._dialect.without:
            async with aclosing(self._answer(request, missing)) as deltas:
                async for delta in deltas:
                    if delta.index in missing:
                        missing.remove(delta.index)
                    yield delta
            if missing:  # it was refused, or n was not even looked at
                self._dialect = replace(self._dialect, without=self._dialect.without | {"n"})
        async with aclosing(merged([self._answer(request, [index]) for index in missing])) as deltas:
            async for delta in deltas:
                yield delta

    async def _answer(self, request: Request, indices: Sequence[int]) -> AsyncGenerator[Delta, None]:
        """The samples `indices` from one request; fewer where the server gives fewer."""
        choices = [Choice(index, request.stop) for index in indices]
        usage, failure = Usage(), ""
        seed = None if request.seed is None else request.seed + indices[0]
        async with self._slots.taken(1):
            try:
                async with aclosing(self._pieces(request, len(choices), seed)) as pieces:
                    async for piece in pieces:
                        if piece.get("usage"):
                            usage = Usage.of(piece["usage"])
                        for index, said in choices_of(piece):
                            if index in range(len(choices)) and (delta := choices[index].feed(said)):
                                yield delta
                        if any(c.stopped for c in choices) and all(c.finish_reason for c in choices):
                            break
            except retry.Failed as failed:
                failure = str(failed)
        self._learn_reasoning(choices)
        if len(choices) > 1:  # these counts are those of all samples together
            usage = replace(usage, completion_tokens=0, reasoning_tokens=0)
        names = tool_names(request.tools, self._dialect)
        for choice in choices:
            if choice.begun or failure or len(choices) == 1:
                yield choice.end(usage, names, failure)

    async def _pieces(self, request: Request, n: int, seed: int | None) -> AsyncGenerator[dict[str, Any], None]:
        """What the server answers to a request for `n` samples; nothing where it gives only one.

        Raises ValueError before the first piece and Failed after it.
        """
        if not self._model:
            self._model = await self._only_model()
        dialect = self._dialect
        while True:
            asked = await asyncio.to_thread(body, request, dialect, n, seed)
            if n > 1 and "n" not in asked:
                return
            try:
                answer = self._objects("POST", "chat/completions", {"model": self._model} | asked)
                async with aclosing(answer) as items:
                    first = True
                    async for item in items:
                        if first:
                            self._dialect, first = dialect, False
                        yield item
                return
            except Refused as refused:
                better = adapted(dialect, refused, asked)
                if better is None:
                    failure = BackendFailed if refused.status in _KEY_REFUSED else ValueError
                    raise failure(self._sentence(refused)) from refused
                _LOG.warning("%s refused something and is asked in another way: %s", self.name, refused)
                dialect = better

    async def _only_model(self) -> str:
        try:
            async with aclosing(self._objects("GET", "models")) as items:
                names = [name async for item in items for name in models_of(item)]
        except (Refused, retry.Failed) as error:
            raise BackendFailed(f"{self.name} does not tell its models ({error}): add #name to the address.") from error
        if len(names) != 1:
            raise BackendFailed(f"{self.name} serves {', '.join(names) or 'no model'}: add #name to the address.")
        return names[0]

    async def _objects(self, method: str, path: str, sent: Any = None) -> AsyncGenerator[dict[str, Any], None]:
        """The objects of an answer; asks again as long as there is none.

        Raises Refused, BackendFailed where asking again did not help, and Failed after the first object.
        """
        url = self._url.copy_with(path=f"{self._url.path.rstrip('/')}/{path}")
        for attempt in range(self._retries + 1):
            begun = False
            try:
                async with self._client.stream(method, url, json=sent) as response:
                    await self._check(response)
                    async with aclosing(objects(response)) as items:
                        async for item in items:
                            begun = True
                            yield item
                return
            except httpx.TimeoutException:
                failed = retry.Failed("the server was silent for too long")
            except httpx.RequestError as error:
                failed = retry.Failed(f"the connection failed ({error or type(error).__name__})")
            except retry.Failed as error:
                failed = retry.Failed(self._clean(str(error)), error.retry_after)
            if begun:
                raise failed
            seconds = retry.pause(attempt, failed.retry_after)
            if attempt == self._retries or seconds > retry.PATIENCE:
                raise BackendFailed(f"{self.name} gave no answer: {failed}.")
            await retry.wait(seconds)

    async def _check(self, response: httpx.Response) -> None:
        """Raises Failed or Refused for an answer that is none."""
        status = response.status_code
        if response.is_success:
            return
        data = b""
        async for piece in response.aiter_bytes():
            data += piece
            if len(data) > _MOST:
                break
        message, parameter = refusal_of(data)
        if response.has_redirect_location:
            message = f"it has moved to {response.headers['location']}"
        message = self._clean(message) or "without a word"
        if retry.may_help(status):
            raise retry.Failed(f"the server answered {status}, {message}", response.headers.get("retry-after"))
        raise Refused(status, message, parameter)

    def _learn_reasoning(self, choices: Sequence[Choice]) -> None:
        field = next((choice.reasoning_field for choice in choices if choice.reasoning_field), "")
        if field and not self._dialect.reasoning and field not in self._dialect.without:
            self._dialect = replace(self._dialect, reasoning=field)

    def _sentence(self, refused: Refused) -> str:
        hint = "" if self._key or refused.status not in _KEY_REFUSED else f" (its key is read from {_KEYS[0]})"
        return f"{self.name} refused the request with {refused.status}{hint}: {str(refused).rstrip('.')}."

    def _clean(self, text: str) -> str:
        """What a server says, fit for one line and without the key."""
        text = text.replace(self._key, "***") if self._key else text  # first: a cut could leave half of it
        return " ".join(text.split())[:1000]


def _checked(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"The address of the server is none: {error}.") from error
    if parsed.userinfo or parsed.query:  # where keys would stand in traces, logs and errors
        raise ValueError(f"An address holds no password and no query: the key of a server is read from {_KEYS[0]}.")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url!r} is no address of a server, such as openai:http://127.0.0.1:8000/v1#model.")
    return parsed
