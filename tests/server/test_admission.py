"""The queue in front of the slots: who gets in, in which order, who is sent away, and that no slot is ever lost."""

import asyncio
import random

import pytest

from firesteel.server.admission import Admission
from firesteel.server.errors import ApiError


class Guest:
    """Somebody who holds a place until told to leave."""

    def __init__(self, admission, cost=1, patience=None):
        self.inside, self.leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._stay(admission, cost, patience))

    async def _stay(self, admission, cost, patience):
        async with admission.place(cost, patience):
            self.inside.set()
            await self.leave.wait()

    async def gone(self):
        self.leave.set()
        await self.task


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


def refused(admission, cost=1, patience=None):
    """The refusal of a place, which comes without anybody else's turn."""

    async def ask():
        async with admission.place(cost, patience):
            raise AssertionError("there was a place")

    with pytest.raises(ApiError) as caught:
        ask().send(None)  # one step: whoever would wait here yields a future instead
    return caught.value


def test_a_full_queue_refuses_at_once_with_the_time_to_come_back():
    async def main():
        admission = Admission(1, 1, 60)
        admission._note(4.0)
        inside, waiting = Guest(admission), Guest(admission)
        await turns()
        assert (admission.running, admission.waiting) == (1, 1)
        error = refused(admission)
        assert error.status == 429 and error.code == "overloaded"
        assert error.headers["retry-after"] == "8"  # two of four seconds each stand before it
        assert admission.refused == 1
        await inside.gone()
        await waiting.gone()
        assert admission.slots.free == 1

    asyncio.run(main())


def test_nobody_is_let_wait_who_would_wait_too_long():
    async def main():
        admission = Admission(2, 100, 10)
        admission._note(30.0)  # seconds a slot is held
        guests = [Guest(admission), Guest(admission)]
        await turns()
        assert refused(admission).headers["retry-after"] == "15"
        for guest in guests:
            await guest.gone()

    asyncio.run(main())


def test_before_anything_ended_the_advice_is_a_second():
    async def main():
        admission = Admission(1, 0, 10)
        guest = Guest(admission)
        await turns()
        assert refused(admission).headers == {"retry-after": "1", "retry-after-ms": "1000"}
        await guest.gone()

    asyncio.run(main())


def test_who_comes_first_is_served_first_also_before_smaller_requests():
    async def main():
        admission = Admission(2, 10, 60)
        first = Guest(admission)
        await turns()
        large, small = Guest(admission, 2), Guest(admission, 1)
        await turns()
        assert not large.inside.is_set() and not small.inside.is_set()
        await first.gone()
        await turns()
        assert large.inside.is_set() and not small.inside.is_set()
        await large.gone()
        await turns()
        assert small.inside.is_set()
        await small.gone()

    asyncio.run(main())


def test_a_request_larger_than_the_machine_takes_all_of_it():
    async def main():
        admission = Admission(2, 10, 60)
        async with admission.place(100):
            assert admission.slots.free == 0
        assert admission.slots.free == 2

    asyncio.run(main())


@pytest.mark.parametrize(("queue_seconds", "patience"), [(0.02, None), (60, 0.02)])
def test_patience_ends_in_the_queue(queue_seconds, patience):
    async def main():
        admission = Admission(1, 10, queue_seconds)
        guest = Guest(admission)
        await turns()
        late = Guest(admission, patience=patience)
        with pytest.raises(ApiError, match=r"within 0\.02 seconds") as caught:
            await late.task
        assert caught.value.status == 429
        assert (admission.running, admission.waiting, admission.slots.free) == (1, 0, 0)
        await guest.gone()
        assert admission.wait(1) == 0

    asyncio.run(main())


def test_patience_counts_only_in_the_queue():
    async def main():
        admission = Admission(1, 10, 0.01)
        async with admission.place(1):
            await asyncio.sleep(0.05)

    asyncio.run(main())


def test_who_gives_up_waiting_makes_room_in_the_queue():
    async def main():
        admission = Admission(1, 1, 60)
        guest, waiting = Guest(admission), Guest(admission)
        await turns()
        waiting.task.cancel()
        await turns()
        assert admission.waiting == 0
        following = Guest(admission)
        await turns()
        await guest.gone()
        await turns()
        assert following.inside.is_set()
        await following.gone()

    asyncio.run(main())


def test_who_drains_refuses_all_but_those_who_are_there():
    async def main():
        admission = Admission(1, 10, 60)
        guest, waiting = Guest(admission), Guest(admission)
        await turns()
        admission.draining = True
        error = refused(admission)
        assert error.status == 503 and "retry-after" in error.headers
        idle = asyncio.create_task(admission.idle())
        await guest.gone()
        await turns()
        assert waiting.inside.is_set() and not idle.done()
        await waiting.gone()
        await asyncio.wait_for(idle, 60)

    asyncio.run(main())


def test_a_failure_within_gives_the_place_back():
    async def main():
        admission = Admission(1, 10, 60)
        with pytest.raises(TimeoutError):
            async with admission.place(1):
                raise TimeoutError  # of a tool, not of the queue
        assert (admission.running, admission.slots.free) == (0, 1)

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(3))
def test_no_slot_is_lost_after_a_thousand_random_cancels(seed):
    async def main():
        chance = random.Random(seed)
        admission = Admission(4, 10_000, 0.02)

        async def visit():
            async with admission.place(chance.choice((1, 1, 2, 4))):
                await asyncio.sleep(chance.random() * 0.002)

        async def visit_and_leave():
            task = asyncio.create_task(visit())
            for _ in range(chance.randrange(8)):  # also at the very moment of being let in
                await asyncio.sleep(0 if chance.random() < 0.7 else chance.random() * 0.003)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        for _ in range(20):
            await asyncio.gather(*(visit_and_leave() for _ in range(50)))
        assert (admission.running, admission.waiting, admission.slots.free) == (0, 0, 4)
        assert admission.wait(4) == 0
        async with admission.place(4):
            pass

    asyncio.run(main())
