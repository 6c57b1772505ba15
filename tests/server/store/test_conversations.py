import asyncio

from firesteel.server.store import Item, Store
from tests.server.store.samples import completion, conversation, run


def test_a_conversation_comes_back_as_it_was_put(url):
    one = conversation(title="Über", pinned=True, metadata={"topic": "x"})

    async def use(store):
        await store.put_conversation(one)
        assert await store.get_conversation("ann", "conv_1") == one
        await store.append_items("ann", "conv_1", [{"id": "a"}])
        await store.put_conversation(conversation(title="new"))
        assert (await store.get_conversation("ann", "conv_1")).title == "new"
        assert len(await store.items("ann", "conv_1")) == 1
        assert await store.delete_conversation("ann", "conv_1")
        assert not await store.delete_conversation("ann", "conv_1")
        assert await store.items("ann", "conv_1") == []

    run(url, use)


def test_the_last_updated_conversation_comes_first(url):
    async def use(store):
        for number in range(4):
            await store.put_conversation(conversation(f"c{number}", updated=float(number)))
        await store.append_items("ann", "c1", [{"id": "a"}])
        assert [row.id for row in await store.list_conversations("ann", limit=3)] == ["c1", "c3", "c2"]
        assert [row.id for row in await store.list_conversations("ann", limit=3, after="c2")] == ["c0"]

    run(url, use)


def test_items_keep_their_order_in_both_directions(url):
    async def use(store):
        await store.put_conversation(conversation())
        assert await store.append_items("ann", "conv_1", [{"id": "z"}, {"id": "a", "text": "old"}])
        assert await store.append_items("ann", "conv_1", [{"id": "m"}, {"id": "a", "text": "new"}])
        await store.delete_item("ann", "conv_1", "m")
        assert await store.append_items("ann", "conv_1", [{"id": "b"}])
        assert not await store.append_items("ann", "conv_2", [{"id": "b"}])
        assert await store.items("ann", "conv_1") == [
            Item(id="z", position=0, value={"id": "z"}),
            Item(id="a", position=1, value={"id": "a", "text": "new"}),
            Item(id="b", position=4, value={"id": "b"}),
        ]
        assert [item.id for item in await store.items("ann", "conv_1", after="z", limit=1)] == ["a"]
        assert [item.id for item in await store.items("ann", "conv_1", descending=True, limit=2)] == ["b", "a"]
        assert [item.id for item in await store.items("ann", "conv_1", after="a", descending=True)] == ["z"]
        assert await store.items("ann", "conv_1", after="unknown") == []
        assert not await store.delete_item("ann", "conv_1", "m")

    run(url, use)


def test_replicas_that_append_at_once_lose_nothing(url):
    async def main():
        stores = [await Store.open(url) for _ in range(3)]
        await stores[0].put_conversation(conversation())
        writes = [stores[n % 3].append_items("ann", "conv_1", [{"id": f"{n}a"}, {"id": f"{n}b"}]) for n in range(60)]
        assert all(await asyncio.gather(*writes))
        items = await stores[0].items("ann", "conv_1", limit=1000)
        assert [item.position for item in items] == list(range(120))
        assert all(items[n].id[:-1] == items[n + 1].id[:-1] for n in range(0, 120, 2))  # an append stays together
        for store in stores:
            await store.close()

    asyncio.run(main())


def test_a_completion_comes_back_as_it_was_put(url):
    async def use(store):
        await store.put_completion(completion())
        await store.put_completion(completion("chatcmpl_2", created=2000.5))
        assert await store.get_completion("ann", "chatcmpl_1") == completion()
        assert [row.id for row in await store.list_completions("ann", limit=1)] == ["chatcmpl_2"]
        assert await store.list_completions("ann", after="chatcmpl_2") == [completion()]
        await store.put_completion(completion(body={"metadata": 1}))
        assert (await store.get_completion("ann", "chatcmpl_1")).body == {"metadata": 1}
        assert await store.delete_completion("ann", "chatcmpl_1")
        assert not await store.delete_completion("ann", "chatcmpl_1")

    run(url, use)
