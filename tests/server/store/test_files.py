import hashlib

from tests.server.store.samples import file, run

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
