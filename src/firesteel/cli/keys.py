"""`firesteel keys`: who may use a server, written straight into its store.

A server that runs on the same store learns of it within two seconds. The secret alone goes to stdout, so that a script
can take it; what people should know goes to stderr.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from firesteel.server.access import check_rights
from firesteel.server.settings import Settings, default_database
from firesteel.server.store import Key, Store, StoreUnavailable, Usage
from firesteel.server.store.access import COUNTS, DAY

T = TypeVar("T")


def create(
    database: str,
    name: str,
    *,
    owner: str | None,
    modes: Sequence[str],
    tools: Sequence[str],
    expires: float | None,
    admin: bool,
    **limits: int | None,
) -> None:
    """Prints the secret of a new key. `expires` is in days; `limits` are those of `Store.create_key`."""
    granted = ("*",) if "all" in tools else tuple(tools)
    check_rights(modes, granted)
    if owner is not None and not owner.strip():
        raise ValueError("An owner needs a name.")
    end = None if expires is None else time.time() + expires * DAY
    rights: dict[str, Any] = {"modes": modes, "tools": granted, "expires": end, "admin": admin, **limits}
    key, secret = _with(database, lambda store: store.create_key(name=name, owner=owner, **rights))
    print(f"{key.id}, of the owner {key.owner}. Keep the secret: it is shown only now.", file=sys.stderr)
    print(secret)


def show(database: str, as_json: bool) -> None:
    """Prints all keys, without their secrets, the oldest first."""
    keys = _with(database, lambda store: store.keys())
    if as_json:
        print(json.dumps([asdict(key) | {"status": key.status} for key in keys]))
        return
    table = Table()
    for column in ("id", "name", "owner", "secret", "may use", "limits", "expires", "status"):
        table.add_column(column)
    for key in keys:
        rights = [*(key.modes or ["all modes"]), *("all tools" if tool == "*" else tool for tool in key.tools)]
        rights += ["admin"] if key.admin else []
        end = "never" if key.expires is None else _day(key.expires)
        start = f"{key.prefix}…"
        table.add_row(key.id, key.name, key.owner, start, ", ".join(rights), _limits(key), end, key.status)
    _print(table)


def revoke(database: str, id: str) -> None:
    """Raises ValueError if there is no such key, or it was revoked before."""
    if not _with(database, lambda store: store.revoke_key(id)):
        raise ValueError(f"There is no key {id} that could be revoked; see `firesteel keys list`.")
    print(f"{id} is revoked.", file=sys.stderr)


def usage(database: str, since: float | None, as_json: bool) -> None:
    """Prints what each key used in the last `since` days (None: ever), days as UTC counts them."""
    start = 0.0 if since is None else time.time() - since * DAY

    async def read(store: Store) -> tuple[list[Key], list[Usage]]:
        return await store.keys(), await store.usage(since=start)

    keys, rows = _with(database, read)
    if as_json:
        print(json.dumps([asdict(row) | {"at": _day(row.at)} for row in rows]))
        return
    names = {key.id: key.name for key in keys}
    sums: dict[tuple[str, ...], Counter[str]] = {}
    for row in rows:
        counts = {name: value for name, value in asdict(row).items() if name in COUNTS}
        sums.setdefault((names.get(row.key, "–"), row.owner, row.model, row.mode), Counter()).update(counts)
    table = Table()
    for column in ("name", "owner", "model", "mode"):
        table.add_column(column)
    for column in COUNTS:
        table.add_column(column.removesuffix("_tokens"), justify="right")
    for who, total in sums.items():
        table.add_row(*who, *(f"{total[column]:,}" for column in COUNTS))
    _print(table)


def _with(database: str, work: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        store = await Store.open(default_database(Settings(database=database)))
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        raise ValueError(str(error)) from error


def _limits(key: Key) -> str:
    limits = [
        (key.requests_per_minute, "requests/min"),
        (key.tokens_per_minute, "tokens/min"),
        (key.monthly_tokens, "tokens/month"),
    ]
    return ", ".join(f"{limit:,} {unit}" for limit, unit in limits if limit is not None) or "none"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _print(table: Table) -> None:
    # Where no terminal sets the width, the table takes what it needs.
    Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False).print(table)
