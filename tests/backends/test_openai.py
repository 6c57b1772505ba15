"""The HTTP backend against a scripted server, and against llama.cpp's."""

import asyncio
import json
from contextlib import aclosing
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from firesteel.agent.loop import run as run_agent
from firesteel.agent.tools import tool
from firesteel.backends import open_backend, retry
from firesteel.backends.base import BackendFailed, Request, complete
from firesteel.backends.openai import OpenAIBackend
from firesteel.format import Message, Part, ToolCall, Trace
from firesteel.tasks import make
from tests.backends.server import ASK, Server, answer, ask, named, refusal, said, serve, sse

RED = Image.new("RGB", (60, 40), (255, 0, 0))


@pytest.fixture
def waits(monkeypatch):
    """Pauses are noted and not made."""
    noted = []

    async def wait(seconds):
        noted.append(seconds)

    monkeypatch.setattr(retry, "wait", wait)
    monkeypatch.delenv("FIRESTEEL_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return noted


@pytest.mark.parametrize("end", [["cut"], [], sse({"error": {"message": "out of memory"}}, done=False)])
def test_an_answer_that_breaks_off_is_told_and_not_asked_again(end, waits):
    call = {"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}
    (sample,), server = serve([*sse(said(content="one"), said(tool_calls=[call]), done=False), *end])
    parsed = sample.parse()
    assert (sample.finish_reason, parsed.answer, parsed.tool_calls, len(parsed.errors)) == ("error", "one", [], 1)
    assert "out of memory" in parsed.errors[0] or len(end) == 0 or end == ["cut"]
    assert (len(server.requests), waits) == (1, [])


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_a_passing_failure_is_asked_again_after_a_pause(status, waits):
    (sample,), server = serve(refusal(status, "busy"), ["cut"], answer("here"))
    assert sample.parse().answer == "here"
    assert len(server.requests) == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1


def test_the_pause_that_a_server_names_is_kept(waits):
    serve(*(refusal(429, "busy", **{"retry-after": after}) for after in ("7", "0")), answer("here"))
    assert waits == [7, 0]


def test_a_server_that_wants_too_long_a_pause_or_never_answers_is_given_up(waits):
    with pytest.raises(ValueError, match="429, quota"):
        serve(refusal(429, "quota", **{"retry-after": "3600"}))
    assert waits == []
    with pytest.raises(BackendFailed, match="503, busy"):
        serve(refusal(503, "busy"), retries=2)
    assert len(waits) == 2


def test_no_server_and_a_silent_one_are_told_in_a_sentence(waits):
    async def nobody():
        server = Server()
        async with server:
            pass
        await ask(server, Request(messages=ASK), retries=1)

    with pytest.raises(BackendFailed, match="connection failed"):
        asyncio.run(nobody())
    with pytest.raises(ValueError, match="silent"):
        serve(["wait"], retries=0, timeout=0.05)


@pytest.mark.parametrize(("status", "match"), [(400, "too long"), (401, "FIRESTEEL_API_KEY"), (404, "404")])
def test_a_refusal_is_told_and_not_asked_again(status, match, waits):
    with pytest.raises(ValueError, match=match) as error:
        serve(refusal(status, "the prompt is too long"))
    assert isinstance(error.value, BackendFailed) == (status == 401)  # the key is not the request's
    assert waits == []


def test_cancelling_closes_the_connection():
    async def main():
        async with Server([*sse(said(content="one"), done=False), "wait"]) as server:
            backend = OpenAIBackend(server.url, "m")
            async with aclosing(backend.stream(Request(messages=ASK))) as deltas:
                await anext(deltas)
            await asyncio.wait_for(server.left.wait(), 30)
            server.left.clear()
            task = asyncio.create_task(complete(backend, Request(messages=ASK)))
            while len(server.requests) < 2:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait_for(server.left.wait(), 30)
            await backend.close()

    asyncio.run(main())


def test_closing_the_backend_ends_what_is_in_flight():
    async def main():
        async with Server([*sse(said(content="one"), done=False), "wait"]) as server:
            backend = OpenAIBackend(server.url, "m")
            async with aclosing(backend.stream(Request(messages=ASK))) as deltas:
                await anext(deltas)
                await backend.close()
                assert [delta.finish_reason async for delta in deltas] == ["error"]

    asyncio.run(main())


# Several samples


@pytest.mark.parametrize("ignored", [True, False])
def test_a_server_that_gives_only_one_sample_is_asked_for_each(ignored):
    def reply(sent):
        if "n" in sent and not ignored:
            return refusal(400, "'n' : number must be at most 1")
        return answer(str(sent["seed"]))

    async def main():
        async with Server(reply) as server:
            backend = OpenAIBackend(server.url, "m")
            samples = [await complete(backend, Request(messages=ASK, n=3, seed=5)) for _ in range(2)]
            await backend.close()
            return samples, server

    samples, server = asyncio.run(main())
    for three in samples:
        assert [sample.parse().answer for sample in three] == ["5", "6", "7"]
    assert [sent.get("n") for sent in server.bodies].count(3) == 1  # it is known from then on


def test_samples_of_one_request_may_come_interleaved():
    items = [said(1, content="b"), said(0, content="a"), said(1, "length"), said(0, "stop", content="A")]
    samples, server = serve(
        sse(*items, {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}}),
        request=Request(messages=ASK, n=2),
    )
    assert [(s.parse().answer, s.finish_reason, s.prompt_tokens) for s in samples] == [
        ("aA", "stop", 4),
        ("b", "length", 4),
    ]
    assert [s.completion_tokens for s in samples] == [2, 1]  # the server's count is that of both
    assert len(server.requests) == 1


def test_no_more_requests_than_slots_are_in_flight():
    _, server = serve(answer("x"), request=Request(messages=ASK, n=7), slots=2)
    assert len(server.requests) == 7 and server.most <= 2


def test_a_budget_of_thought_is_refused_because_no_server_could_be_held_to_it():
    with pytest.raises(ValueError, match="strength"):
        serve(answer("x"), request=Request(messages=ASK, thinking_budget=5))


@pytest.mark.parametrize("strength", [0, 1])
def test_a_budget_of_thought_holds_where_nothing_is_thought(strength):
    (sample,), _ = serve(answer("x"), request=Request(messages=ASK, strength=strength, thinking_budget=0))
    assert sample.parse().answer == "x"


def test_a_prompt_of_token_ids_is_refused():
    with pytest.raises(ValueError, match="conversations only"):
        serve(answer("x"), request=Request(prompt=[1, 2]))


def test_a_bias_is_not_dropped_where_the_server_refuses_it():
    with pytest.raises(ValueError, match="logit_bias"):
        serve(refusal(400, "Unknown parameter: 'logit_bias'."), request=Request(messages=ASK, logit_bias={1: -100}))


# Addresses and keys


def test_without_a_name_the_only_model_of_the_server_is_taken():
    def models(*names):
        return (200, {"content-type": "application/json"}, [json.dumps({"data": [{"id": n} for n in names]}).encode()])

    async def main(*replies):
        async with Server(*replies) as server:
            backend = open_backend(f"openai:{server.url}", slots=1)
            try:
                for _ in range(2):
                    await complete(backend, Request(messages=ASK))
            finally:
                await backend.close()
            return [(path, sent and sent["model"]) for path, _, sent in server.requests]

    chat = ("/v1/chat/completions", "org/one")
    assert asyncio.run(main(models("org/one"), answer("x"))) == [("/v1/models", None), chat, chat]
    with pytest.raises(ValueError, match=r"serves a, b: add #name"):
        asyncio.run(main(models("a", "b")))
    with pytest.raises(ValueError, match="no model"):
        asyncio.run(main(models()))
    with pytest.raises(BackendFailed, match="does not tell its models"):
        asyncio.run(main(refusal(401, "no such key")))


def test_the_name_behind_the_address_is_asked_for():
    async def main():
        async with Server(answer("x")) as server:
            backend = open_backend(f"openai:{server.url}/#org/name:7b")
            await complete(backend, Request(messages=ASK))
            await backend.close()
            assert server.requests[0][0] == "/v1/chat/completions"
            assert backend.name == f"openai:{server.url}/#org/name:7b"
            return server.bodies[0]["model"]

    assert asyncio.run(main()) == "org/name:7b"


@pytest.mark.parametrize(
    "url",
    [
        "http://host/v1?key=secret",
        "",
        "127.0.0.1:80/v1",
        "ftp://host/v1",
        "http:///v1",
        "http://me:secret@host/v1",
        "http://me:secret@host:x/v1",
    ],
)
def test_bad_addresses_are_refused_without_their_password(url):
    with pytest.raises(ValueError) as error:
        OpenAIBackend(url)
    assert "secret" not in str(error.value)


def test_the_key_goes_to_the_server_alone(waits, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("FIRESTEEL_API_KEY", " sk-secret\n")

    async def main():
        async with Server(answer("x")) as other, Server() as server:
            gone = (307, {"location": f"{other.url}/chat/completions"}, [])
            leak = refusal(400, "Unknown parameter: top_k (key sk-secret)")
            server.replies = [leak, answer("x"), refusal(401, "Incorrect API key provided: sk-secret"), gone]
            backend = OpenAIBackend(server.url, "m")
            await complete(backend, Request(messages=ASK, top_k=3))
            for match in ("provided: \\*\\*\\*", "moved"):
                with pytest.raises(ValueError, match=match):
                    await complete(backend, Request(messages=ASK))
            await backend.close()
            assert {headers["authorization"] for _, headers, _ in server.requests} == {"bearer sk-secret"}
            assert other.requests == []

    asyncio.run(main())
    assert "top_k" in caplog.text
    assert "sk-secret" not in caplog.text
    with pytest.raises(ValueError, match="header") as error:
        OpenAIBackend("http://host/v1", api_key="sk-☕")
    assert "sk-" not in str(error.value)


def test_a_key_is_blotted_out_before_a_sentence_is_cut(waits):
    with pytest.raises(ValueError, match="refused") as error:
        serve(refusal(400, "x" * 993 + " sk-secret"), api_key="sk-secret")
    assert "sk-" not in str(error.value)


def test_without_a_key_none_is_sent(waits):
    _, server = serve(answer("x"))
    assert "authorization" not in server.requests[0][1]


def test_an_agent_runs_on_such_a_server():
    @tool
    def add(a: int, b: int) -> str:
        """Adds."""
        return str(a + b)

    def reply(sent):
        if sent["messages"][-1]["role"] == "tool":
            return answer(f"It is {sent['messages'][-1]['content']}.", prompt_tokens=20, completion_tokens=6)
        call = {"index": 0, "id": "call_1", "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'}}
        return sse(said(reasoning="I add."), said(tool_calls=[call]), said(finish_reason="tool_calls"))

    async def main():
        async with Server(reply) as server:
            backend = OpenAIBackend(server.url, "m")
            trace = Trace(list(ASK))
            async with aclosing(run_agent(trace, backend, [add])) as events:
                kinds = [event.kind async for event in events]
            await backend.close()
            return trace.messages, kinds

    messages, kinds = asyncio.run(main())
    assert [message.role for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert (messages[1].reasoning, messages[1].tool_calls[0].id, messages[3].text) == ("I add.", "call_1", "It is 5.")
    assert (messages[1].usage["reasoning_tokens"], messages[3].usage["completion_tokens"]) == (1, 6)
    assert kinds[:2] == ["reasoning", "tool_call"]


# A real server that is not ours: llama.cpp's, with the packaged model and its own chat template


class Llama:
    """The packaged model behind llama.cpp's HTTP server."""

    def __init__(self):
        import xllamacpp

        folder = Path(str(resources.files("firesteel"))) / "assets" / "kindling"
        params = xllamacpp.CommonParams()
        params.verbosity = -1
        params.model.path = str(folder / "kindling.gguf")
        params.mmproj.path = str(folder / "kindling-mmproj.gguf")
        params.mmproj_use_gpu = False
        params.n_gpu_layers = 0
        params.n_parallel = 2
        params.n_ctx = 4096
        params.port = 0
        params.ui = False
        params.warmup = False
        params.fit_params = False
        params.use_jinja = True
        params.api_keys = ["sesame"]
        self.server = xllamacpp.Server(params)
        address = self.server.listening_address
        self.url = address if isinstance(address, str) else address.decode()


@pytest.fixture(scope="module")
def llama():
    return Llama()


CALLED = [
    Message("user", "What is 17 + 25?"),
    Message("assistant", "", "", "", [ToolCall("zoom", {"box": "0 0 9 9"}, "call_7")]),
    Message("tool", [Part(text="crop"), Part(image=RED)], name="zoom", tool_call_id="call_7"),
]
ZOOM = named("zoom", box={"type": "string"})


@pytest.mark.parametrize(
    "messages",
    [
        [Message("user", "What is 17 + 25?")],
        [make("count", 5).message],  # what is nothing like its tasks is noise, where rounding chooses between equals
        CALLED,
    ],
    ids=["text", "picture", "picture in a result"],
)
def test_llama_cpp_serves_what_it_says_in_this_process(llama, messages):
    request = Request(messages=messages, tools=[ZOOM], strength=64, temperature=0, max_tokens=64, logprobs=1)

    async def main():
        ours = open_backend("kindling", slots=1)
        theirs = open_backend(f"openai:{llama.url}/v1", api_key="sesame")
        try:
            return (await complete(ours, request))[0], (await complete(theirs, request))[0]
        finally:
            await ours.close()
            await theirs.close()

    ours, theirs = asyncio.run(main())
    said, heard = ours.parse(request.tools), theirs.parse()
    assert theirs.prompt_tokens == ours.prompt_tokens
    assert (heard.reasoning, heard.answer, heard.tool_calls) == (said.reasoning, said.answer, said.tool_calls)
    assert theirs.finish_reason == ours.finish_reason
    assert all(token.top for token in theirs.logprobs)
