import asyncio
import io
import time

import openai
import pytest
from PIL import Image

from firesteel.server.files import display_name
from tests.agent.scripted import Scripted, says
from tests.server.plain import Plain
from tests.server.serving import live, serving

PATH = "/v1/files"


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def with_client(work, **settings):
    async def run():
        async with serving(backend=Plain(), **settings) as client:
            return await work(client)

    return asyncio.run(run())


async def put(client, name="a.txt", data=b"abc", purpose="user_data", **more):
    return await client.post(PATH, files={"file": (name, data)}, data={"purpose": purpose}, **more)


def test_the_sdk_uploads_lists_reads_and_deletes():
    with live(backend=Plain) as (url, _), openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        made = client.files.create(file=("notes.txt", b"\x00flint\xff"), purpose="user_data")
        assert (made.filename, made.bytes, made.purpose, made.object) == ("notes.txt", 7, "user_data", "file")
        assert client.files.retrieve(made.id) == made
        assert client.files.content(made.id).content == b"\x00flint\xff"
        assert [file.id for file in client.files.list()] == [made.id]
        assert client.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(made.id)
        assert list(client.files.list()) == []


def test_lists_come_in_pages_both_ways():
    async def work(client):
        for number in range(5):
            assert (await put(client, f"{number}", purpose="batch" if number % 2 else "vision")).status_code == 200
        pages = {}
        for order in ("desc", "asc"):
            pages[order], after = [], None
            while True:
                asked = {"limit": 2, "order": order} | ({"after": after} if after else {})
                page = (await client.get(PATH, params=asked)).json()
                pages[order].append([file["filename"] for file in page["data"]])
                after = page["last_id"]
                if not page["has_more"]:
                    break
        batch = (await client.get(PATH, params={"purpose": "batch"})).json()
        wrong = await client.get(PATH, params={"limit": 0})
        return pages, [file["filename"] for file in batch["data"]], wrong

    pages, batch, wrong = with_client(work)
    assert pages == {"desc": [["4", "3"], ["2", "1"], ["0"]], "asc": [["0", "1"], ["2", "3"], ["4"]]}
    assert batch == ["3", "1"]
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "limit")


def test_nobody_sees_the_files_of_others():
    async def work(client):
        store = client.service.store
        ann, ben = [
            {"authorization": f"Bearer {(await store.create_key(owner=name, name=name))[1]}"} for name in ("ann", "ben")
        ]
        id = (await put(client, headers=ann)).json()["id"]
        seen = [
            await client.get(f"{PATH}/{id}", headers=ben),
            await client.get(f"{PATH}/{id}/content", headers=ben),
            await client.delete(f"{PATH}/{id}", headers=ben),
        ]
        listed = (await client.get(PATH, headers=ben)).json()["data"]
        behind = (await client.get(PATH, params={"after": id}, headers=ben)).json()["data"]
        return [answer.status_code for answer in seen], listed, behind, await client.get(f"{PATH}/{id}", headers=ann)

    statuses, listed, behind, own = with_client(work)
    assert statuses == [404, 404, 404] and listed == behind == [] and own.status_code == 200


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("page.html", b"<script>alert(1)</script>", "application/octet-stream"),
        ("picture.svg", b"<svg onload='alert(1)'/>", "application/octet-stream"),
        ("fake.png", b"<html>", "application/octet-stream"),
        ("true.html", png(), "image/png"),
    ],
)
def test_no_browser_runs_a_file(name, data, kind):
    async def work(client):
        sent = {"file": (name, data, "text/html")}
        id = (await client.post(PATH, files=sent, data={"purpose": "vision"})).json()["id"]
        return await client.get(f"{PATH}/{id}/content")

    got = with_client(work)
    assert got.content == data and got.headers["content-type"] == kind
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert {"sandbox", "frame-ancestors 'none'"} <= set(got.headers["content-security-policy"].split("; "))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("notes.txt", "notes.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.bat", "x.bat"),
        ("..", "file"),
        ("", "file"),
        ("a/", "file"),
        ("invoice\u202egnp.exe", "invoicegnp.exe"),
        ("line\r\nset-cookie: a=1", "lineset-cookie: a=1"),
        ("x" * 300, "x" * 255),
        ("é" * 300, "é" * 127),
        ("Grüße ☃.txt", "Grüße ☃.txt"),
    ],
)
def test_names_are_for_showing(given, shown):
    assert display_name(given) == shown


def test_an_odd_name_cannot_break_a_header():
    async def work(client):
        body = b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nvision\r\n'
        name = 'a\\"; filename=\\"b ☃.exe'
        body += f'--b\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n\r\nx\r\n--b--\r\n'.encode()
        headers = {"content-type": "multipart/form-data; boundary=b"}
        id = (await client.post(PATH, content=body, headers=headers)).json()["id"]
        return (await client.get(f"{PATH}/{id}/content")).headers["content-disposition"]

    disposition = with_client(work)
    assert disposition.count('"') == 2 and disposition.isascii() and "%E2%98%83" in disposition


def test_a_file_may_be_as_large_as_the_cap_and_no_larger():
    async def work(client):
        return [(await put(client, data=bytes(size))).status_code for size in (1000, 1001, 500_000)]

    assert with_client(work, file_bytes=1000) == [200, 413, 413]


def test_an_owner_keeps_so_many_files_and_bytes():
    async def work(client):
        store = client.service.store
        ann, ben = [
            {"authorization": f"Bearer {(await store.create_key(owner=name, name=name))[1]}"} for name in ("ann", "ben")
        ]
        sizes = (60, 41, 40, 1)
        said = [await put(client, data=bytes(size), headers=ann) for size in sizes]
        others = await put(client, headers=ben)
        await client.delete(f"{PATH}/{said[0].json()['id']}", headers=ann)
        return said, others, await put(client, headers=ann)

    said, others, again = with_client(work, owner_files=2, owner_bytes=100)
    assert [answer.status_code for answer in said] == [200, 413, 200, 429]
    assert [said[number].json()["error"]["code"] for number in (1, 3)] == ["storage_full", "too_many_files"]
    assert said[3].headers["x-should-retry"] == "false"
    assert others.status_code == again.status_code == 200


def test_a_file_may_name_its_end(monkeypatch):
    with live(backend=Plain) as (url, _), openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        lasting = {"anchor": "created_at", "seconds": 3600}
        made = client.files.create(file=("a.txt", b"x"), purpose="vision", expires_after=lasting)
        stays = client.files.create(file=("b.txt", b"y"), purpose="vision")
        assert made.expires_at == made.created_at + 3600 and stays.expires_at is None
        assert [file.id for file in client.files.list()] == [stays.id, made.id]
        then = time.time() + 3601
        monkeypatch.setattr("firesteel.server.store.files.time.time", lambda: then)
        assert [file.id for file in client.files.list()] == [stays.id]
        for read in (client.files.retrieve, client.files.content):
            with pytest.raises(openai.NotFoundError):
                read(made.id)


@pytest.mark.parametrize(
    ("lasting", "param"),
    [
        ({"anchor": "tomorrow", "seconds": "3600"}, "anchor"),
        ({"seconds": "3600"}, "anchor"),
        ({"anchor": "created_at"}, "seconds"),
        ({"anchor": "created_at", "seconds": "3599"}, "seconds"),
        ({"anchor": "created_at", "seconds": "2592001"}, "seconds"),
        ({"anchor": "created_at", "seconds": "soon"}, "seconds"),
    ],
)
def test_an_end_that_cannot_be_is_told(lasting, param):
    async def work(client):
        data = {"purpose": "vision"} | {f"expires_after[{name}]": value for name, value in lasting.items()}
        return await client.post(PATH, files={"file": ("a", b"x")}, data=data)

    answer = with_client(work)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, f"expires_after.{param}")


def test_an_endless_body_is_not_read_to_its_end():
    async def work(client):
        sent = 0

        async def endless():
            nonlocal sent
            yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
            while sent < 100 << 20:
                sent += 1 << 16
                yield bytes(1 << 16)

        headers = {"content-type": "multipart/form-data; boundary=b"}
        answer = await client.post(PATH, content=endless(), headers=headers)
        return answer, sent

    answer, sent = with_client(work, file_bytes=1 << 20)
    assert sent < 2 << 20
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"json": {"purpose": "vision"}}, None),
        ({"files": {"file": ("a", b"x")}}, "purpose"),
        ({"files": {"file": ("a", b"x")}, "data": {"purpose": "world domination"}}, "purpose"),
        ({"files": {"other": ("a", b"x")}, "data": {"purpose": "vision"}}, "file"),
        ({"files": {"purpose": ("a", b"x"), "file": ("a", b"x")}}, None),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, None),
        ({"content": b"rubbish", "headers": {"content-type": "multipart/form-data; boundary=b"}}, None),
    ],
)
def test_bodies_that_are_no_upload_are_told(request_, param):
    async def work(client):
        return await client.post(PATH, **request_)

    answer = with_client(work)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_picture_can_be_asked_about_by_its_file():
    async def run():
        async with serving(backend=Scripted(says("grey"))) as client:
            id = (await put(client, "a.png", png(), "vision")).json()["id"]
            content = [{"type": "file", "file": {"file_id": id}}]
            body = {"model": "kindling", "messages": [{"role": "user", "content": content}]}
            answer = await client.post("/v1/chat/completions", json=body)
            return answer, client.service.backend.requests[0].messages[0].images

    answer, [image] = asyncio.run(run())
    assert answer.status_code == 200 and image.size == (4, 4)
