"""Seals prove who wrote a text, for whom and for what."""

import asyncio

from firesteel.server.responses.seal import Seals
from tests.server.serving import serving

TEXT = "a thought with ünïcödé \n" * 20


def sealed():
    async def main():
        async with serving() as client:
            first = await Seals(client.service).ready()
            again = await Seals(client.service).ready()  # after a restart, or on another replica
            files = (await client.get("/v1/files")).json()["data"]
            return first, again, files

    return asyncio.run(main())


def test_a_seal_opens_after_a_restart_and_is_smaller_than_its_text():
    first, again, files = sealed()
    blob = first.seal("ann", "reasoning", TEXT)
    assert again.open("ann", "reasoning", blob) == TEXT and len(blob) < len(TEXT) / 2
    assert files == []  # the secret is nobody's file


def test_what_is_damaged_foreign_or_meant_otherwise_does_not_open():
    seals, *_ = sealed()
    blob, (other, *_) = seals.seal("ann", "reasoning", TEXT), sealed()
    assert seals.open("bob", "reasoning", blob) is None
    assert seals.open("ann", "compaction", blob) is None
    assert seals.open("ann", "reasoning", other.seal("ann", "reasoning", TEXT)) is None
    for at in range(len(blob)):
        assert seals.open("ann", "reasoning", blob[:at]) is None
        changed = "A" if blob[at] != "A" else "B"
        assert seals.open("ann", "reasoning", blob[:at] + changed + blob[at + 1 :]) in (None, TEXT)  # unused last bits
    assert seals.open("ann", "reasoning", "no base64 ✓") is None


def test_text_that_is_no_unicode_can_be_sealed():
    seals, *_ = sealed()
    assert seals.open("a", "b", seals.seal("a", "b", "x\ud800")) == "x?"
