"""What the tests of responses ask, again and again."""

import asyncio
import base64
import io

from PIL import Image

from tests.server.serving import events_of, serving

URL = "/v1/responses"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def picture(colour="red", size=(40, 30)):
    """A data URL."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def talk(*lines, **settings):
    """Runs `work(client, ask)` on a server whose model says `lines`; `ask(**body)` posts a response."""

    def decorated(work):
        async def main():
            async with serving(*lines, **settings) as client:

                async def ask(**body):
                    return await client.post(URL, json={"model": "kindling"} | body)

                return await work(client, ask)

        return asyncio.run(main())

    return decorated


def streamed(answer):
    """The events of a stream without its end."""
    events = events_of(answer.text)
    assert events[-1] == ("", "[DONE]")
    for name, event in events[:-1]:
        assert name == event["type"]
    return [event for _, event in events[:-1]]


def kinds(events):
    """Types in order, repeated ones once."""
    types = [event["type"].removeprefix("response.") for event in events]
    return [kind for at, kind in enumerate(types) if at == 0 or types[at - 1] != kind]


async def ended(client, id, **headers):
    """The response, once it has ended."""
    while True:
        told = (await client.get(f"{URL}/{id}", headers=headers)).json()
        if told["status"] not in ("queued", "in_progress"):
            return told
        await asyncio.sleep(0.01)
