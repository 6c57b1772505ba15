import asyncio
import hashlib
import time

from firesteel.server.store import Store
from firesteel.server.store.files import GRACE
from tests.server.store.samples import conversation, file, response, run, thread, turn

DATA = bytes(range(256)) * 1000


def test_a_file_comes_back_with_its_bytes(url):
    async def use(store):
        await store.put_file(file(), DATA)
        await store.put_file(file("file_2", created=2000.5), b"")
        assert await store.get_file("ann", "file_1") == file()
        assert (await store.file_data("ann", "file_1"), await store.file_data("ann", "file_2")) == (DATA, b"")
        assert [row.id for row in await store.list_files("ann")] == ["file_2", "file_1"]
        assert await store.list_files("ann", after="file_2") == [file()]
        assert await store.delete_file("ann", "file_1") and not await store.delete_file("ann", "file_1")
        assert await store.file_data("ann", "file_1") is None

    run(url, use)


def test_a_file_is_added_once_by_however_many(url):
    async def use(store):
        other = await Store.open(url)
        try:
            adding = [each.add_file(file(), f"{number}".encode()) for number in range(5) for each in (store, other)]
            assert len(set(await asyncio.gather(*adding))) == 1
        finally:
            await other.close()

    run(url, use)


def test_the_same_bytes_are_kept_once_and_outlive_one_of_their_files(url):
    async def use(store):
        await store.put_file(file(), DATA)
        await store.put_file(file("file_2", owner="bob"), DATA)
        assert await store.put_blob(DATA) == hashlib.sha256(DATA).hexdigest()
        await store.delete_file("ann", "file_1")
        assert await store.file_data("bob", "file_2") == DATA

    run(url, use)


def test_a_blob_is_found_by_its_name(url):
    async def use(store):
        name = await store.put_blob(DATA)
        assert await store.get_blob(name) == DATA
        assert await store.get_blob(name[:-1]) is None

    run(url, use)


def test_an_owner_keeps_no_more_than_the_most(url):
    async def use(store):
        for number in range(3):
            assert await store.put_file(file(f"f{number}", bytes=40), bytes(40), 3, 120) is None
        assert await store.put_file(file("f3"), b"", 3, 120) == "files"
        assert await store.put_file(file("f3"), b"x", 4, 120) == "bytes"
        assert await store.get_file("ann", "f3") is None
        assert await store.put_file(file("f3", owner="bob"), b"x", 3, 120) is None
        assert await store.put_file(file("f2", bytes=40), bytes(40), 3, 120) is None  # in its own place
        await store.delete_file("ann", "f0")
        assert await store.put_file(file("f4", expires=1.0), b"x", 3, 120) is None
        assert await store.put_file(file("f5"), b"x", 3, 120) is None  # what has expired takes no room
        assert await store.put_file(file("f6"), b"x", 3, 120) == "files"

    run(url, use)


def test_a_file_that_expired_is_not_there(url):
    async def use(store):
        later = time.time() + 1000
        for id, expires in (("gone", 1.0), ("stays", later)):
            await store.put_file(file(id, expires=expires), DATA)
        assert await store.get_file("ann", "gone") is None and await store.file_data("ann", "gone") is None
        assert await store.list_files("ann") == [file("stays", expires=later)]
        assert await store.sweep(time.time()) == 0
        assert not await store.delete_file("ann", "gone") and await store.delete_file("ann", "stays")

    run(url, use)


def test_blobs_go_when_nothing_has_named_them_for_a_while(url):
    """Each is named from another place, and the names go one after the other."""

    async def use(store):
        now = time.time()
        body, asked, said, item, moved, shared = [await store.put_blob(f"{number}".encode()) for number in range(6)]
        await store.put_response(
            response(
                body={"output": [{"firesteel:blob": body}]},
                request={"files": [{"content": {"firesteel:blob": asked}}]},
                messages=[{"role": "user", "content": [{"type": "image", "blob": said}]}],
            )
        )
        await store.put_conversation(conversation())
        await store.append_items("ann", "conv_1", [{"id": "i", "image": item, "more": shared}, {"id": "j", "x": moved}])
        await store.put_thread(thread())
        await store.put_turns("ann", "thread_1", [turn("t", body={"id": "t", "x": shared})])
        await store.put_file(file(), b"5")

        async def left(then):
            await store.sweep(then)
            await store.sweep(then + GRACE + 1)
            found = {body: "body", asked: "asked", said: "said", item: "item", moved: "moved", shared: "shared"}
            return [name for blob, name in found.items() if await store.get_blob(blob)]

        assert await left(now + GRACE) == ["body", "asked", "said", "item", "moved", "shared"]
        await store.put_response(response(body={}, messages=[{"role": "user", "blob": said}]))
        assert await left(now + 3 * GRACE) == ["said", "item", "moved", "shared"]
        await store.append_items("ann", "conv_1", [{"id": "j"}])
        assert await left(now + 5 * GRACE) == ["said", "item", "shared"]
        assert await store.delete_response("ann", "resp_1")
        assert await store.delete_item("ann", "conv_1", "i")
        assert await left(now + 7 * GRACE) == ["shared"]  # by the thread's turn and the file
        await store.delete_thread("ann", "thread_1", now)
        await store.purge_threads(now + 1)
        assert await left(now + 9 * GRACE) == ["shared"]
        await store.delete_file("ann", "file_1")
        assert await left(now + 11 * GRACE) == []

    run(url, use)


def test_what_was_put_a_moment_ago_waits_for_its_name(url):
    async def use(store):
        now = time.time()
        fresh, old = await store.put_blob(b"fresh"), await store.put_blob(b"old")
        await store.put_response(response(body={"x": old}))
        await store.sweep(now + GRACE / 2)
        await store.delete_response("ann", "resp_1")
        assert await store.sweep(now + GRACE / 2) == 0
        assert await store.get_blob(fresh) and await store.get_blob(old)
        assert await store.sweep(now + GRACE * 1.2) == 1  # only the one that never had a name
        assert await store.get_blob(old)
        await store.put_blob(b"old")
        assert await store.sweep(time.time() + GRACE - 60) == 0
        assert await store.sweep(now + GRACE * 3) == 1
        assert await store.get_blob(old) is None

    run(url, use)


def test_many_loose_blobs_are_swept_in_steps(url):
    async def use(store):
        for number in range(250):
            await store.put_blob(f"{number}".encode())
        return await store.sweep(time.time() + 2 * GRACE)

    assert run(url, use) == 250
