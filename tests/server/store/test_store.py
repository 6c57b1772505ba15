import asyncio
import inspect
import subprocess
import sys

from firesteel.server.store import Store
from tests.server.store.samples import completion, conversation, file, response, run, thread, turn, usage

# What a second owner gets, who knows every id of the first; each must be nothing.
FOREIGN = {
    "get_response": lambda store, who: store.get_response(who, "resp_1"),
    "delete_response": lambda store, who: store.delete_response(who, "resp_1"),
    "list_responses": lambda store, who: store.list_responses(who),
    "chain": lambda store, who: store.chain(who, "resp_2"),
    "append_events": lambda store, who: store.append_events(who, "resp_1", [(5, "x")]),
    "events": lambda store, who: store.events(who, "resp_1"),
    "ask_cancel": lambda store, who: store.ask_cancel(who, "resp_1"),
    "get_thread": lambda store, who: store.get_thread(who, "thread_1"),
    "change_thread": lambda store, who: store.change_thread(who, "thread_1", title="forged"),
    "delete_thread": lambda store, who: store.delete_thread(who, "thread_1", 1002.0),
    "restore_thread": lambda store, who: store.restore_thread(who, "thread_2", 0.0),
    "list_threads": lambda store, who: store.list_threads(who, query="secret"),
    "turns": lambda store, who: store.turns(who, "thread_1"),
    "turns_from": lambda store, who: store.turns_from(who, "thread_1", "resp_3"),
    "turns_naming": lambda store, who: store.turns_naming(who, "thread_1", "secret"),
    "delete_turns": lambda store, who: store.delete_turns(who, "thread_1", "resp_3"),
    "get_conversation": lambda store, who: store.get_conversation(who, "conv_1"),
    "list_conversations": lambda store, who: store.list_conversations(who),
    "delete_conversation": lambda store, who: store.delete_conversation(who, "conv_1"),
    "append_items": lambda store, who: store.append_items(who, "conv_1", [{"id": "b"}]),
    "items": lambda store, who: store.items(who, "conv_1"),
    "delete_item": lambda store, who: store.delete_item(who, "conv_1", "a"),
    "get_completion": lambda store, who: store.get_completion(who, "chatcmpl_1"),
    "list_completions": lambda store, who: store.list_completions(who),
    "delete_completion": lambda store, who: store.delete_completion(who, "chatcmpl_1"),
    "get_file": lambda store, who: store.get_file(who, "file_1"),
    "file_data": lambda store, who: store.file_data(who, "file_1"),
    "list_files": lambda store, who: store.list_files(who),
    "delete_file": lambda store, who: store.delete_file(who, "file_1"),
    "usage": lambda store, who: store.usage(owner=who),
    "claim": lambda store, who: store.claim(who, "k", "another", now=1001.0),
    "finish": lambda store, who: store.finish(who, "k", 500, {}, b"forged"),
    "release": lambda store, who: store.release(who, "k"),
}
PUTS = {  # the same ids, of another owner
    "put_response": lambda store, who: store.put_response(response(owner=who, body={})),
    "put_thread": lambda store, who: store.put_thread(thread(owner=who, title="forged")),
    "put_turns": lambda store, who: store.put_turns(who, "thread_1", [turn("resp_3", owner=who)]),
    "put_conversation": lambda store, who: store.put_conversation(conversation(owner=who, title="forged")),
    "put_completion": lambda store, who: store.put_completion(completion(owner=who, body={})),
    "put_file": lambda store, who: store.put_file(file(owner=who, name="forged"), b"forged"),
    "add_file": lambda store, who: store.add_file(file("file_2", owner=who), b"forged"),
}
# These belong to the operator or to the replicas, or name what has no owner.
OWNERLESS = {
    "open", "close", "create_key", "keys", "find_key", "any_keys", "revoke_key", "add_usage", "month_tokens",
    "lease", "claim_expired", "cancel_asked", "put_blob", "get_blob", "purge_threads", "sweep", "draw", "pay",
    "forget_responses", "forget_completions",
}  # fmt: skip


async def fill(store):
    await store.put_response(response(status="in_progress"))
    await store.put_response(response("resp_2", previous="resp_1"))
    await store.append_events("ann", "resp_1", [(0, "secret")])
    await store.put_thread(thread(title="secret"))
    await store.put_response(turn("resp_3", "a secret", request={"input": "secret"}))
    await store.put_thread(thread("thread_2", deleted=1000.0))
    await store.put_conversation(conversation())
    await store.append_items("ann", "conv_1", [{"id": "a"}])
    await store.put_completion(completion())
    await store.put_file(file(), b"abc")
    store.add_usage(usage())
    await store.claim("ann", "k", "digest", now=1000.0)


async def everything(store):
    async with asyncio.TaskGroup() as group:
        reads = [call for name, call in FOREIGN.items() if name.startswith(("get", "list", "file"))]
        reads += [
            FOREIGN[name] for name in ("chain", "events", "turns", "turns_from", "turns_naming", "items", "usage")
        ]
        tasks = [group.create_task(call(store, "ann")) for call in reads]
    return [task.result() for task in tasks]


def test_the_matrix_names_every_function():
    public = {name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
    assert public | {"open"} == FOREIGN.keys() | PUTS.keys() | OWNERLESS


def test_another_owner_sees_and_changes_nothing(url):
    async def use(store):
        await fill(store)
        before = await everything(store)
        assert all(before)
        for name, call in FOREIGN.items():
            assert not await call(store, "bob"), name
        assert await everything(store) == before
        assert await store.cancel_asked("A") == []
        assert await store.claim("ann", "k", "digest", now=1001.0) == "running"

    run(url, use)


def test_another_owner_may_use_the_same_ids(url):
    async def use(store):
        await fill(store)
        before = await everything(store)
        for call in PUTS.values():
            await call(store, "bob")
        assert await everything(store) == before
        assert (await store.get_file("bob", "file_1")).name == "forged"

    run(url, use)


def test_the_records_come_without_sqlalchemy():
    code = "import sys, firesteel.server.store; print([m for m in ('sqlalchemy', 'alembic') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_store_that_is_up_to_date_opens_without_alembic(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    run(url, lambda store: store.keys())
    code = f"""
import asyncio, sys
from firesteel.server.store import Store
async def main():
    await (await Store.open({url!r})).close()
asyncio.run(main())
print("alembic" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
