"""The loop step by step, over a scripted session: which member is tried when, what is lost, how long it waits."""

from typing import Any

import pytest

from breaker.errors import Interrupted, Refused, Unreachable
from breaker.sources.etcd.pace import Pace
from breaker.sources.etcd.transport import Endpoint
from support.etcd.scripted import A, B, Read, ScriptedSession, ScriptedWatch, Store, run


def test_pauses_grow_to_a_limit_and_begin_anew_after_a_good_watch(store: Store, watch: ScriptedWatch) -> None:
    def good() -> Read:
        watch.time_goes(30)
        return Unreachable("cut")

    store.refusals = [*[Unreachable("down")] * 12, None]
    store.reads = [good]
    run(store, watch)
    growing, after = watch.pauses[:12], watch.pauses[12]
    assert all(0.5 * step <= pause <= step for pause, step in zip(growing[:2], (0.2, 0.4), strict=True))
    assert all(2 <= pause <= 4 for pause in growing[8:])
    assert after <= 0.2


def test_a_refusal_waits_long_and_is_no_reason_to_wait_at_the_start(store: Store, watch: ScriptedWatch) -> None:
    store.refusals = [Refused("wrong password")] * 30
    run(store, watch)
    assert all(2.5 <= pause <= 5 for pause in watch.pauses)
    assert watch.problems[0] == ("wrong password", "Refused", False)


def test_a_start_is_reported_as_failed_when_no_member_has_answered(store: Store, watch: ScriptedWatch) -> None:
    store.refusals = [Unreachable("first"), Unreachable("second"), None]
    run(store, watch, A, B)
    assert [problem for problem, _, _ in watch.problems] == ["second"]
    assert watch.published == [({}, 1, False)] * 2  # when it is listed, and when it is back
    assert [keys["error"] for keys in watch.warnings] == ["first"]


def test_a_member_that_is_down_is_no_failure_while_another_answers(store: Store, watch: ScriptedWatch) -> None:
    store.refusals = [Unreachable("down"), None]
    run(store, watch, A, B)
    assert watch.problems == []
    assert set(store.opened) == {A, B}


def test_a_lost_connection_goes_to_the_next_member_and_is_no_loss(store: Store, watch: ScriptedWatch) -> None:
    store.reads = [Unreachable("killed"), None]
    run(store, watch, A, B)
    assert (watch.problems, watch.warnings) == ([], [])
    assert set(store.opened) == {A, B}


@pytest.mark.parametrize("members", [[A], [A, B]], ids=len)
def test_lost_is_said_when_every_member_has_failed_too(
    store: Store, watch: ScriptedWatch, members: list[Endpoint]
) -> None:
    # S131
    store.refusals = [None, *[Unreachable(f"down {number}") for number in range(5)], None]
    store.reads = [Unreachable("killed"), None]
    run(store, watch, *members)
    last = len(members) - 1
    assert watch.problems == [(f"down {number}", "Unreachable", True) for number in range(last, 5)]
    assert [keys["error"] for keys in watch.warnings] == ["down 0"][:last]


def test_a_watch_that_is_cut_again_and_again_is_no_loss_and_pauses_do_not_grow(
    store: Store, watch: ScriptedWatch
) -> None:
    # S131
    def cut() -> Read:
        watch.time_goes(2)
        return Unreachable("cut by a proxy")

    store.reads = [cut] * 20
    run(store, watch)
    assert (watch.problems, watch.warnings) == ([], [])
    assert len(watch.pauses) >= 20
    assert max(watch.pauses) <= 0.2


def test_an_episode_of_a_server_that_comes_back_only_to_fail_again_has_one_end(
    store: Store, watch: ScriptedWatch
) -> None:
    """It confirms its watch, and then lies."""
    # S131

    def lasts() -> Read:
        watch.time_goes(1.5)
        return None

    store.reads = [*[Refused("lies")] * 12, lasts, None]
    run(store, watch)
    assert [problem for problem, _, _ in watch.problems] == ["lies"] * 12
    assert watch.places == ["http://a:1"] * 2  # at first, and when it had lasted
    assert [pause > 2 for pause in watch.pauses[:12]] == [True] * 12


def test_a_watch_that_ends_at_once_makes_pauses_longer_and_is_no_loss(store: Store, watch: ScriptedWatch) -> None:
    store.reads = [Unreachable("hung up")] * 20
    run(store, watch)
    assert (watch.problems, watch.warnings) == ([], [])
    assert min(watch.pauses[8:]) >= 2


def test_all_members_are_tried_before_the_next_pause(store: Store, watch: ScriptedWatch) -> None:
    store.refusals = [Unreachable("down")] * 29
    run(store, watch, A, B, Endpoint("c", 3, False))
    assert all(pause <= 0.2 for number, pause in enumerate(watch.pauses, 1) if number % 3)
    assert [pause > 1.9 for pause in watch.pauses[17:27:3]] == [True] * 4


def test_a_member_that_is_given_up_is_said_once_until_it_answers(store: Store, watch: ScriptedWatch) -> None:
    """Whatever is wrong with it, and however often it is tried."""
    # S131
    bad = Unreachable("one byte a second")
    store.refusals = [bad, None, bad, None, bad, None, None]  # the watch of the other one is cut, and it is tried again
    store.reads = [Unreachable("cut")] * 3
    run(store, watch, A, B)
    assert watch.problems == []
    assert [keys["error"] for keys in watch.warnings] == ["one byte a second"]


def test_a_compaction_stays_with_the_member_and_is_no_failure(store: Store, watch: ScriptedWatch) -> None:
    store.reads = [Interrupted("compacted"), None]
    run(store, watch, A, B)
    assert watch.problems == []
    assert len(set(store.opened)) == 1
    assert len(watch.published) == 2


def test_interruptions_without_end_are_reported(store: Store, watch: ScriptedWatch) -> None:
    store.reads = [Interrupted("compacted")] * 5
    run(store, watch, A)
    assert ("compacted", "Interrupted", True) in watch.problems


def test_what_can_be_read_and_not_watched_is_in_force_and_no_connection(store: Store, watch: ScriptedWatch) -> None:
    store.put("a.json", watched=False)
    store.unwatchable = [Refused("no watches here")] * 3
    store.reads = [lambda: watch.time_goes(1.5), None]
    run(store, watch)
    assert watch.problems == [("no watches here", "Refused", False)] * 3
    assert [sorted(documents) for documents, _, _ in watch.published] == [["a.json"]] * 5
    assert watch.places == ["http://a:1"] * 2  # when it was listed first, and when it had been watched for a second


def test_a_listing_is_in_force_before_the_watch_is_asked_for(
    store: Store, watch: ScriptedWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # S132
    def look(self: ScriptedSession, *args: Any) -> None:
        assert [sorted(documents) for documents, _, _ in watch.published] == [["a.json"]]

    store.put("a.json", watched=False)
    monkeypatch.setattr(ScriptedSession, "watch", look)
    run(store, watch)
    assert watch.places == ["http://a:1"]


def test_listings_of_much_come_no_more_often_than_the_processor_time_allows(
    store: Store, watch: ScriptedWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a prefix of which one listing takes a second, behind something that ends each watch."""
    used = [0.0]
    monkeypatch.setattr("breaker.sources.etcd.pace.time.thread_time", lambda: used[0])

    def listed_again() -> Read:
        used[0] += 1.0
        watch.time_goes(1.5)
        return Unreachable("cut")

    store.reads = [listed_again, listed_again]
    run(store, watch)
    first, second, *_ = [pause for pause in watch.pauses if pause > 4]  # longer than those between failures
    assert first == pytest.approx((1.0 - 0.25) / 0.08)
    assert second == pytest.approx((2.0 - 0.25) / 0.08 - 1.5)  # time stands while this watch waits


def test_a_watch_whose_messages_cost_much_is_read_more_slowly_and_loses_nothing(
    store: Store, watch: ScriptedWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = [0.0]
    monkeypatch.setattr("breaker.sources.etcd.pace.time.thread_time", lambda: used[0])

    def costly() -> Read:
        used[0] += 0.26
        return store.put("a.json", b"%d" % store.revision, watched=False)

    store.reads = [costly, costly]
    run(store, watch)
    assert watch.pauses[:2] == [pytest.approx((0.26 - 0.25) / 0.08), 0.5]
    assert [documents for documents, _, _ in watch.published] == [{}, {"a.json": b"1"}, {"a.json": b"2"}]


@pytest.mark.parametrize(("relists", "longest"), [(False, 0.5), (True, 30.0)])
def test_a_rest_has_an_end(relists: bool, longest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch is read on soon, whatever was used; and nothing keeps a program from its policies for long."""
    used = [0.0]
    monkeypatch.setattr("breaker.sources.etcd.pace.time.thread_time", lambda: used[0])
    pace = Pace(100.0)
    used[0] = 0.24
    assert pace.rest(100.0, relists=relists) == 0.0
    used[0] = 1000.0
    assert pace.rest(100.0, relists=relists) == longest
