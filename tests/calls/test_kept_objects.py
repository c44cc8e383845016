"""Objects that are kept for the next call hold nothing of the last one, are never shared by two, and harm nobody."""

import gc
import threading
import weakref
from typing import Any

import pytest

from breaker import Breaker, Permit, Policy
from support.drive import Make, identity
from support.samples import Pause, at_once
from support.scripts import completed, outcome

MORE_THAN_ARE_KEPT = 200


class Thing:
    """Something whose end can be seen."""


async def wait(value: Any) -> Any:
    await Pause(None)
    return value


async def awaited(breaker: Breaker, value: Any) -> Any:
    return await breaker.do(at_once, value)


@pytest.fixture
def breaker(make_breaker: Make) -> Breaker:
    return make_breaker(Policy(10**9))


def guarded_coroutines(breaker: Breaker) -> list[Any]:
    """All that the collector knows, those that are kept too."""
    kind = type(started := breaker.do(wait, None))
    started.close()
    del started
    return [found for found in gc.get_objects() if type(found) is kind]


def test_an_awaited_value_lives_no_longer_than_its_holder(breaker: Breaker) -> None:
    for _ in range(3):
        value = Thing()
        seen = weakref.ref(value)
        assert completed(awaited(breaker, value)) is value
        del value
        assert seen() is None


def test_a_value_fetched_by_hand_stays_with_its_exception(breaker: Breaker) -> None:
    ends = []
    for number in range(MORE_THAN_ARE_KEPT):
        with pytest.raises(StopIteration) as caught:
            next(breaker.do(at_once, [number]).__await__())
        ends.append(caught.value)
    assert [end.value for end in ends] == [[number] for number in range(MORE_THAN_ARE_KEPT)]
    assert all(end.__traceback__ is not None for end in ends)
    value = Thing()
    seen = weakref.ref(value)
    ends.clear()
    with pytest.raises(StopIteration) as caught:
        next(breaker.do(at_once, value).__await__())
    assert caught.value.value is value
    del caught, value
    gc.collect()
    assert seen() is None


def test_many_at_once_are_not_mixed_up(breaker: Breaker) -> None:
    for _ in range(3):
        waiting = [breaker.do(wait, number) for number in range(MORE_THAN_ARE_KEPT)]
        assert len({id(each) for each in waiting}) == MORE_THAN_ARE_KEPT
        for each in waiting:
            each.send(None)
        ended = [outcome(lambda each=each: each.send(None)) for each in waiting]
        assert ended == [("stop", number) for number in range(MORE_THAN_ARE_KEPT)]
    assert breaker.snapshot().successes == 3 * MORE_THAN_ARE_KEPT


def test_one_inside_another_to_any_depth(breaker: Breaker) -> None:
    for depth in (10, MORE_THAN_ARE_KEPT):
        value: Any = Thing()
        seen = weakref.ref(value)
        for _ in range(depth):
            value = breaker.do(wait, value)
            value.send(None)
        del value
        assert seen() is None
        assert breaker.snapshot().ignored >= depth
    assert completed(awaited(breaker, 5)) == 5


def test_a_cycle_through_one_that_was_kept_is_collected(breaker: Breaker) -> None:
    class Holder:
        held: Any

    for _ in range(3):
        assert completed(awaited(breaker, 1)) == 1
        gc.collect()  # what is kept is old by now
        holder = Holder()
        seen = weakref.ref(holder)
        holder.held = breaker.do(wait, holder)
        holder.held.send(None)
        del holder
        gc.collect()
        assert seen() is None
    assert breaker.snapshot().ignored == 3


def test_what_the_collector_shows_is_harmless(breaker: Breaker) -> None:
    completed(awaited(breaker, 1))
    before = breaker.snapshot()
    for found in (found for found in guarded_coroutines(breaker) if "guarded by None" in repr(found)):
        for use in (
            lambda found=found: found.send(None),
            lambda found=found: found.send(1),
            lambda found=found: found.throw(ValueError()),
            lambda found=found: found.close(),
            lambda found=found: next(found.__await__()),
            lambda found=found: found.cr_frame,
        ):
            assert outcome(use)[0] == "error"
    assert breaker.snapshot().successes == before.successes
    assert completed(awaited(breaker, 2)) == 2


def test_finding_one_while_it_is_freed_does_not_disturb_it(breaker: Breaker) -> None:
    found: list[Any] = []

    class Nosy:
        def __del__(self) -> None:
            gc.collect()
            found.extend(guarded_coroutines(breaker))

    for _ in range(3):
        assert isinstance(completed(awaited(breaker, Nosy())), Nosy)
        flow = breaker.do(wait, Nosy())
        flow.send(None)
        del flow
        assert completed(awaited(breaker, 7)) == 7
    found.clear()
    gc.collect()
    assert [completed(awaited(breaker, number)) for number in range(MORE_THAN_ARE_KEPT)] == list(
        range(MORE_THAN_ARE_KEPT)
    )


def permits() -> list[Any]:
    """All that the collector knows."""
    return [found for found in gc.get_objects() if type(found) is Permit]


def test_permits_are_not_mixed_up_and_a_settled_one_holds_no_breaker(make_breaker: Make) -> None:
    breakers = [make_breaker(Policy(10**9), name=f"test:{number}") for number in range(2)]
    for _ in range(3):
        held = [breakers[number % 2].acquire() for number in range(MORE_THAN_ARE_KEPT)]
        assert len({id(permit) for permit in held}) == MORE_THAN_ARE_KEPT
        for number, permit in enumerate(held):
            permit.failure() if number % 2 else permit.success()
    del held, permit
    seen = [(each.snapshot().successes, each.snapshot().failures) for each in breakers]
    assert seen == [(3 * MORE_THAN_ARE_KEPT // 2, 0), (0, 3 * MORE_THAN_ARE_KEPT // 2)]
    for each in breakers:
        assert not [found for found in permits() if each in gc.get_referents(found)]


def test_a_permit_that_was_dropped_is_ignored_and_the_next_is_new(breaker: Breaker) -> None:
    for _ in range(3):
        del [breaker.acquire() for _ in range(MORE_THAN_ARE_KEPT)][:]
        with breaker.acquire():
            pass
    assert breaker.snapshot().ignored == 3 * MORE_THAN_ARE_KEPT
    assert breaker.snapshot().successes == 3


def test_a_permit_in_a_cycle_is_collected_also_after_a_freeze(breaker: Breaker) -> None:
    with breaker.acquire():
        pass
    gc.freeze()
    try:
        found = breaker.acquire()
        assert found in permits()
        holder: list[Any] = [found, Thing()]
        seen = weakref.ref(holder[1])
        holder.append(holder)
        del found, holder
        gc.collect()
        assert seen() is None
    finally:
        gc.unfreeze()
    assert breaker.snapshot().ignored == 1


def test_the_end_of_a_block_takes_three_things(breaker: Breaker) -> None:
    permit = breaker.acquire()
    for wrong in ((), (None, None), (None,) * 4):
        with pytest.raises(TypeError, match=rf"__exit__\(\) takes 3 positional arguments, got {len(wrong)}"):
            permit.__exit__(*wrong)
    assert breaker.snapshot().ignored == breaker.snapshot().successes == 0
    assert permit.__exit__(None, None, None) is False
    assert permit.__exit__(ValueError, ValueError(), None) is False, "settled already"
    assert breaker.snapshot().successes == 1
    assert breaker.snapshot().failures == 0


def test_threads_never_get_each_others(breaker: Breaker) -> None:
    wrong: list[object] = []

    def work(name: int) -> None:
        for number in range(3000):
            value = (name, number)
            if completed(awaited(breaker, value)) is not value:
                wrong.append(value)
            waiting = breaker.do(wait, value)
            waiting.send(None)
            if outcome(lambda waiting=waiting: waiting.send(None)) != ("stop", value):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert breaker.snapshot().successes == 8 * 2 * 3000
    assert breaker.do(identity, 1) == 1
