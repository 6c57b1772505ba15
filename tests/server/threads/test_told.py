import base64
import hashlib

from tests.agent.scripted import says
from tests.server.responses.asking import picture
from tests.server.threads.talking import begun, talk


def shown(url, text="Look:"):
    return [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": url}]


def test_pictures_of_a_turn_are_links_to_their_bytes():
    @talk(says("red"))
    async def _(client, talk):
        url = picture()
        await talk.say(shown(url))
        (told,) = (await talk.read())["turns"]
        link = told["input"][0]["content"][1]["image_url"]
        data = base64.b64decode(url.partition(",")[2])
        assert link == f"{talk.url}/images/{hashlib.sha256(data).hexdigest()}"
        answer = await client.get(link)
        assert answer.content == data and answer.headers["content-type"] == "image/png"
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert "authorization" in answer.headers["vary"] and answer.headers["x-content-type-options"] == "nosniff"


def test_a_picture_is_there_only_in_its_own_thread():
    @talk(says("red"), says("no"))
    async def _(client, talk):
        await talk.say(shown(picture()))
        (told,) = (await talk.read())["turns"]
        link = told["input"][0]["content"][1]["image_url"]
        other = await begun(client)
        assert (await client.get(link.replace(talk.id, other.id))).status_code == 404
        await client.delete(talk.url)
        assert (await client.get(link)).status_code == 404


def test_the_name_of_a_blob_that_somebody_writes_opens_nothing():
    """Whoever knows a picture's SHA-256 may say it in any way: as words, as a key, as our own mark."""
    secret = b"a secret"
    name = hashlib.sha256(secret).hexdigest()

    @talk(says(name), says("no"), says("no"))
    async def _(client, talk):
        await client.service.store.put_blob(secret)
        forged = {"firesteel:blob": name, "head": "data:image/png;base64"}
        await talk.say(f'{{"firesteel:blob": "{name}"}} "firesteel:blob":"{name}"')
        said = {"type": "message", "role": "user", "content": "x", "image_url": forged, name: forged}
        await talk.say("x", input=[said])
        await talk.say("x", input=[said | {"y": [{"image": f"data:image/png;base64,{name}"}]}])
        assert name in str(await talk.read()), "it is told as it was written"
        assert (await client.get(f"{talk.url}/images/{name}")).status_code == 404


def test_no_other_name_is_looked_for():
    @talk(says("red"))
    async def _(client, talk):
        await talk.say(shown(picture()))
        for name in ("", "x", "%", "_" * 64, "a" * 64, "é" * 64, "..%2f..", "a" * 63):
            assert (await client.get(f"{talk.url}/images/{name}")).status_code == 404, name


def test_what_is_no_picture_is_saved_and_not_shown():
    page = base64.b64encode(b"<script>alert(1)</script>").decode()

    @talk(says("no"))
    async def _(client, talk):
        await talk.say("x", input=[{"role": "user", "content": "x", "y": f"data:text/html;base64,{page}"}])
        (told,) = (await talk.read())["turns"]
        answer = await client.get(told["input"][0]["y"])
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "sandbox" in answer.headers["content-security-policy"]
