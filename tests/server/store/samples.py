"""Records to store, and a store to put them in."""

import asyncio

from firesteel.server.store import Conversation, File, Store, StoredCompletion, StoredResponse, Thread, Usage


def run(url, *uses):
    """Opens a store for each use (an async function of it), all on one database, one after the other."""

    async def main():
        results = []
        for use in uses:
            store = await Store.open(url)
            try:
                results.append(await use(store))
            finally:
                await store.close()
        return results[-1]

    return asyncio.run(main())


def response(id="resp_1", owner="ann", **more):
    values = {"created": 1000.5, "status": "completed", "model": "kindling", "body": {"id": id, "output": []}}
    return StoredResponse(id=id, owner=owner, **values | more)


def completion(id="chatcmpl_1", owner="ann", **more):
    values = {"created": 1000.5, "model": "kindling", "body": {"id": id}, "messages": [{"role": "user"}]}
    return StoredCompletion(id=id, owner=owner, **values | more)


def conversation(id="conv_1", owner="ann", **more):
    return Conversation(id=id, owner=owner, **{"created": 1000.5, "updated": 1000.5} | more)


def file(id="file_1", owner="ann", **more):
    values = {"created": 1000.5, "name": "a.txt", "purpose": "user_data", "media_type": "text/plain", "bytes": 3}
    return File(id=id, owner=owner, **values | more)


def usage(owner="ann", key="key_1", at=1_000_000_000.0, **more):
    return Usage(owner=owner, key=key, at=at, **{"model": "kindling", "mode": "instant"} | more)


def thread(id="thread_1", owner="ann", **more):
    return Thread(id=id, owner=owner, **{"created": 1000.5, "updated": 1000.5} | more)


def turn(id, asked="", answer="", thread="thread_1", **more):
    """A response of a thread."""
    said = [("user", asked), ("assistant", answer)]
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in said if text]
    return response(id, thread=thread, messages=messages, **more)
