"""A file of finished work, line by line, so that what takes hours goes on where a kill stopped it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any


class Lines:
    """JSON lines: a head with the settings, then rows; `keep` is called with each that is there.

    Files of the same settings merge by `cat`. Raises ValueError for one of other settings and for damaged lines, but
    for the last, which a kill may have torn: it is cut off.
    """

    def __init__(self, path: Path, settings: Any, keep: Callable[[dict[str, Any]], None]) -> None:
        self._path = path
        head = {"settings": json.loads(json.dumps(asdict(settings)))}
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with path.open("r+b") as file:
                file.truncate(len(whole))
        if not whole:  # new, or a kill came before the head was written
            self.append(head)
        for number, line in enumerate(whole.decode("utf-8", "replace").split("\n")[:-1], start=1):
            try:
                row = json.loads(line)
                if (number == 1 or "settings" in row) and row != head:
                    other = row.get("settings")
                    raise ValueError(f"it was made with other settings, {other}; name another file with --out.")
                if "settings" not in row:
                    keep(row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from error

    def append(self, row: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
