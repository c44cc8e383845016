"""The loop step by step, over a scripted session: what is listed, watched, checked and refused."""

from typing import Any

import pytest

from breaker.errors import Unreachable
from breaker.sources.etcd.follower import Follower
from breaker.sources.etcd.transport import Batch, KeyChange, Page
from support.etcd.scripted import PATH, A, B, Read, ScriptedSession, ScriptedWatch, Store, run


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


def test_what_has_come_meanwhile_is_one_publication(store: Store, watch: ScriptedWatch) -> None:
    def burst() -> Read:
        first, *store.waiting = [store.put(f"{n % 3}.json", b"%d" % n, watched=False) for n in range(300)]
        return first

    store.reads = [burst, lambda: store.put("1.json", b"later", watched=False)]
    run(store, watch)
    last = {"0.json": b"297", "1.json": b"298", "2.json": b"299"}
    assert watch.published == [({}, 1, False), (last, 301, False), (last | {"1.json": b"later"}, 302, False)]


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
