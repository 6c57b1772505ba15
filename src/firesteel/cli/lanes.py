"""Parallel agents in the terminal: a lane each, with its state and the end of what it is saying."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from firesteel.agent import Event

# A terminal obeys control characters; a model must not be able to give it orders. Newlines and tabs are harmless.
_ORDERS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])
_STATES = {"agent_finished": ("✓", "green"), "agent_cancelled": ("–", "dim")}


def harmless(text: str) -> str:
    """Text that a terminal only shows."""
    return text.translate(_ORDERS)


class Lanes:
    """Fed with events; draws only on a terminal. `agent` 0 is the run itself and has no lane."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._lanes: dict[int, tuple[str, str, str]] = {}  # mark, style, text

    def show(self, event: Event) -> None:
        if not event.agent or not self._console.is_terminal:
            return
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=12, transient=False)
            self._live.start()
        mark, style, text = self._lanes.get(event.agent, ("·", "", ""))
        if event.kind in _STATES:
            mark, style = _STATES[event.kind]
            text = event.text or text
        elif event.kind == "tool_started" and event.call:
            text = f"{event.call.name} …"
        else:
            text = (text + event.text)[-500:]
        self._lanes[event.agent] = (mark, style, text)
        self._live.update(self._table())

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        width = max(20, self._console.width - 8)
        for agent, (mark, style, text) in sorted(self._lanes.items()):
            line = " ".join(harmless(text).split())
            table.add_row(Text(f"{agent:2}"), Text(mark, style), Text(line[-width:], style or "dim"))
        return table
