"""Threads on both databases."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from firesteel.server.store import Store
from tests.server.store.samples import response, run, thread, turn


def ids(found):
    return [each.id for each, _ in found]


async def tree(store):
    """1 - 2 - 3, and 4 and 5 beside 2."""
    await store.put_thread(thread())
    for number, previous in ((1, None), (2, 1), (3, 2), (4, 1), (5, 4)):
        before = previous and f"resp_{previous}"
        await store.put_response(turn(f"resp_{number}", f"question {number}", created=float(number), previous=before))


def test_a_thread_comes_back_to_its_owner_alone(url):
    async def use(store):
        made = thread(title="t", pinned=True, settings={"a": [1]}, leaf="x")
        await store.put_thread(made)
        return made, await store.get_thread("ann", made.id), await store.get_thread("bob", made.id)

    made, anns, bobs = run(url, use)
    assert anns == made and bobs is None


def test_a_turn_becomes_the_leaf_once_and_names_the_thread_once(url):
    async def use(store):
        await store.put_thread(thread())
        first = turn("resp_1", "  What is\n fire?  " + "x" * 100, status="queued")
        await store.put_response(first)
        begun = await store.get_thread("ann", "thread_1")
        await store.put_response(turn("resp_2", "And water?", previous="resp_1"))
        await store.put_response(replace(first, status="completed"))  # it ends after the other one began
        return begun, await store.get_thread("ann", "thread_1")

    begun, later = run(url, use)
    assert (begun.leaf, begun.title) == ("resp_1", "What is fire?…")
    assert (later.leaf, later.title) == ("resp_2", "What is fire?…")
    assert begun.created < begun.updated <= later.updated


def test_a_given_title_stays(url):
    async def use(store):
        await store.put_thread(thread(title="mine"))
        await store.put_response(turn("resp_1", "question"))
        return await store.get_thread("ann", "thread_1")

    assert run(url, use).title == "mine"


def test_changes_leave_the_rest_and_the_order_alone(url):
    async def use(store):
        await store.put_thread(thread(title="a", settings={"x": 1}))
        changed = await store.change_thread("ann", "thread_1", title="b", pinned=True)
        assert await store.change_thread("bob", "thread_1", title="c") is None
        assert await store.change_thread("ann", "thread_2", title="c") is None
        assert changed == await store.get_thread("ann", "thread_1") == await store.change_thread("ann", "thread_1")
        return changed

    assert run(url, use) == thread(title="b", settings={"x": 1}, pinned=True)


def test_the_list_has_pinned_ones_first_and_pages_do_not_overlap(url):
    async def use(store):
        for number in range(5):
            await store.put_thread(thread(f"thread_{number}", updated=float(number % 3), pinned=number == 0))
        await store.put_thread(thread("thread_b", owner="bob"))
        whole, paged, after = ids(await store.list_threads("ann")), [], None
        while page := ids(await store.list_threads("ann", 2, after)):
            paged += page
            after = page[-1]
        return whole, paged

    whole, paged = run(url, use)
    assert whole == paged == ["thread_0", "thread_2", "thread_4", "thread_1", "thread_3"]


def test_turns_come_in_order_and_with_what_follows_them(url):
    async def use(store):
        await tree(store)
        await store.put_response(response("resp_6", previous="resp_5"))  # of no thread
        turns = [each.id for each in await store.turns("ann", "thread_1")]
        return turns, [await store.turns_from("ann", "thread_1", f"resp_{number}") for number in (1, 2, 4, 6)]

    turns, following = run(url, use)
    assert turns == following[0] == [f"resp_{number}" for number in range(1, 6)]
    assert following[1:] == [["resp_2", "resp_3"], ["resp_4", "resp_5"], []]


@pytest.mark.parametrize(
    "deleted, left, leaf",
    [
        (["resp_5"], [1, 2, 3, 4], "resp_4"),
        (["resp_4"], [1, 2, 3], "resp_3"),
        (["resp_2"], [1, 4, 5], "resp_5"),
        (["resp_1"], [], None),
        (["resp_4", "resp_2"], [1], "resp_1"),
        (["resp_x"], [1, 2, 3, 4, 5], "resp_5"),
    ],
)
def test_deleted_turns_take_what_follows_and_the_leaf_moves_beside(url, deleted, left, leaf):
    async def use(store):
        await tree(store)
        for id in deleted:
            await store.delete_turns("bob", "thread_1", id)
            await store.delete_turns("ann", "thread_1", id)
        found = [await store.list_threads("ann", query=f"question {number}") for number in range(1, 6)]
        return await store.turns("ann", "thread_1"), await store.get_thread("ann", "thread_1"), found

    turns, kept, found = run(url, use)
    assert [turn.id for turn in turns] == [f"resp_{number}" for number in left]
    assert kept.leaf == leaf
    # The first question is also the title.
    assert [bool(hits) for hits in found] == [number in {1, *left} for number in range(1, 6)]


def test_a_response_that_is_deleted_alone_is_no_leaf_and_not_found(url):
    async def use(store):
        await store.put_thread(thread(title="t"))
        await store.put_response(turn("resp_1", "needle"))
        await store.delete_response("ann", "resp_1")
        return await store.get_thread("ann", "thread_1"), await store.list_threads("ann", query="needle")

    kept, found = run(url, use)
    assert kept.leaf is None and found == []


def test_search_finds_questions_answers_and_titles_by_the_beginnings_of_words(url):
    async def use(store):
        await store.put_thread(thread(title="Groceries"))
        await store.put_response(turn("resp_1", "Is an Éclair sweet?", "Yes: very sweet, indeed."))
        await store.put_thread(thread("thread_2", title="other"))
        await store.put_response(turn("resp_2", "x", "A SWEETENER is not.", thread="thread_2"))
        await store.put_thread(thread("thread_3", owner="bob", title="sweet groceries"))
        queries = ("sweet", "SWEET eclair", "groc", "weet", "sweet groceries", "sweetener yes", "", "?", "indeed")
        return [await store.list_threads("ann", query=query) for query in queries]

    found = run(url, use)
    assert [ids(each) for each in found] == [
        ["thread_2", "thread_1"], ["thread_1"], ["thread_1"], [], [], [], [], [], ["thread_1"]
    ]  # fmt: skip
    assert [snippet for _, snippet in found[0]] == [
        "x A \2SWEETENER\3 is not.",
        "Is an Éclair \2sweet\3? Yes: very \2sweet\3, indeed.",
    ]
    assert found[2][0][1] == "\2Groceries\3"


ODD = [
    'a" OR "b', "a* OR b*", "NEAR(a b)", "words: a", "a:*", "a & b | !c", "'a'", "a'; DROP TABLE texts; --", "\\", "%",
    "_", "\0", "\ud800", "a\0b", "^a", "-a", "+a", "{a b}", "(", ")", '"', "𝐚𝟏", "日本", "a" * 5000, "x " * 5000,
    "<->", "a <2> b",
]  # fmt: skip


@pytest.mark.parametrize("at", range(0, len(ODD), 9))
def test_odd_queries_find_what_was_said_and_are_never_syntax(url, at):
    async def use(store):
        await store.put_thread(thread(title="unrelated"))
        found = []
        for number, odd in enumerate(ODD[at : at + 9]):
            other = f"thread_{number + 2}"
            await store.put_thread(thread(other))
            await store.put_response(turn(f"resp_{number}", odd, thread=other))
            found.append((odd, other, ids(await store.list_threads("ann", query=odd))))
        assert [snippet for _, snippet in await store.list_threads("ann", query="unrelated")] == ["\2unrelated\3"]
        return found

    for odd, other, found in run(url, use):
        assert (other in found) == any(character.isalnum() for character in odd), odd
        assert "thread_1" not in found


def test_the_words_of_a_turn_are_found_when_it_ended_and_only_its_last_ones(url):
    async def use(store):
        await store.put_thread(thread(title="t"))
        found = []
        for status, answer in (("in_progress", "alpha"), ("completed", "beta"), ("completed", "gamma")):
            await store.put_response(turn("resp_1", "q", answer, status=status))
            found.append([len(await store.list_threads("ann", query=word)) for word in ("alpha", "beta", "gamma")])
        return found

    assert run(url, use) == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_new_title_takes_the_place_of_the_old_in_the_search(url):
    async def use(store):
        await store.put_thread(thread(title="old"))
        await store.change_thread("ann", "thread_1", title="new")
        return [len(await store.list_threads("ann", query=word)) for word in ("old", "new")]

    assert run(url, use) == [0, 1]


def test_a_very_long_text_is_kept_as_far_as_it_is_searched(url):
    said = " ".join(f"word{number}" for number in range(50_000)) + "\ufdfa" * 50_000

    async def use(store):
        await store.put_thread(thread(title="t"))
        await store.put_response(turn("resp_1", "q", said))
        return [len(await store.list_threads("ann", query=word)) for word in ("word7", "word49999")]

    assert run(url, use) == [1, 0]


def test_a_deleted_thread_is_unseen_until_it_is_restored(url):
    async def use(store):
        await tree(store)
        assert not await store.delete_thread("bob", "thread_1", 5000.0)
        assert await store.delete_thread("ann", "thread_1", 5000.0)
        assert not await store.delete_thread("ann", "thread_1", 6000.0), "the day has begun"
        unseen = (
            await store.get_thread("ann", "thread_1"),
            await store.change_thread("ann", "thread_1", title="x"),
            await store.list_threads("ann"),
            await store.list_threads("ann", query="question"),
        )
        assert not await store.restore_thread("bob", "thread_1", 0)
        assert not await store.restore_thread("ann", "thread_1", 5000.0), "too late"
        assert await store.restore_thread("ann", "thread_1", 4999.0)
        return unseen, await store.get_thread("ann", "thread_1"), await store.list_threads("ann", query="question")

    unseen, seen, found = run(url, use)
    assert unseen == (None, None, [], []) and seen.title == "question 1" and ids(found) == ["thread_1"]


def test_a_purge_takes_what_was_deleted_before_and_all_that_hangs_on_it(url):
    async def use(store):
        await tree(store)
        await store.append_events("ann", "resp_1", [(0, "{}")])
        await store.put_thread(thread("thread_2"))
        await store.put_response(turn("resp_9", "stays", thread="thread_2"))
        await store.put_thread(thread("thread_3", owner="bob"))
        await store.put_response(turn("resp_1", "of bob", thread="thread_3", owner="bob"))
        for owner, id, when in (("ann", "thread_1", 100.0), ("ann", "thread_2", 200.0)):
            await store.delete_thread(owner, id, when)
        await store.purge_threads(200.0)
        gone = await store.turns("ann", "thread_1"), await store.events("ann", "resp_1")
        assert not await store.restore_thread("ann", "thread_1", 0) and await store.restore_thread("ann", "thread_2", 0)
        count = "SELECT count(*) FROM texts WHERE thread = 'thread_1'"
        words = await store._read(lambda connection: connection.execute(text(count)).scalar())
        return gone, words, await store.get_response("ann", "resp_9"), await store.get_response("bob", "resp_1")

    gone, words, kept, bobs = run(url, use)
    assert gone == ([], []) and words == 0 and kept is not None and bobs is not None


def test_a_turn_of_a_thread_that_was_purged_meanwhile_can_be_stored(url):
    late = turn("resp_1", "late", thread="thread_gone")

    async def use(store):
        await store.put_response(late)
        return await store.get_response("ann", "resp_1")

    assert run(url, use) == late


def test_turns_of_long_ago_are_found_and_change_nothing_of_their_thread(url):
    async def use(store):
        await store.put_thread(thread(title="t", leaf="resp_1"))
        await store.put_turns("ann", "thread_1", [turn("resp_1", "needle"), turn("resp_2", "b")])
        return await store.list_threads("ann", query="needle"), await store.turns("ann", "thread_1")

    found, turns = run(url, use)
    assert found[0][0] == thread(title="t", leaf="resp_1") and [each.id for each in turns] == ["resp_1", "resp_2"]


def test_the_index_of_sqlite_stays_whole(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"

    async def main():
        store = await Store.open(url)
        await tree(store)
        await store.delete_turns("ann", "thread_1", "resp_2")
        await store.delete_thread("ann", "thread_1", 1.0)
        await store.put_thread(thread("thread_2", title="left"))
        await store.purge_threads(2.0)
        check = "INSERT INTO texts_words (texts_words, rank) VALUES ('integrity-check', 1)"
        await store._write(lambda connection: connection.execute(text(check)))
        await store.close()

    asyncio.run(main())
