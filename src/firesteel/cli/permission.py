"""Whether a tool may change something outside the sandbox: by an allow-list, else by asking at the terminal.

Where nobody sits (stdin is no terminal) what is not on the list is denied.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence

from firesteel.agent import Tool
from firesteel.agent.loop import Permit, allow
from firesteel.format import ToolCall

_SHOWN = 300  # characters of the arguments that the question shows


def permission(allowed: Sequence[str], ask: Callable[[str], Awaitable[str]] | None = None) -> Permit:
    """Permits the tools named in `allowed`. For others `ask` (by default the terminal, if there is one) is asked.

    An answer of y permits the call, of a ("always") every call of that tool from then on, any other denies it.
    """
    if ask is None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return allow(allowed)
        ask = _at_the_terminal
    always = set(allowed)
    turn = asyncio.Lock()  # parallel calls ask one after another

    async def permit(tool: Tool, call: ToolCall) -> bool:
        async with turn:
            if tool.name in always:
                return True
            arguments = json.dumps(call.arguments)  # ASCII: no control character can forge what the user sees
            cut = "" if len(arguments) <= _SHOWN else f" … ({len(arguments)} characters)"
            said = (
                (await ask(f"\nLet it call {tool.name} {arguments[:_SHOWN]}{cut}? [y, a: always, N] ")).strip().lower()
            )
            if said in ("a", "always"):
                always.add(tool.name)
            return said in ("y", "yes", "a", "always")

    return permit


async def _at_the_terminal(question: str) -> str:
    """Waits for a line, where it can without a thread: a cancelled run shall not go on reading what is typed next."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    print(question, end="", file=sys.stderr, flush=True)
    try:
        loop.add_reader(sys.stdin.fileno(), ready.set)
    except NotImplementedError:  # Windows
        return await asyncio.to_thread(sys.stdin.readline)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()
