"""Pictures of stored JSON and messages."""

import asyncio
import base64

from firesteel.format import Message, Part
from firesteel.server.responses.blobs import data_url, packed, packed_messages, unpacked, unpacked_messages
from firesteel.server.store import Store
from tests.server.responses.asking import picture


def stored(tmp_path, work):
    async def main():
        store = await Store.open(f"sqlite:///{tmp_path}/store.sqlite")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(main())


def test_json_comes_back_as_it_was_and_is_stored_without_its_pictures(tmp_path):
    value = [{"a": picture(), "b": [picture("blue"), "data:,plain", "data:image/png;base64,!", None, 1.5]}]

    async def work(store):
        small = await packed(store, value)
        return small, await unpacked(store, small)

    small, back = stored(tmp_path, work)
    assert back == value and picture()[30:60] not in str(small)


def test_a_caller_cannot_name_a_blob(tmp_path):
    async def work(store):
        other = await store.put_blob(b"somebody else's")
        value = {"firesteel:blob": other, "head": "data:x;base64", "firesteel:blob'": [{"firesteel:blob": 1}]}
        return value, await unpacked(store, await packed(store, value))

    value, back = stored(tmp_path, work)
    assert back == value


def test_messages_name_blobs_and_keep_the_bytes_that_came(tmp_path):
    url = picture()
    part = Part.image_of(base64.b64decode(url.partition(",")[2]))
    messages = [
        Message("user", [Part(text="look"), part]),
        Message("assistant", "red", reasoning="hm", tool_calls=[]),
    ]

    async def work(store):
        told = await packed_messages(store, messages, {id(part.image): url})
        data = await store.get_blob(told[0]["content"][1]["blob"])
        return told, data, await unpacked_messages(store, told)

    told, data, back = stored(tmp_path, work)
    assert told[0]["content"][1]["type"] == "image" and len(told[0]["content"][1]["blob"]) == 64
    assert data_url(part.image).startswith("data:image/png;base64,")
    assert data == base64.b64decode(url.partition(",")[2])
    assert [m.to_dict() for m in back] == [m.to_dict() for m in messages]
