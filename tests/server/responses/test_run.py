"""One response: the conversation that it answers, and what it leaves in the store."""

from tests.agent.scripted import Scripted, calls, says
from tests.server.responses.asking import URL, WEATHER, picture, streamed, talk

ZOOM = calls(("zoom", {"img": "0", "bbox_2d": "[0, 0, 500, 500]"}))
CALL = calls(("get_weather", {"city": "Oslo"}))


def looking():
    content = [{"type": "input_text", "text": "Look."}, {"type": "input_image", "image_url": picture()}]
    return {"role": "user", "content": content}


def asked(client, at=-1):
    return [(m.role, m.reasoning, m.text, len(m.images)) for m in client.service.backend.requests[at].messages]


def test_two_of_the_callers_tools_then_the_answer_and_the_thoughts_survive():
    first = "<|eom|><|start|>assistant".join([" to=self<|message|>both towns", CALL.removesuffix("<|eot|>")])
    second = calls(("get_weather", {"city": "Rome"}))

    @talk(first + "<|eot|>", second, says("Rome is warmer.", thought="compare"))
    async def told(client, ask):
        items = [{"role": "user", "content": "Oslo or Rome?"}]
        for degrees in ("3", "20"):
            answer = (await ask(input=items, tools=[WEATHER], store=False)).json()
            (call,) = [item for item in answer["output"] if item["type"] == "function_call"]
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": degrees}
            items += [*answer["output"], output]
        answer = (await ask(input=items, tools=[WEATHER], store=False)).json()
        return answer, asked(client)

    answer, messages = told
    assert [item["type"] for item in answer["output"]] == ["reasoning", "message"]
    assert answer["output"][1]["content"][0]["text"] == "Rome is warmer."
    assert messages == [
        ("user", "", "Oslo or Rome?", 0),
        ("assistant", "both towns", "", 0),
        ("tool", "", "3", 0),
        ("assistant", "", "", 0),
        ("tool", "", "20", 0),
    ]


def test_a_chain_carries_words_thoughts_and_pictures_but_no_instructions():
    @talk(says("A red one.", thought="I see red"), says("Yes."))
    async def told(client, ask):
        content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": picture()}]
        first = (await ask(input=[{"role": "user", "content": content}], instructions="Be brief.")).json()
        second = (await ask(input="Sure?", previous_response_id=first["id"])).json()
        assert second["previous_response_id"] == first["id"] and second["instructions"] is None
        return asked(client, 0), asked(client, 1), client.service.backend.requests[1].messages[0].images[0]

    first, second, image = told
    assert first == [("system", "", "Be brief.", 0), ("user", "", "What is it?", 1)]
    assert second == [
        ("user", "", "What is it?", 1),
        ("assistant", "I see red", "A red one.", 0),
        ("user", "", "Sure?", 0),
    ]
    assert image.size == (40, 30) and image.getpixel((0, 0)) == (255, 0, 0)


def test_a_chain_that_cannot_be_followed_is_told():
    @talk(says("1"), says("2"))
    async def told(client, ask):
        first = (await ask(input="a")).json()["id"]
        second = (await ask(input="b", previous_response_id=first)).json()["id"]
        await client.delete(f"{URL}/{first}")
        return [(await ask(input="c", previous_response_id=id)).json()["error"] for id in ("resp_none", first, second)]

    assert [error["code"] for error in told] == ["previous_response_not_found"] * 3
    assert all(error["param"] == "previous_response_id" for error in told)


def test_what_is_stored_is_what_was_sent():
    @talk(says("hi", thought="well"), says("ho"))
    async def told(client, ask):
        sent = (await ask(input="a", metadata={"k": "v"})).json()
        again = (await client.get(f"{URL}/{sent['id']}")).json()
        stream = streamed(await ask(input="b", stream=True))
        return sent, again, stream[-1]["response"], (await client.get(f"{URL}/{stream[0]['response']['id']}")).json()

    sent, again, last, after = told
    assert sent == again and last == after and sent["metadata"] == {"k": "v"}


def test_what_must_not_be_stored_is_not():
    @talk(says("hi"))
    async def status(client, ask):
        id = (await ask(input="a", store=False)).json()["id"]
        return (await client.get(f"{URL}/{id}")).status_code

    assert status == 404


def test_a_response_that_runs_out_of_tokens_is_incomplete():
    class Short(Scripted):
        async def stream(self, request):
            async for delta in super().stream(request):
                yield delta.__class__(**vars(delta) | ({"finish_reason": "length"} if delta.finish_reason else {}))

    @talk(backend=Short(" to=user<|message|>and then"))
    async def told(client, ask):
        return (await ask(input="a", max_output_tokens=16)).json()

    assert told["status"] == "incomplete" and told["incomplete_details"] == {"reason": "max_output_tokens"}
    assert told["output"][0]["status"] == "incomplete" and told["completed_at"] is None


def test_a_model_that_fails_on_the_way_ends_the_stream_with_a_failed_response():
    class Broken(Scripted):
        async def stream(self, request):
            async for delta in super().stream(request):
                yield delta
                if self.tokens > 4:
                    raise ValueError("The model is gone.")

    @talk(backend=Broken(says("word " * 20), says("word " * 20)))
    async def told(client, ask):
        events = streamed(await ask(input="a", stream=True))
        return (
            events,
            (await ask(input="a")).status_code,
            (await client.get(f"{URL}/{events[-1]['response']['id']}")).json(),
        )

    events, status, stored = told
    assert events[-1]["type"] == "response.failed" and stored["status"] == "failed" and status >= 400
    assert stored["error"] == {"code": "backend_failed", "message": "The model is gone."}
    assert stored["output"][0]["status"] == "incomplete" and stored["output"][0]["content"][0]["text"]


def test_a_conversation_is_read_and_grows():
    @talk(says("Hello Ann.", thought="greet"), says("Ann."))
    async def told(client, ask):
        made = {"items": [{"role": "developer", "content": "Be kind."}]}
        id = (await client.post("/v1/conversations", json=made)).json()["id"]
        first = (await ask(input="I am Ann.", conversation=id)).json()
        assert first["conversation"] == {"id": id}
        await ask(input="Who am I?", conversation={"id": id})
        items = (await client.get(f"/v1/conversations/{id}/items?order=asc")).json()["data"]
        other = await ask(input="x", previous_response_id=first["id"])
        return asked(client), [item["type"] for item in items], other.json()["error"]["code"]

    messages, items, other = told
    assert messages == [
        ("developer", "", "Be kind.", 0),
        ("user", "", "I am Ann.", 0),
        ("assistant", "greet", "Hello Ann.", 0),
        ("user", "", "Who am I?", 0),
    ]
    assert items == ["message", "message", "reasoning", "message", "message", "message"]
    assert other == "response_in_conversation"


def test_a_tool_that_runs_here_is_an_item_with_its_result_and_may_be_sent_back():
    @talk(ZOOM, says("Red."), says("Yes."))
    async def told(client, ask):
        content = [{"type": "input_text", "text": "Look."}, {"type": "input_image", "image_url": picture()}]
        message = {"role": "user", "content": content}
        events = streamed(await ask(input=[message], tools=[{"type": "firesteel:zoom"}], stream=True))
        output = events[-1]["response"]["output"]
        more = {"role": "user", "content": "Sure?"}
        again = await ask(input=[message, *output, more], tools=[{"type": "firesteel:zoom"}], store=False)
        return events, output, again.status_code, asked(client)

    events, output, status, messages = told
    assert [item["type"] for item in output] == ["firesteel:tool_call", "message"]
    assert output[0]["name"] == "zoom" and output[0]["status"] == "completed"
    assert any(part["type"] == "input_image" for part in output[0]["output"]), output[0]["output"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert status == 200 and [message[0] for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert messages[2][3] == 1  # the crop came back too


def test_a_call_left_without_a_result_does_not_break_the_chain():
    @talk(ZOOM, ZOOM, says("on"))
    async def told(client, ask):
        first = (await ask(input=[looking()], tools=[{"type": "firesteel:zoom"}], max_tool_calls=1)).json()
        return first, (await ask(input="b", previous_response_id=first["id"])).json(), asked(client)

    first, second, messages = told
    assert first["status"] == "incomplete" and "tool calls" in first["incomplete_details"]["message"]
    assert second["status"] == "completed" and messages[-1][2] == "b"
