import asyncio
import time

import pytest

from firesteel.server.admin import quantile
from tests.agent.scripted import says
from tests.server.serving import serving

KEYS, USAGE, HEALTH = "/v1/admin/keys", "/v1/admin/usage", "/v1/admin/health"


def bearer(secret):
    return {"authorization": f"Bearer {secret}"}


def operated(*lines):
    """Runs `work(client, admin)` with the headers of an operator's key."""

    def decorated(work):
        async def main():
            async with serving(*lines) as client:
                _, secret = await client.service.store.create_key(name="operator", admin=True)
                return await work(client, bearer(secret))

        return asyncio.run(main())

    return decorated


def test_without_keys_the_local_user_is_the_operator():
    async def main():
        async with serving() as client:
            assert (await client.get(KEYS)).json()["data"] == []
            assert (await client.get(USAGE)).json()["data"] == []

    asyncio.run(main())


def test_the_first_key_has_the_right_itself_and_then_one_is_needed():
    async def main():
        async with serving() as client:
            refused = await client.post(KEYS, json={"name": "k"})
            assert refused.status_code == 400 and refused.json()["error"]["param"] == "admin"
            assert (await client.get(KEYS)).json()["data"] == []
            made = (await client.post(KEYS, json={"name": "k", "admin": True})).json()
            client.service.access._any._at = float("-inf")  # two seconds later
            assert (await client.get(KEYS)).status_code == 401
            (key,) = (await client.get(KEYS, headers=bearer(made["secret"]))).json()["data"]
            second = (await client.post(KEYS, headers=bearer(made["secret"]), json={"name": "l"})).json()
            assert second["owner"] == second["id"]
            assert (key["id"], key["owner"], key["admin"]) == (made["id"], "local", True)

    asyncio.run(main())


@pytest.mark.parametrize(
    "method, path", [("GET", USAGE), ("GET", HEALTH), ("GET", KEYS), ("POST", KEYS), ("POST", f"{KEYS}/key_x/revoke")]
)
def test_a_key_without_the_right_sees_and_makes_nothing(method, path):
    @operated()
    async def _(client, admin):
        _, secret = await client.service.store.create_key(name="user", tools=["*"])
        body = {"name": "mine", "admin": True}
        answer = await client.request(method, path, headers=bearer(secret), json=body)
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "admin_only"
        assert (await client.request(method, path, json=body)).status_code == 401
        assert len(await client.service.store.keys()) == 2


def test_rights_and_limits_reach_the_key_and_its_secret_is_shown_once():
    rights = {
        "name": "ci",
        "owner": "team",
        "modes": ["instant"],
        "tools": ["python", "*"],
        "requests_per_minute": 5,
        "tokens_per_minute": 6,
        "monthly_tokens": 7,
        "expires_at": 4e9,
        "admin": False,
    }

    @operated()
    async def _(client, admin):
        made = (await client.post(KEYS, headers=admin, json=rights)).json()
        assert rights.items() <= made.items() and made["status"] == "active"
        found = await client.service.store.find_key(made["secret"])
        assert (found.id, found.monthly_tokens, found.modes) == (made["id"], 7, ("instant",))
        listed = (await client.get(KEYS, headers=admin)).json()["data"]
        assert [key["name"] for key in listed] == ["operator", "ci"] and made["secret"] not in str(listed)
        assert "digest" not in listed[0]
        assert listed[1] == {name: value for name, value in made.items() if name != "secret"}


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"name": ""}, {"name": " "}, {"name": "x" * 129}, {"name": "k", "owner": ""},
        {"name": "k", "modes": ["best"]}, {"name": "k", "tools": ["rm"]}, {"name": "k", "requests_per_minute": 0},
        {"name": "k", "monthly_tokens": 2**60}, {"name": "k", "expires_at": -1}, {"name": "k", "admin": "perhaps"},
    ],
)  # fmt: skip
def test_wrong_rights_make_no_key(wrong):
    @operated()
    async def _(client, admin):
        assert (await client.post(KEYS, headers=admin, json=wrong)).status_code == 400
        assert len(await client.service.store.keys()) == 1


def test_a_revoked_key_is_told_and_refused():
    @operated()
    async def _(client, admin):
        made = (await client.post(KEYS, headers=admin, json={"name": "k", "expires_at": 1})).json()
        assert made["status"] == "expired"
        assert (await client.post(f"{KEYS}/{made['id']}/revoke", headers=admin)).json()["revoked"] is True
        assert (await client.post(f"{KEYS}/{made['id']}/revoke", headers=admin)).status_code == 404
        assert (await client.get(KEYS, headers=admin)).json()["data"][1]["status"] == "revoked"
        assert (await client.get("/v1/models", headers=bearer(made["secret"]))).status_code == 401


def test_usage_is_told_by_key_and_since():
    @operated(says("yes"))
    async def _(client, admin):
        key, secret = await client.service.store.create_key(name="user")
        body = {"model": "kindling", "messages": [{"role": "user", "content": "hi"}]}
        await client.post("/v1/chat/completions", headers=bearer(secret), json=body)
        (row,) = (await client.get(USAGE, headers=admin)).json()["data"]
        assert (row["key"], row["name"], row["mode"], row["requests"]) == (key.id, "user", "thinking", 1)
        assert row["prompt_tokens"] == 10 and row["completion_tokens"] > 0
        later = int(time.time()) + 200_000
        assert (await client.get(USAGE, headers=admin, params={"since": later})).json()["data"] == []
        assert (await client.get(USAGE, headers=admin, params={"since": "x"})).status_code == 400


def test_health_tells_places_and_times():
    @operated(says("yes"))
    async def _(client, admin):
        before = (await client.get(HEALTH, headers=admin)).json()
        assert before["seconds"]["whole"] == {"count": 0, "p50": None, "p95": None}
        body = {"model": "kindling", "messages": [{"role": "user", "content": "hi"}]}
        await client.post("/v1/chat/completions", headers=admin, json=body)
        told = (await client.get(HEALTH, headers=admin)).json()
        assert told["slots"] == {"total": 8, "free": 8} and told["queue"] == {"most": 64, "waiting": 0}
        assert (told["running"], told["draining"], told["backend"]) == (0, False, "scripted")
        assert told["seconds"]["whole"]["count"] == 1 and 0 < told["seconds"]["first_token"]["p95"] <= 600


def test_a_quantile_lies_in_its_bucket_in_proportion():
    counts = [(1.0, 0.0), (2.0, 10.0), (4.0, 20.0), (float("inf"), 20.0)]
    assert (quantile(counts, 0.25), quantile(counts, 0.5), quantile(counts, 0.75)) == (1.5, 2.0, 3.0)
    assert quantile([(1.0, 0.0), (float("inf"), 2.0)], 0.5) == 1.0
    assert quantile([(1.0, 0.0), (float("inf"), 0.0)], 0.5) is None
