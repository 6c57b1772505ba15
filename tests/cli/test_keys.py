import asyncio
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firesteel.server.settings import Settings, default_database
from firesteel.server.store import Store, Usage
from tests.cli.program import refused

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Calls `firesteel keys`. The store is the default one of a fresh home."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FIRESTEEL_DATABASE", raising=False)
    return functools.partial(run, "keys")


def listed(run: Run, *arguments: object) -> list[dict[str, Any]]:
    code, out, _ = run("list", "--json", *arguments)
    assert code == 0
    return json.loads(out)


def in_store(work: Callable[[Store], Any], url: str | None = None) -> Any:
    async def go() -> Any:
        store = await Store.open(url or default_database(Settings()))
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(go())


def test_stdout_has_the_secret_alone_and_it_opens(run: Run) -> None:
    code, out, err = run("create", "ci")
    assert code == 0 and out.startswith("fs-") and out.count("\n") == 1
    key = in_store(lambda store: store.find_key(out.strip()))
    assert key.name == "ci" and key.id in err and out.strip() not in err


def test_a_key_looks_after_the_server_only_where_it_is_said(run: Run) -> None:
    secrets = [run("create", *arguments)[1].strip() for arguments in (["ops", "--admin"], ["user"])]
    assert [in_store(lambda store, secret=secret: store.find_key(secret)).admin for secret in secrets] == [True, False]
    assert "admin" in run("list")[1]


def test_rights_and_limits_reach_the_key(run: Run) -> None:
    given = (
        "--owner ann --modes instant,thinking --tools python,web --rpm 5 --tpm 600 --monthly-tokens 9000 --expires 2"
    )
    began = time.time()
    assert run("create", "x", *given.split())[0] == 0
    [key] = listed(run)
    assert (key["owner"], key["modes"], key["tools"]) == ("ann", ["instant", "thinking"], ["python", "web"])
    assert (key["requests_per_minute"], key["tokens_per_minute"], key["monthly_tokens"]) == (5, 600, 9000)
    assert began + 2 * 86400 <= key["expires"] <= time.time() + 2 * 86400
    assert key["status"] == "active"


def test_without_options_a_key_has_all_modes_no_tools_no_limits_and_an_owner_of_its_own(run: Run) -> None:
    run("create", "a")
    run("create", "b", "--tools", "all")
    a, b = listed(run)
    assert (a["modes"], a["tools"], a["expires"]) == ([], [], None) and b["tools"] == ["*"]
    assert a["requests_per_minute"] is a["tokens_per_minute"] is a["monthly_tokens"] is None
    assert a["owner"] == a["id"] != b["owner"]


def test_no_list_shows_a_secret(run: Run) -> None:
    secret = run("create", "[bold]x")[1].strip()
    table, lines = run("list")[1], run("list", "--json")[1]
    assert secret not in table + lines and secret[:9] in table and "[bold]x" in table


def test_revoked_keys_stay_in_the_list(run: Run) -> None:
    run("create", "a")
    [key] = listed(run)
    assert run("revoke", key["id"])[:2] == (0, "")
    assert [key["status"] for key in listed(run)] == ["revoked"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("revoke", "key_0"),
        ("create", "x", "--modes", "dreaming"),
        ("create", "x", "--tools", "pyhton"),
        ("create", "x", "--owner", ""),
        ("list", "--database", "mysql://x"),
    ],
)
def test_what_is_wrong_is_one_sentence(run: Run, arguments: tuple[str, ...]) -> None:
    refused(run(*arguments))


def test_a_key_that_could_do_nothing_is_not_made(run: Run) -> None:
    assert run("create", "x", "--rpm", 0)[0] == 2
    assert listed(run) == []


def test_usage_is_told_per_key_model_and_mode_since_a_day(run: Run) -> None:
    run("create", "ci")
    [key] = listed(run)

    async def work(store: Store) -> None:
        for days, tokens in ((0, 5), (0, 1000), (40, 7)):
            at = time.time() - days * 86400
            used = {"prompt_tokens": tokens, "completion_tokens": 1}
            store.add_usage(Usage(owner=key["owner"], key=key["id"], model="m", mode="instant", at=at, **used))

    in_store(work)
    assert "1,012" in run("usage")[1]
    since = run("usage", "--since", 7)[1]
    assert "1,005" in since and "ci" in since and "instant" in since
    rows = json.loads(run("usage", "--since", 7, "--json")[1])
    assert [(row["key"], row["requests"], row["prompt_tokens"]) for row in rows] == [(key["id"], 2, 1005)]


def test_the_store_is_the_option_or_the_environment_or_the_default(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run("create", "default")
    monkeypatch.setenv("FIRESTEEL_DATABASE", f"sqlite:///{tmp_path}/environment.sqlite")
    run("create", "environment")
    option = f"sqlite:///{tmp_path}/option.sqlite"
    run("create", "option", "--database", option)
    assert [key["name"] for key in listed(run, "--database", option)] == ["option"]
    assert [key["name"] for key in listed(run)] == ["environment"]
    monkeypatch.delenv("FIRESTEEL_DATABASE")
    assert [key["name"] for key in listed(run)] == ["default"]


def test_nobody_else_on_the_machine_reads_the_default_store(run: Run, tmp_path: Path) -> None:
    run("create", "x")
    folder = tmp_path / "home" / "firesteel"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "server.sqlite").stat().st_mode & 0o777 == 0o600
