"""What the tests of threads ask, again and again."""

import asyncio

from tests.agent.scripted import calls
from tests.server.responses.asking import URL as RESPONSES
from tests.server.responses.asking import ended
from tests.server.serving import serving

URL = "/v1/threads"


class Talk:
    """A thread on a server; `say` makes a turn and waits for its end."""

    def __init__(self, client, id):
        self.client, self.id, self.url = client, id, f"{URL}/{id}"

    async def say(self, said, previous=None, thread=None, **body):
        asked = [{"role": "user", "content": said}]
        more = body.pop("firesteel", {}) | {"thread": thread or self.id}
        body = {"model": "kindling", "background": True, "previous_response_id": previous, "input": asked} | body
        answer = await self.client.post(RESPONSES, json=body | {"firesteel": more})
        assert answer.status_code == 200, answer.text
        return (await ended(self.client, answer.json()["id"]))["id"]

    async def read(self, path="", **query):
        answer = await self.client.get(self.url + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def begun(client, **body):
    answer = await client.post(URL, json=body)
    assert answer.status_code == 200, answer.text
    return Talk(client, answer.json()["id"])


def talk(*lines, **settings):
    """Runs `work(client, talk)` on a server whose model says `lines`, with a new thread."""

    def decorated(work):
        async def main():
            async with serving(*lines, **settings) as client:
                return await work(client, await begun(client))

        return asyncio.run(main())

    return decorated


def written(name, text):
    """A turn of a model that writes a file."""
    return calls(("container.insert", {"path": name, "insert_line": "0", "new_str": text}))


def code(answer):
    """The status of an answer, and what its error is about."""
    error = answer.json().get("error") or {}
    return answer.status_code, error.get("param")
