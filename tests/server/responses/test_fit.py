"""What is left out of a conversation that is too long."""

import asyncio

from firesteel.format import Message, Tokenizer, ToolCall, render
from firesteel.server.responses.fit import fitted
from tests.agent.scripted import Scripted, says
from tests.server.responses.asking import talk


class Small(Scripted):
    tokenizer, context = Tokenizer.default(), 400


def turns(count):
    messages = [Message("system", "Be brief.")]
    for number in range(count):
        messages += [
            Message("user", f"question {number} " + "word " * 20),
            Message("assistant", tool_calls=[ToolCall("look", {}, f"c{number}")]),
            Message("tool", "seen", name="look", tool_call_id=f"c{number}"),
            Message("assistant", "fine"),
        ]
    return [*messages, Message("user", "last question")]


def test_the_oldest_turns_go_and_calls_stay_with_their_results():
    messages = turns(20)
    kept = asyncio.run(fitted(Small(), messages, [], 100))
    assert kept[0] == messages[0] and kept[-1] == messages[-1] and kept[1].role == "user"
    assert list(kept[1:]) == messages[-len(kept) + 1 :] and 3 < len(kept) < len(messages)
    assert len(render(kept, tokenizer=Small.tokenizer).ids) <= 300
    # one turn more would not fit
    longer = [messages[0], *messages[-len(kept) - 3 :]]
    assert len(render(longer, tokenizer=Small.tokenizer).ids) > 299


def test_what_fits_or_cannot_be_measured_stays_whole():
    messages = turns(1)
    assert asyncio.run(fitted(Small(), messages, [], 100)) == messages
    assert asyncio.run(fitted(Scripted(), turns(50), [], 100)) == turns(50)


def test_only_automatic_truncation_leaves_something_out():
    items = [{"role": "user", "content": "word " * 400}, {"role": "user", "content": "last"}]

    @talk(backend=Small(says("a"), says("b")))
    async def told(client, ask):
        await ask(input=items)
        answer = (await ask(input=items, truncation="auto")).json()
        return answer["truncation"], [len(request.messages) for request in client.service.backend.requests]

    assert told == ("auto", [2, 1])
