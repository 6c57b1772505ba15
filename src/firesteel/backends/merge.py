"""Several streams as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def merged(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """What the streams yield, as it comes. The first that fails ends all, as closing does; its exception is raised."""
    queue: asyncio.Queue[tuple[T] | asyncio.Task[None]] = asyncio.Queue()

    async def follow(stream: AsyncGenerator[T, None]) -> None:
        async with aclosing(stream):
            async for item in stream:
                queue.put_nowait((item,))

    tasks = [asyncio.create_task(follow(stream)) for stream in streams]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    try:
        running = len(tasks)
        while running:
            next_one = await queue.get()
            if isinstance(next_one, tuple):
                yield next_one[0]
            else:
                next_one.result()
                running -= 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
