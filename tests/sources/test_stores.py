"""What every `PolicyStore` promises, tried on each: memory, files, and a real etcd over both transports."""

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from breaker import Config, Policy, PolicyError, Provider
from breaker.errors import Refused, RevisionConflict, SourceError
from breaker.policies.names import document_key
from breaker.sources import ABSENT, EtcdSource, FileSource, PolicySource, PolicyStore, Revision, StoredPolicy
from support.drive import NAME, PATH
from support.etcd.server import Server
from support.stores import EVERY_FIELD, INVALID, KINDS, NAMES, Subject, in_etcd, in_files, in_memory
from support.watching import eventually


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole contract: what a test leaves is removed."""
    with Server(tmp_path_factory.mktemp("etcd")) as started:
        yield started


@pytest.fixture(params=KINDS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "memory":
        yield in_memory()
    elif request.param == "files":
        yield in_files(tmp_path)
    else:
        server = request.getfixturevalue("server")
        yield in_etcd(server, request.param)
        server.api.transaction([], [PATH + key for key in server.api.documents(PATH)])


@pytest.fixture
def store(subject: Subject) -> PolicyStore:
    return subject.store


def test_it_is_a_source_and_a_store(subject: Subject) -> None:
    assert isinstance(subject.store, PolicyStore)
    assert isinstance(subject.source, PolicySource)


# -- what is written is read --


def test_a_policy_comes_back_with_every_field(store: PolicyStore) -> None:
    slots: tuple[str, ...] = Policy.__slots__
    assert all(getattr(EVERY_FIELD, slot) != getattr(Policy(), slot) for slot in slots)
    revision = store.put(NAME, EVERY_FIELD)
    assert store.list() == {NAME: StoredPolicy(NAME, EVERY_FIELD.to_json(), revision, EVERY_FIELD, None)}


@pytest.mark.parametrize(
    "document",
    [
        {"failureThreshold": 3},
        '{"failureThreshold": 3}',
        b'{"failureThreshold": 3}',
        bytearray(b'{"failureThreshold": 3}'),
    ],
    ids=lambda document: type(document).__name__,
)
def test_a_document_is_kept_as_it_was_written(subject: Subject, document: Any) -> None:
    subject.store.put(NAME, document)
    assert subject.raw() == {f"{NAME}.json": b'{"failureThreshold": 3}'}
    stored = subject.store.list()[NAME]
    assert (stored.document, stored.policy) == (b'{"failureThreshold": 3}', Policy(3))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_are_escaped_in_keys_and_come_back(subject: Subject, name: str) -> None:
    subject.store.put(name, Policy(3))
    assert list(subject.raw()) == [document_key(name)]
    assert [(key, stored.name) for key, stored in subject.store.list().items()] == [(name, name)]
    assert subject.store.delete(name)
    assert subject.raw() == {}


def test_the_default_of_all_others_is_a_document_like_the_others(subject: Subject) -> None:
    subject.store.put("default", Policy(3))
    assert list(subject.raw()) == ["default.json"]
    assert subject.store.list()["default"].policy == Policy(3)
    assert subject.store.delete("default")


def test_delete_says_whether_there_was_one(store: PolicyStore) -> None:
    assert not store.delete(NAME)
    store.put(NAME, Policy())
    store.put("other", Policy())
    assert store.delete(NAME)
    assert not store.delete(NAME)
    assert list(store.list()) == ["other"]


def test_a_store_in_which_nothing_was_written_is_empty(store: PolicyStore) -> None:
    assert store.list() == {}


def test_a_list_is_in_the_order_of_keys(store: PolicyStore) -> None:
    for name in ("b", "/", "default", "a"):
        store.put(name, Policy())
    assert list(store.list()) == ["/", "a", "b", "default"]  # "/" is "%2F" there


# -- what may not be written --


@pytest.mark.parametrize("document", INVALID, ids=lambda document: ascii(document)[:30])
def test_what_is_no_policy_leaves_the_store_as_it_was(subject: Subject, document: Any) -> None:
    revision = subject.store.put(NAME, Policy(3))
    before = subject.raw()
    for name in (NAME, "new"):
        with pytest.raises(PolicyError) as caught:
            subject.store.put(name, document)
        assert str(caught.value.where).endswith(f"{name}.json")
    assert subject.raw() == before
    assert subject.store.list()[NAME].revision == revision


def test_a_wrong_name_or_kind_is_refused(subject: Subject) -> None:
    store: Any = subject.store
    for name, error in (("", ValueError), ("x" * 256, ValueError), ("\ud800", ValueError), (None, TypeError)):
        for write in (lambda name=name: store.put(name, Policy()), lambda name=name: store.delete(name)):
            with pytest.raises(error):
                write()
    for document in (3, None, ["x"], object()):
        with pytest.raises(TypeError, match="JSON text, a mapping or a Policy"):
            store.put(NAME, document)
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.put(NAME, {"mode": object()})
    assert subject.raw() == {}


@pytest.mark.parametrize("revision", [True, 1.5, b"1", [], False], ids=repr)
def test_an_expected_revision_of_another_kind_is_refused(subject: Subject, revision: Any) -> None:
    subject.store.put(NAME, Policy(3))
    for write in (
        lambda: subject.store.put(NAME, Policy(), expected_revision=revision),
        lambda: subject.store.delete(NAME, expected_revision=revision),
    ):
        with pytest.raises(TypeError, match="expected_revision must be a revision of this store"):
            write()
    assert subject.store.list()[NAME].policy == Policy(3)


def test_a_revision_of_a_store_of_another_kind_is_refused(subject: Subject, tmp_path: Path) -> None:
    revision = subject.store.put(NAME, Policy(3))
    other = in_memory() if isinstance(revision, str) else in_files(tmp_path / "other")
    foreign = other.store.put(NAME, Policy(3))
    for write in (
        lambda: subject.store.put(NAME, Policy(), expected_revision=foreign),
        lambda: subject.store.delete(NAME, expected_revision=foreign),
    ):
        with pytest.raises(
            TypeError, match=r"a revision of this store \((a number|text)\), 0 for no document, or None"
        ):
            write()
    assert subject.store.list()[NAME].revision == revision


# -- conditional changes --


def test_a_change_is_made_only_of_the_revision_that_was_read(store: PolicyStore) -> None:
    first = store.put(NAME, Policy(2), expected_revision=ABSENT)
    store.put("other", Policy(9))  # of another document: no conflict
    second = store.put(NAME, Policy(3), expected_revision=first)
    assert store.list()[NAME].revision == second
    for expected in (first, ABSENT):
        for write in (
            lambda expected=expected: store.put(NAME, Policy(4), expected_revision=expected),
            lambda expected=expected: store.delete(NAME, expected_revision=expected),
        ):
            with pytest.raises(RevisionConflict, match="read it and try again") as caught:
                write()
            assert (caught.value.name, caught.value.expected, caught.value.found) == (NAME, expected, second)
    assert store.list()[NAME].policy == Policy(3)
    assert store.delete(NAME, expected_revision=second)


def test_of_a_document_that_is_not_there_only_its_absence_may_be_expected(store: PolicyStore) -> None:
    revision = store.put("other", Policy())
    for write in (
        lambda: store.put(NAME, Policy(), expected_revision=revision),
        lambda: store.delete(NAME, expected_revision=revision),
    ):
        with pytest.raises(RevisionConflict, match="found no document") as caught:
            write()
        assert caught.value.found == ABSENT
    assert not store.delete(NAME, expected_revision=ABSENT)
    assert list(store.list()) == ["other"]


def test_a_conflict_is_found_also_after_another_programs_change(subject: Subject) -> None:
    revision = subject.store.put(NAME, Policy(2))
    subject.write(NAME, b'{"failureThreshold": 3}')
    with pytest.raises(RevisionConflict) as caught:
        subject.store.put(NAME, Policy(4), expected_revision=revision)
    assert caught.value.found == subject.store.list()[NAME].revision
    assert subject.store.list()[NAME].policy == Policy(3)


def test_of_threads_that_read_the_same_revision_one_wins(store: PolicyStore) -> None:
    revision = store.put(NAME, Policy(1))

    def write(number: int) -> object:
        try:
            return store.put(NAME, Policy(number), expected_revision=revision)
        except RevisionConflict as conflict:
            return conflict

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(write, range(2, 18)))
    (winner,) = [result for result in results if not isinstance(result, RevisionConflict)]
    assert store.list()[NAME].revision == winner
    assert {result.found for result in results if isinstance(result, RevisionConflict)} == {winner}


def test_of_threads_that_found_no_document_one_creates_it(store: PolicyStore) -> None:
    def create(number: int) -> object:
        try:
            return store.put(NAMES[1], Policy(number), expected_revision=ABSENT)
        except RevisionConflict as conflict:
            return conflict.expected, conflict.found

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(create, range(2, 18)))
    created = store.list()[NAMES[1]]
    assert created.policy in [Policy(number) for number in range(2, 18)]
    assert sorted(results, key=str) == sorted([created.revision, *[(ABSENT, created.revision)] * 15], key=str)


@pytest.mark.parametrize("conditional", [False, True], ids=["unconditional", "conditional"])
def test_of_threads_that_delete_a_document_one_says_that_there_was_one(store: PolicyStore, conditional: bool) -> None:
    for _ in range(5):
        revision = store.put(NAME, Policy(1))

        def delete(_: int, expected: Revision | None = revision if conditional else None) -> object:
            try:
                return store.delete(NAME, expected_revision=expected)
            except RevisionConflict as conflict:
                return conflict.found

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(delete, range(8)))
        assert sorted(map(bool, results)) == [*[False] * 7, True]
        assert store.list() == {}


def test_a_revision_holds_for_every_object_on_the_same_documents(subject: Subject) -> None:
    if subject.again is None:
        assert subject.raw() == {}  # documents in memory are those of one object
        return
    revision = subject.store.put(NAME, Policy(2))
    other = subject.again()
    assert other.list()[NAME].revision == revision
    assert other.put(NAME, Policy(3), expected_revision=revision) == subject.store.list()[NAME].revision


# -- documents of others --


def test_a_list_shows_documents_that_are_not_valid_with_their_error(subject: Subject) -> None:
    subject.write("good", b'{"failureThreshold": 6}')
    subject.write("bad", b'{"failureThreshold": "5"}')
    subject.write("newer", b'{"failureThreshold": 7, "notYetKnown": 1}')
    listed = subject.store.list()
    assert [(stored.name, stored.policy) for stored in listed.values()] == [
        ("bad", None),
        ("good", Policy(6)),
        ("newer", Policy(7)),
    ]
    assert [stored.error is None for stored in listed.values()] == [False, True, True]
    assert listed["bad"].document == b'{"failureThreshold": "5"}'
    for word in ("bad.json", "failureThreshold", "write 5 without quotes"):
        assert word in str(listed["bad"].error)
    subject.store.put("bad", Policy(5), expected_revision=listed["bad"].revision)
    assert subject.store.list()["bad"].policy == Policy(5)


# -- who follows --


def test_a_change_is_obeyed_by_a_provider_that_follows(
    subject: Subject, provider_of: Callable[..., Provider], events: list[Any]
) -> None:
    breaker = provider_of(Policy(), policy_source=subject.source, start_timeout=20).get_breaker(NAME)
    for change, policy in (
        (lambda: subject.store.put(NAME, EVERY_FIELD), EVERY_FIELD),
        (lambda: subject.store.put(NAME, Policy(3)), Policy(3)),
        (lambda: subject.store.delete(NAME), Policy()),
        (lambda: subject.store.put("default", Policy(4)), Policy(4)),
    ):
        change()
        eventually(lambda policy=policy: breaker.policy == policy)
    assert [type(event).__name__ for event in events] == ["BreakerCreated", *["PolicyUpdated", "ModeChanged"] * 2] + [
        "PolicyUpdated"
    ] * 2


def test_a_source_that_follows_nothing_does_not_guess_which_documents_are_meant(tmp_path: Path, server: Server) -> None:
    for source in (FileSource(tmp_path, 0.1), EtcdSource(server.endpoint)):
        kind = type(source).__name__
        hint = f"pass policies_path= to {kind}"
        calls: list[Callable[[], object]] = [
            source.list,
            lambda source=source: source.put(NAME, Policy()),  # type: ignore[misc]
            lambda source=source: source.delete(NAME),  # type: ignore[misc]
        ]
        for call in calls:
            with pytest.raises(ValueError, match=f"it serves no provider yet; {hint}"):
                call()
        with Provider(Config("a", "/c/a/"), policy_source=source):
            assert source.list() == {}
            with (
                Provider(Config("b", "/c/b/"), policy_source=source),
                pytest.raises(ValueError, match=f"it serves /c/a/, /c/b/; {hint}"),
            ):
                source.list()


@pytest.mark.parametrize("path", ["", "no/slash/", 5])
def test_a_policies_path_that_is_none_is_refused(tmp_path: Path, path: Any) -> None:
    for make in (lambda: FileSource(tmp_path, policies_path=path), lambda: EtcdSource("a:1", policies_path=path)):
        with pytest.raises((ValueError, TypeError), match="policies_path must"):
            make()


def test_an_error_of_a_store_is_a_source_error_that_can_be_pickled() -> None:
    conflict = pickle.loads(pickle.dumps(RevisionConflict(NAME, ABSENT, "a1", "/place")))
    assert (conflict.name, conflict.expected, conflict.found, conflict.endpoint) == (NAME, ABSENT, "a1", "/place")
    assert str(conflict) == (
        f"the document of {NAME!r} was not written: expected none, found revision a1; read it and try again"
    )
    refused = pickle.loads(pickle.dumps(Refused("no", "/place")))
    assert (type(refused), str(refused), refused.endpoint) == (Refused, "no", "/place")
    assert isinstance(refused, SourceError)
