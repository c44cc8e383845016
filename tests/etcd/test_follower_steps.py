"""The loop step by step, over a scripted session: faults that a real server does not give on demand."""

from typing import Any

import pytest

from breaker.errors import Interrupted, Refused, Unreachable
from breaker.sources.etcd.follower import Follower
from breaker.sources.etcd.pace import Pace
from breaker.sources.etcd.transport import Batch, Endpoint, KeyChange, Page
from support.etcd.scripted import PATH, A, B, Read, ScriptedSession, ScriptedWatch, Store, run


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def watch() -> ScriptedWatch:
    return ScriptedWatch()


def test_lists_publishes_and_watches_from_the_next_revision(store: Store, watch: ScriptedWatch) -> None:
    store.put("a.json", b"1", watched=False)
    store.put("b.json", b"2")
    store.revision = 7
    store.reads = [Batch(8, [KeyChange((PATH + "a.json").encode(), None, 8)])]
    run(store, watch)
    assert watch.published == [({"a.json": b"1", "b.json": b"2"}, 7, False), ({"b.json": b"2"}, 8, False)]
    assert store.watched == [8]
    assert store.closed == 1


def test_an_empty_prefix_is_published(store: Store, watch: ScriptedWatch) -> None:
    run(store, watch)
    assert watch.published == [({}, 1, False)]


def test_a_progress_message_publishes_nothing(store: Store, watch: ScriptedWatch) -> None:
    store.reads = [Batch(9, [])]
    run(store, watch)
    assert len(watch.published) == 1


def test_every_reconnection_lists_again_deletions_too(store: Store, watch: ScriptedWatch) -> None:
    store.put("a.json", watched=False)
    store.put("b.json", watched=False)

    def lost() -> Read:
        del store.keys["a.json"]
        store.revision += 1
        return Unreachable("cut")

    store.reads = [lost, None]
    run(store, watch)
    assert [sorted(documents) for documents, _, _ in watch.published] == [["a.json", "b.json"], ["b.json"]]
    assert store.watched == [4, 5]


def test_a_server_that_lost_revisions_is_reported_as_restarted(store: Store, watch: ScriptedWatch) -> None:
    store.revision = 50

    def wiped() -> Read:
        store.revision = 2
        return Unreachable("cut")

    store.reads = [wiped, None]
    run(store, watch)
    assert [(revision, restarted) for _, revision, restarted in watch.published] == [(50, False), (2, True)]


def test_a_watch_whose_revision_went_back_lists_again(store: Store, watch: ScriptedWatch) -> None:
    store.revision = 50
    store.reads = [Batch(49, [KeyChange((PATH + "a.json").encode(), b"old", 49)]), None]
    run(store, watch)
    assert [revision for _, revision, _ in watch.published] == [50, 50]
    assert watch.problems == []


@pytest.mark.parametrize("lacks", ["a put", "a deletion"])
def test_a_watch_that_died_silently_is_noticed_by_the_check(store: Store, watch: ScriptedWatch, lacks: str) -> None:
    store.put("a.json", watched=False)

    def change_without_a_word() -> Read:
        if lacks == "a put":
            store.put("b.json", watched=False)
        else:
            del store.keys["a.json"]
            store.revision += 1
        watch.time_goes(20)
        return None

    store.reads = [change_without_a_word, None, None, None, None, None]
    run(store, watch)
    assert [sorted(documents) for documents, _, _ in watch.published] == [
        ["a.json"],
        ["a.json", "b.json"] if lacks == "a put" else [],
    ]
    assert watch.problems == []  # mended at once: there is nothing to report


@pytest.mark.parametrize(
    "lost", ["a put", "a deletion", "a new key", "a deletion and a new key", "a put and a deletion"]
)
def test_a_lost_change_is_noticed_though_later_ones_arrive(store: Store, watch: ScriptedWatch, lost: str) -> None:
    for name in ("a.json", "b.json", "c.json"):
        store.put(name, watched=False)

    def lose() -> Read:
        if "put" in lost:
            store.put("a.json", b"lost", watched=False)
        if "deletion" in lost:
            store.revision += 1
            del store.keys["b.json"]
        if "new key" in lost:
            store.put("d.json", b"lost", watched=False)
        watch.time_goes(20)
        return store.put("c.json", b"arrives", watched=False)

    later = [lambda: store.put("c.json", b"arrives", watched=False)] * 8
    store.reads = [lose, *later, None, None]
    run(store, watch)
    assert watch.published[-1][0] == {name: value for name, (value, _) in store.keys.items()}
    assert watch.problems == []
    assert len(store.watched) == 2


def test_a_busy_watch_that_is_always_a_little_behind_is_none_that_loses(store: Store, watch: ScriptedWatch) -> None:
    """The check looks back to the revision that it has heard of; `Store` answers as of then."""
    behind: list[Batch] = []

    def change() -> Read:
        behind.append(store.put(f"{store.revision % 3}.json", str(store.revision).encode(), watched=False))
        watch.time_goes(1)
        return behind.pop(0) if len(behind) > 1 else change()

    store.reads = [change] * 60
    run(store, watch)
    assert store.watched == [2]


def test_messages_without_changes_and_without_end_are_no_etcds(store: Store, watch: ScriptedWatch) -> None:
    store.reads = [Batch(1, [])] * 1500
    run(store, watch)
    ((problem, kind, _),) = watch.problems
    assert kind == "Refused"
    assert "http://a:1 is not an etcd answer: events was empty in 1000 messages in a row" in problem


@pytest.mark.parametrize("way", ["many", "large"])
def test_what_is_too_much_in_a_watch_is_never_applied(store: Store, watch: ScriptedWatch, way: str) -> None:
    count, value = (1001, b"{}") if way == "many" else (600, b"x" * 60_000)
    revision = store.revision
    store.reads = [
        Batch(revision + count, [KeyChange(f"{PATH}{n}.json".encode(), value, revision + 1) for n in range(count)])
    ]
    run(store, watch)
    assert {len(documents) for documents, _, _ in watch.published} == {0}
    ((problem, kind, _),) = watch.problems
    assert kind == "Refused"
    assert ("max_documents=1000" if way == "many" else "more than 32 MiB") in problem


def test_a_listing_that_is_too_large_is_refused_before_its_end(store: Store, watch: ScriptedWatch) -> None:
    for number in range(700):
        store.put(f"{number:03}.json", b"x" * 60_000, watched=False)
    run(store, watch)
    assert watch.published == []
    assert "more than 32 MiB" in watch.problems[0][0]


def test_a_check_gives_a_slow_watch_time(store: Store, watch: ScriptedWatch) -> None:
    late = store.put("a.json", watched=False)
    del store.keys["a.json"]

    def change() -> Read:
        store.keys["a.json"], store.revision = (b"{}", late.revision), late.revision
        watch.time_goes(20)
        return None

    store.revision = 1
    store.reads = [change, None, None, late]
    run(store, watch)
    assert [sorted(documents) for documents, _, _ in watch.published] == [[], ["a.json"]]
    assert store.watched == [2]


def test_a_check_that_gets_no_answer_ends_the_session(
    store: Store, watch: ScriptedWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = ScriptedSession.range

    def hung(self: ScriptedSession, *args: Any, since: int = 0, **keys: Any) -> Page:
        if since:
            raise Unreachable("no answer in time")
        return answered(self, *args, **keys)

    monkeypatch.setattr(ScriptedSession, "range", hung)
    store.reads = [lambda: watch.time_goes(20), None]
    run(store, watch, A, B)
    assert watch.problems == []  # the other member answers: nothing is lost
    assert sorted(store.opened) == [A, B]


def test_a_busy_watch_is_checked_all_the_same(
    store: Store, watch: ScriptedWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []
    monkeypatch.setattr(Follower, "_check", lambda self, session: checks.append(1))

    def change() -> Read:
        watch.time_goes(4)
        return store.put("a.json", watched=False)

    store.reads = [change] * 30
    run(store, watch)
    assert 9 <= len(checks) <= 15


def test_pages_that_are_too_big_are_asked_for_in_parts(store: Store, watch: ScriptedWatch) -> None:
    for number in range(20):
        store.put(f"{number:02}.json", watched=False)
    store.largest = 3
    run(store, watch)
    assert len(watch.published[0][0]) == 20


def test_more_keys_than_allowed_are_refused_and_the_last_policies_stay(store: Store, watch: ScriptedWatch) -> None:
    for number in range(20):
        store.put(f"{number:02}.json", watched=False)
    run(store, watch, max_documents=19)
    assert watch.published == []
    problem, kind, soon = watch.problems[0]
    assert problem == (
        f"etcd holds 20 keys below {PATH}, more than max_documents=19; check the path, delete what is no policy, "
        "or raise max_documents"
    )
    assert (kind, soon) == ("Refused", False)


def test_foreign_keys_are_left_alone_and_bad_names_said_once(store: Store, watch: ScriptedWatch) -> None:
    for name in ("a.json", "b.txt", "sub/c.json", "%zz.json", "", ".json"):
        store.put(name, watched=False)
    bad = KeyChange(PATH.encode() + b"\xff.json", b"{}", 99)
    store.reads = [Batch(99, [bad]), Batch(100, [bad._replace(revision=100)])]
    run(store, watch)
    assert {name for documents, _, _ in watch.published for name in documents} == {"a.json"}
    assert [keys["key"] for keys in watch.warnings] == [f"{PATH}%zz.json", f"{PATH}.json", f"{PATH}\\xff.json"]


def test_of_very_many_bad_names_some_are_said(store: Store, watch: ScriptedWatch) -> None:
    for number in range(200):
        store.put(f"%zz{number:03}.json", watched=False)
    store.put("%zz" + "y" * 100_000 + ".json", watched=False)
    store.reads = [Unreachable("cut"), None]
    run(store, watch)
    assert len(watch.warnings) == 51
    assert watch.warnings[0]["key"] == f"{PATH}%zz000.json"
    assert watch.warnings[-1] == {"error": "more than 50 have such names, and no more of them are named"}
    assert len(str(watch.warnings)) < 20_000


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
