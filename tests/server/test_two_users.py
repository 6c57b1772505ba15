"""Two users of one server: what the first has, the second neither sees nor changes, on every route there is.

A route without a case fails: put it into `CASES` and say what a second user may learn from it.
"""

import base64
import contextlib
import hashlib
import io
import re
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.testclient import TestClient

from firesteel.server.guard import is_open
from tests.agent.scripted import Scripted, says
from tests.server.serving import application

MARK = "zinnober"  # in everything that is Ann's
USER = {"role": "user", "content": "hello"}
MESSAGES = {"model": "kindling", "max_tokens": 64, "messages": [USER]}
RESPONSE = {"model": "kindling", "input": "hello"}
THREAD_FILE = {"object": "firesteel.thread", "version": 1, "title": "bob", "created_at": 0, "turns": []}
CHAT, RESPONSES, TALKS, THREADS = "/v1/chat/completions", "/v1/responses", "/v1/conversations", "/v1/threads"


@dataclass(frozen=True)
class Case:
    """What Bob gets: `status`; an answer without anything of Ann's; with `empty`, a list without items.

    `names` are Ann's things that the parameters of the path name; `shared` answers are the same for both.
    """

    status: tuple[int, ...]
    names: tuple[str, ...] = ()
    body: dict[str, Any] = field(default_factory=dict)
    empty: bool = False
    shared: bool = False


def hidden(*names: str, **body: Any) -> Case:
    return Case((404,), names, body)


SHARED = Case((200,), shared=True)
EMPTY = Case((200,), empty=True)
OPERATORS = Case((403,), shared=True)
NO_MODEL = Case((400, 404, 501), shared=True)  # the scripted model has no tokenizer

CASES = {
    ("GET", "/"): SHARED,
    ("GET", "/assets/{path:path}"): Case((404,), ("asset",), shared=True),
    ("GET", "/v1/app"): SHARED,
    ("GET", "/health"): SHARED,
    ("GET", "/ready"): SHARED,
    ("GET", "/openapi.json"): SHARED,
    ("GET", "/metrics"): Case((200,)),  # sums of all callers
    ("GET", "/v1/models"): SHARED,
    ("GET", "/v1/models/{name:path}"): Case((200,), ("model",), shared=True),
    ("POST", CHAT): Case((200,), body=MESSAGES),
    ("GET", CHAT): EMPTY,
    ("GET", CHAT + "/{id}"): hidden("completion"),
    ("POST", CHAT + "/{id}"): hidden("completion", metadata={"of": "bob"}),
    ("DELETE", CHAT + "/{id}"): hidden("completion"),
    ("GET", CHAT + "/{id}/messages"): hidden("completion"),
    ("POST", "/v1/messages"): Case((200,), body=MESSAGES),
    ("POST", "/v1/messages/count_tokens"): Case((200,), body=MESSAGES),
    ("POST", "/v1/completions"): NO_MODEL,
    ("POST", "/v1/decisions"): NO_MODEL,
    ("POST", "/tokenize"): NO_MODEL,
    ("POST", "/detokenize"): NO_MODEL,
    ("GET", "/tokenizer_info"): NO_MODEL,
    ("POST", "/v1/files"): Case((400,), body={"file": "no multipart"}),
    ("GET", "/v1/files"): EMPTY,
    ("GET", "/v1/files/{id}"): hidden("file"),
    ("DELETE", "/v1/files/{id}"): hidden("file"),
    ("GET", "/v1/files/{id}/content"): hidden("file"),
    ("WEBSOCKET", RESPONSES): Case((200,), body=RESPONSE | {"type": "response.create"}),
    ("POST", RESPONSES): Case((200,), body=RESPONSE),
    ("GET", RESPONSES): EMPTY,
    ("POST", RESPONSES + "/compact"): Case((200,), body=RESPONSE),
    ("GET", RESPONSES + "/{id}"): hidden("response"),
    ("DELETE", RESPONSES + "/{id}"): hidden("response"),
    ("POST", RESPONSES + "/{id}/cancel"): hidden("response"),
    ("GET", RESPONSES + "/{id}/input_items"): hidden("response"),
    ("POST", TALKS): Case((200,), body={"title": "bob"}),
    ("GET", TALKS): EMPTY,
    ("GET", TALKS + "/{id}"): hidden("conversation"),
    ("POST", TALKS + "/{id}"): hidden("conversation", title="bob"),
    ("DELETE", TALKS + "/{id}"): hidden("conversation"),
    ("POST", TALKS + "/{id}/items"): hidden("conversation", items=[USER]),
    ("GET", TALKS + "/{id}/items"): hidden("conversation"),
    ("GET", TALKS + "/{id}/items/{item}"): hidden("conversation", "said"),
    ("DELETE", TALKS + "/{id}/items/{item}"): hidden("conversation", "said"),
    ("POST", THREADS): Case((200,), body={"title": "bob"}),
    ("GET", THREADS): EMPTY,
    ("POST", THREADS + "/import"): Case((200,), body=THREAD_FILE),
    ("GET", THREADS + "/{id}"): hidden("thread"),
    ("POST", THREADS + "/{id}"): hidden("thread", title="bob", pinned=True),
    ("DELETE", THREADS + "/{id}"): hidden("thread"),
    ("POST", THREADS + "/{id}/restore"): hidden("thread"),
    ("DELETE", THREADS + "/{id}/turns/{turn}"): hidden("thread", "turn"),
    ("GET", THREADS + "/{id}/turns/{turn}/files"): hidden("thread", "turn"),
    ("GET", THREADS + "/{id}/turns/{turn}/files/{name:path}"): hidden("thread", "turn", "name"),
    ("POST", THREADS + "/{id}/turns/{turn}/calls/{call}/replay"): hidden("thread", "turn", "said"),
    ("POST", THREADS + "/{id}/permissions/{permission}"): hidden("thread", "said", answer="once"),
    ("GET", THREADS + "/{id}/images/{sha256}"): hidden("thread", "picture"),
    ("GET", THREADS + "/{id}/export"): hidden("thread"),
    ("GET", "/v1/admin/usage"): OPERATORS,
    ("GET", "/v1/admin/health"): OPERATORS,
    ("GET", "/v1/admin/keys"): OPERATORS,
    ("POST", "/v1/admin/keys"): Case((403,), body={"name": "bob", "owner": "ann", "admin": True}),
    ("POST", "/v1/admin/keys/{id}/revoke"): Case((403,), ("key",)),
}
"""Routes by method and path."""


def saying(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [USER | {"content": [part]}]


SEEN = saying({"type": "input_image", "file_id": "$file"})
TURN = {"id": "1", "created_at": 0, "status": "completed", "model": "kindling", "output": []}
FILES, SOURCE = ["$file"], {"type": "file", "file_id": "$file"}
ATTEMPTS = [
    ("GET", f"{RESPONSES}/$response?stream=true", {}, 404),
    ("POST", RESPONSES, RESPONSE | {"previous_response_id": "$response"}, 400),
    ("POST", RESPONSES, RESPONSE | {"previous_response_id": "$response", "background": True}, 400),
    ("POST", f"{RESPONSES}/compact", RESPONSE | {"previous_response_id": "$response"}, 400),
    ("POST", RESPONSES, RESPONSE | {"input": [{"type": "item_reference", "id": "$item"}]}, 404),
    ("POST", RESPONSES, RESPONSE | {"input": [{"type": "compaction", "encrypted_content": "$compaction"}]}, 400),
    ("POST", RESPONSES, RESPONSE | {"conversation": "$conversation"}, 404),
    ("POST", RESPONSES, RESPONSE | {"conversation": {"id": "$conversation"}, "background": True}, 404),
    ("POST", RESPONSES, RESPONSE | {"input": saying({"type": "input_image", "file_id": "$file"})}, 404),
    ("POST", RESPONSES, RESPONSE | {"tools": [{"type": "code_interpreter", "container": {"file_ids": FILES}}]}, 404),
    ("POST", TALKS, {"items": [{"type": "item_reference", "id": "$item"}]}, 404),
    ("GET", f"{TALKS}?after=$conversation", {}, 200),
    ("POST", CHAT, MESSAGES | {"messages": saying({"type": "file", "file": {"file_id": "$file"}})}, 404),
    ("POST", "/v1/messages", MESSAGES | {"messages": saying({"type": "image", "source": SOURCE})}, 404),
    ("POST", RESPONSES, RESPONSE | {"firesteel": {"thread": "$thread"}}, 404),
    ("POST", RESPONSES, RESPONSE | {"firesteel": {"thread": "$thread"}, "background": True}, 404),
    ("POST", RESPONSES, RESPONSE | {"previous_response_id": "$turn"}, 400),
    ("GET", f"{THREADS}?after=$thread", {}, 200),
    ("GET", f"{THREADS}?query={MARK}", {}, 200),
    ("POST", f"{THREADS}/import", THREAD_FILE | {"turns": [TURN | {"input": SEEN}]}, 404),
    ("GET", f"{CHAT}?after=$completion", {}, 200),
    ("GET", "/v1/files?after=$file", {}, 200),
]  # fmt: skip
"""Ways to name Ann's things ($) elsewhere than in a route's parameters, and the status that Bob gets."""


def routes_of(app: Any) -> set[tuple[str, str]]:
    def each(routes: list[BaseRoute]) -> Any:
        for route in routes:
            if isinstance(route, WebSocketRoute):
                yield "WEBSOCKET", route.path
            else:
                assert isinstance(route, Route), f"{route} is of a kind that this test does not know"
                yield from ((method, route.path) for method in (route.methods or {"GET"}) - {"HEAD"})

    return set(each(app.routes))


class User:
    def __init__(self, client: TestClient, secret: str) -> None:
        self._client, self._headers = client, {"authorization": f"Bearer {secret}"}

    def ask(self, method: str, path: str, body: Any = None, **given: Any) -> Any:
        return self._client.request(method, path, headers=self._headers, json=body or None, **given)

    def made(self, method: str, path: str, body: Any = None, **given: Any) -> Any:
        answer = self.ask(method, path, body, **given)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def socket(self, path: str) -> Any:
        return self._client.websocket_connect(f"ws://localhost{path}", headers=self._headers)


@dataclass
class House:
    """A server with two users, and Ann's things by name."""

    app: Any
    client: TestClient
    ann: User
    bob: User
    things: dict[str, str]

    def path(self, path: str, names: tuple[str, ...]) -> str:
        """A route's path with Ann's things in its parameters."""
        left = list(names)
        filled = re.sub(r"\{[^}]+\}", lambda _: self.things[left.pop(0)], path)
        assert not left
        return filled

    def named(self, value: Any) -> Any:
        """`value` with Ann's things in place of their names."""
        if isinstance(value, str):
            return re.sub(r"\$(\w+)", lambda match: self.things[match[1]], value)
        if isinstance(value, dict):
            return {name: self.named(each) for name, each in value.items()}
        return [self.named(each) for each in value] if isinstance(value, list) else value

    def all_of_anns(self) -> dict[str, Any]:
        """What Ann sees of her things."""
        seen = {}
        for (method, path), case in CASES.items():
            if method == "GET" and not case.shared and path != "/metrics" and not is_open(path):
                answer = self.ann.ask("GET", self.path(path, case.names))
                assert answer.status_code == 200, f"Ann herself gets {answer.status_code} of {path}: {answer.text}"
                seen[path] = answer.content
        return seen


def echo(request: Any) -> str:
    """A model that repeats all it was told, so that what slipped into a prompt is seen in the answer."""
    return says(" ".join(message.text for message in request.messages))


@contextlib.contextmanager
def house():
    class Parrot(Scripted):
        async def stream(self, request):
            self.lines = [echo] * request.n
            async for delta in super().stream(request):
                yield delta

    async def opened():
        app, service = await manager.__aenter__()
        secrets = [(await service.store.create_key(name=name, tools=["*"]))[1] for name in ("ann", "bob")]
        return app, secrets

    manager = application(Parrot())
    with contextlib.ExitStack() as stack:
        # The application is made in the client's own thread, where the store's loop must run.
        client = stack.enter_context(TestClient(_late := Late(), base_url="http://localhost"))
        app, secrets = client.portal.call(opened)
        stack.callback(client.portal.call, manager.__aexit__, None, None, None)
        _late.app = app
        ann, bob = (User(client, secret) for secret in secrets)
        yield House(app, client, ann, bob, settled(ann))


class Late:
    """An application that is there later."""

    app: Any = None

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return


def settled(ann: User) -> dict[str, str]:
    """Everything that a user can have."""
    asked = {"role": "user", "content": f"I say {MARK}."}
    chat = {"model": "kindling", "messages": [asked], "store": True, "metadata": {"word": MARK}}
    upload = {"files": {"file": (f"{MARK}.txt", MARK.encode())}, "data": {"purpose": "user_data"}}
    asking = {"model": "kindling", "input": [asked], "metadata": {"word": MARK}}
    response = ended(ann, asking)
    file = ann.made("POST", "/v1/files", **upload)["id"]
    thread = ann.made("POST", THREADS, {"title": MARK, "settings": {"files": [{"id": file}]}})["id"]
    seen = USER | {"content": [{"type": "input_image", "image_url": marked_picture()}]}
    turn = ended(ann, asking | {"input": [asked, seen], "firesteel": {"thread": thread}})["id"]
    link = ann.made("GET", f"{THREADS}/{thread}")["turns"][0]["input"][1]["content"][0]["image_url"]
    talk = ann.made("POST", TALKS, {"title": MARK, "items": [asked], "metadata": {"word": MARK}})["id"]
    compacted = ann.made("POST", RESPONSES + "/compact", asking)["output"]
    return {
        "model": "kindling",
        "completion": ann.made("POST", CHAT, chat)["id"],
        "file": file,
        "name": f"{MARK}.txt",
        "response": response["id"],
        "conversation": talk,
        "said": ann.made("GET", f"{TALKS}/{talk}/items")["data"][0]["id"],
        "item": response["output"][-1]["id"],
        "thread": thread,
        "turn": turn,
        "picture": link.rpartition("/")[2],
        "asset": "x",
        "key": "key_x",
        "compaction": next(item["encrypted_content"] for item in compacted if item["type"] == "compaction"),
    }


def ended(user: User, asking: dict[str, Any]) -> dict[str, Any]:
    """A response that was made in the background."""
    response = user.made("POST", RESPONSES, asking | {"background": True})
    while response["status"] in ("queued", "in_progress"):
        time.sleep(0.05)
        response = user.made("GET", f"{RESPONSES}/{response['id']}")
    return response


def marked_picture() -> str:
    """A data URL of a picture in whose bytes the word stands."""
    words, buffer = PngInfo(), io.BytesIO()
    words.add_text("Title", MARK)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=words)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_every_route_has_a_case_and_every_case_a_route():
    with house() as there:
        routes = routes_of(there.app)
    assert sorted(routes - set(CASES)) == [], "routes without a case: say in CASES what a second user may learn"
    assert sorted(set(CASES) - routes) == [], "cases without a route"


def test_the_second_user_sees_and_changes_nothing_of_the_first():
    with house() as there:
        before = there.all_of_anns()
        assert all(MARK.encode() in seen for seen in before.values()), "Ann's own answers hold her word"
        for (method, path), case in sorted(CASES.items(), key=lambda each: not each[1].empty):
            if method == "WEBSOCKET":
                continue
            answer = there.bob.ask(method, there.path(path, case.names), case.body)
            told = f"{method} {path}: {answer.status_code} {answer.text[:500]}"
            assert answer.status_code in case.status, told
            assert MARK not in answer.text, told
            if case.empty:
                assert answer.json()["data"] == [], told
            if case.shared:
                assert answer.content == there.ann.ask(method, there.path(path, case.names), case.body).content, told
            assert there.all_of_anns() == before, f"{method} {path} changed something of Ann's"


@pytest.mark.parametrize(("method", "path", "body", "status"), ATTEMPTS, ids=lambda value: str(value)[:60])
def test_what_the_second_user_names_is_not_there(method, path, body, status):
    with house() as there:
        before = there.all_of_anns()
        answer = there.bob.ask(method, there.named(path), there.named(body))
        assert (answer.status_code, MARK in answer.text) == (status, False), answer.text
        assert there.all_of_anns() == before
        answer = there.ann.ask(method, there.named(path), there.named(body))
        assert answer.status_code in (200, 400) and answer.status_code != 404, "Ann herself can"


def test_a_websocket_knows_whose_it_is():
    with house() as there:
        before = there.all_of_anns()
        for words, error in (({}, None), ({"previous_response_id": "$response"}, "previous_response_not_found")):
            # The client cancels the application in its own way when it leaves.
            with contextlib.suppress(CancelledError), there.bob.socket(RESPONSES) as connection:
                connection.send_json(there.named(CASES["WEBSOCKET", RESPONSES].body | words))
                frame = connection.receive_json()
                while frame["type"] not in ("response.completed", "error"):
                    assert MARK not in str(frame)
                    frame = connection.receive_json()
                assert MARK not in str(frame) and frame.get("error", {}).get("code") == error
        assert there.all_of_anns() == before


def test_the_name_of_a_blob_opens_nothing():
    """Bytes are stored under their SHA-256; whoever knows it must not get them by writing it into an item."""
    forged = {"firesteel:blob": hashlib.sha256(MARK.encode()).hexdigest(), "head": "data:text/plain;base64"}
    hidden = base64.b64encode(MARK.encode()).decode()
    with house() as there:
        item = {"type": "message", "role": "user", "content": "hello", "x": forged}
        tool = {"type": "function", "name": "f", "parameters": {"x": forged | {"firesteel:blob": "0" * 64}}}
        made = there.bob.made("POST", RESPONSES, RESPONSE | {"input": [item], "tools": [tool]})
        for path in (f"{RESPONSES}/{made['id']}", f"{RESPONSES}/{made['id']}/input_items"):
            answer = there.bob.ask("GET", path)
            assert answer.status_code == 200 and hidden not in answer.text


def test_a_stranger_gets_nothing_anywhere():
    with house() as there:
        for method, path in CASES:
            if method != "WEBSOCKET" and not is_open(path):
                answer = there.client.request(method, re.sub(r"\{[^}]+\}", "x", path))
                assert answer.status_code == 401, f"{method} {path}: {answer.status_code}"
