"""A backend that says what a test wrote down, a few characters at a time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from firesteel.backends import Delta, Request

Line = str | Callable[[Request], str]


def says(text: str, thought: str = "") -> str:
    """A turn that answers."""
    start = f" to=self<|message|>{thought}<|eom|><|start|>assistant" if thought else ""
    return f"{start} to=user<|message|>{text}<|eot|>"


def calls(*called: tuple[str, dict[str, str]]) -> str:
    """A turn that calls tools."""
    messages = []
    for name, arguments in called:
        inside = "".join(f'<atem:parameter name="{k}">{v}</atem:parameter>\n' for k, v in arguments.items())
        body = f'<atem:function_calls>\n<atem:invoke name="{name}">\n{inside}</atem:invoke>\n</atem:function_calls>'
        messages.append(f" to={name}<|message|>{body}")
    return "<|eom|><|start|>assistant".join(messages) + "<|eot|>"


class Scripted:
    """Each request takes the next line; `n` samples of one take the next `n` lines. `pause` seconds between chunks."""

    name, parallel = "scripted", True
    tokenizer = None
    context = None
    slots = 8

    def __init__(self, *lines: Line, chunk: int = 7, pause: float = 0.0) -> None:
        self.lines, self.chunk, self.pause = list(lines), chunk, pause
        self.requests: list[Request] = []
        self.running = 0
        self.tokens = 0  # handed out

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        taken, self.lines = self.lines[: request.n], self.lines[request.n :]
        assert len(taken) == request.n, "the script has no more lines"
        texts: Sequence[str] = [line if isinstance(line, str) else line(request) for line in taken]
        self.running += 1
        try:
            for at in range(0, max(map(len, texts)), self.chunk):
                for index, text in enumerate(texts):
                    if at < len(text):
                        await asyncio.sleep(self.pause)
                        self.tokens += 1
                        yield Delta(index=index, text=text[at : at + self.chunk], token_ids=(1,))
                        if at + self.chunk >= len(text):
                            yield Delta(index=index, finish_reason="stop", prompt_tokens=10)
        finally:
            self.running -= 1

    async def close(self) -> None:
        pass
