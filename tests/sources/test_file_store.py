"""What `FileSource.put` and `delete` do to files: whole or not at all, and nothing left beside."""

import errno
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from breaker import Config, Policy, Provider
from breaker.errors import Refused, SourceError
from breaker.events import PolicyRejected
from breaker.sources import FileSource
from support.drive import NAME, PATH, document
from support.processes import fork_and_check
from support.reading import of_type
from support.threads import together
from support.tree import Steps, Tree
from support.watching import eventually

Providers = Callable[..., Provider]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    return FileSource(tmp_path, 0.02, policies_path=PATH)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


# -- rights --


@pytest.mark.parametrize(("bits", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)], ids=oct)
def test_a_new_file_has_the_mode_that_the_umask_leaves(
    source: FileSource, tree: Tree, umask: Callable[[int], int], bits: int, expected: int
) -> None:
    umask(bits)
    source.put(NAME, Policy())
    assert mode(tree.file(f"{NAME}.json")) == expected


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o664, 0o444], ids=oct)
def test_a_file_keeps_its_mode(source: FileSource, tree: Tree, bits: int) -> None:
    file = tree.write(f"{NAME}.json", failureThreshold=2)
    file.chmod(bits)
    source.put(NAME, Policy(3))
    assert (mode(file), Policy.from_json(file.read_bytes())) == (bits, Policy(3))


def test_a_file_keeps_its_owner_where_its_writer_may_give_it_away(source: FileSource, tree: Tree) -> None:
    file = tree.write(f"{NAME}.json", failureThreshold=2)
    group = next((number for number in os.getgroups() if number != file.stat().st_gid), file.stat().st_gid)
    owner = (65_534, 65_534) if os.geteuid() == 0 else (os.geteuid(), group)
    os.chown(file, *owner)
    source.put(NAME, Policy(3))
    assert (file.stat().st_uid, file.stat().st_gid) == owner


# -- links --


def test_a_link_stays_a_link(source: FileSource, tree: Tree, tmp_path: Path) -> None:
    link = tree.write(f"{NAME}.json", failureThreshold=2)
    target = link.rename(tmp_path / "elsewhere.json")
    link.symlink_to(target)
    revision = source.put(NAME, Policy(3))
    assert link.is_symlink()
    assert Policy.from_json(target.read_bytes()) == Policy(3)
    assert source.list()[NAME].revision == revision
    assert source.delete(NAME, expected_revision=revision)
    assert (link.is_symlink(), target.exists()) == (False, True)


def test_a_link_to_nothing_is_no_document_and_is_written_through(
    source: FileSource, tree: Tree, tmp_path: Path
) -> None:
    tree.directory.mkdir(parents=True)
    tree.file(f"{NAME}.json").symlink_to(tmp_path / "elsewhere.json")
    assert source.list() == {}
    source.put(NAME, Policy(3), expected_revision=0)
    assert Policy.from_json((tmp_path / "elsewhere.json").read_bytes()) == Policy(3)


# -- failures: an error that names the path and the remedy, and nothing changed --


def refused(call: Callable[[], object], path: Path, text: str) -> None:
    with pytest.raises(SourceError, match=text) as caught:
        call()
    assert type(caught.value) is Refused
    assert caught.value.endpoint == str(path)
    assert str(path) in str(caught.value)


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    source = FileSource(tmp_path / "root", policies_path=PATH)
    file = tmp_path / "root" / PATH[1:] / f"{NAME}.json"
    refused(lambda: source.put(NAME, Policy()), file, "Not a directory; a directory with one JSON document")
    refused(lambda: source.delete(NAME), file, "Not a directory; a directory with one JSON document")
    with pytest.raises(Refused, match=r"cannot read .*a directory with one JSON document per breaker is expected"):
        source.list()
    assert contents(tmp_path) == {"root": b"a file"}


def test_a_policies_path_that_is_a_file(source: FileSource, tree: Tree, tmp_path: Path) -> None:
    tree.directory.parent.mkdir(parents=True)
    tree.directory.write_text("a file")
    refused(lambda: source.put(NAME, Policy()), tree.file(f"{NAME}.json"), "a directory with one JSON document")
    assert contents(tree.directory.parent) == {"breakers": b"a file"}


def test_a_directory_where_a_document_should_be(source: FileSource, tree: Tree) -> None:
    below = tree.file(f"{NAME}.json") / "below"
    below.mkdir(parents=True)
    refused(lambda: source.put(NAME, Policy()), below.parent, "cannot write .*a JSON document is expected there")
    refused(lambda: source.delete(NAME), below.parent, "cannot remove")
    listed = source.list()[NAME]
    assert (listed.policy, listed.document) == (None, b"")
    assert "not a regular file" in str(listed.error) or "not a directory" in str(listed.error)
    for expected in (0, listed.revision):
        with pytest.raises(Refused):
            source.put(NAME, Policy(), expected_revision=expected)
    assert below.is_dir()
    assert contents(tree.directory) == {}


def test_a_name_that_is_too_long_for_the_file_system(source: FileSource, tree: Tree) -> None:
    name = "/" * 255  # of which each is written %2F
    file = tree.file("%2F" * 255 + ".json")
    refused(lambda: source.put(name, Policy()), file, "too long; .*use a shorter name for the breaker")
    assert contents(tree.directory) == {}


def test_a_place_that_nobody_can_write_to() -> None:
    source = FileSource("/proc", policies_path="/breaker/")
    refused(lambda: source.put(NAME, Policy()), Path(f"/proc/breaker/{NAME}.json"), "check that the path exists")
    assert source.list() == {}


def test_a_directory_that_this_user_may_not_write_to(source: FileSource, tree: Tree, tmp_path: Path) -> None:
    file = tree.write(f"{NAME}.json", failureThreshold=2)

    hint = "give the user of this program permission to write to the directory"

    def as_somebody_else() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65_534)
            os.setuid(65_534)
        refused(lambda: source.put(NAME, Policy()), file, f"cannot write {file}: Permission denied; {hint}")
        refused(lambda: source.delete(NAME), file, f"cannot remove {file}: Permission denied; {hint}")

    for folder in (tmp_path, *tree.directory.relative_to(tmp_path).parents):
        (tmp_path / folder).chmod(0o755)
    for above in tmp_path.parents[:2]:
        above.chmod(0o755)  # pytest's own, closed to other users
    tree.directory.chmod(0o555)
    fork_and_check(as_somebody_else)
    tree.directory.chmod(0o755)
    assert contents(tree.directory) == {f"{NAME}.json": document(failureThreshold=2)}


def test_a_file_that_cannot_be_written_to_its_end_is_not_there_at_all(source: FileSource, tree: Tree) -> None:
    file = tree.write(f"{NAME}.json", failureThreshold=2)

    def with_little_room() -> None:
        # The system stops the write in the middle, as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
        refused(lambda: source.put(NAME, Policy(3)), file, f"cannot write {file}: File too large; .*raise the limit")

    fork_and_check(with_little_room)
    assert contents(tree.directory) == {f"{NAME}.json": document(failureThreshold=2)}


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "make room there"), (errno.EDQUOT, "make room"), (errno.EROFS, "read-only")]
)
def test_a_disk_that_is_full_at_the_last_step(
    source: FileSource, tree: Tree, monkeypatch: pytest.MonkeyPatch, step: str, number: int, remedy: str
) -> None:
    """As file systems that give out room late say it: not by the write, but by what comes after."""
    file = tree.write(f"{NAME}.json", failureThreshold=2)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        refused(lambda: source.put(NAME, Policy(3)), file, remedy)
    assert contents(tree.directory) == {f"{NAME}.json": document(failureThreshold=2)}
    source.put(NAME, Policy(3))


def test_an_interrupted_writer_leaves_nothing(source: FileSource, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write(f"{NAME}.json", failureThreshold=2)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            source.put(NAME, Policy(3))
    assert contents(tree.directory) == {f"{NAME}.json": document(failureThreshold=2)}


def test_a_file_system_that_cannot_sync_directories_is_written_to(
    source: FileSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def of_files_only(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(number)

    monkeypatch.setattr(os, "fsync", of_files_only)
    source.put(NAME, Policy(3))
    assert source.list()[NAME].policy == Policy(3)
    assert source.delete(NAME)


# -- who looks meanwhile --


def test_what_a_killed_writer_left_is_no_policy_and_no_warning(source: FileSource, tree: Tree) -> None:
    beside: list[str] = []

    def look(path: str, target: str) -> None:
        beside.append(path)
        raise OSError(errno.EIO, "stop here")

    tree.directory.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", look)
        with pytest.raises(Refused):
            source.put(NAME, Policy())
    Path(beside[0]).write_text("{")
    watch = Steps(None)
    FileSource(tree.root, 3600).start(watch)
    assert (watch.documents, watch.warnings, watch.problems) == ([{}], [], [])
    assert source.list() == {}


def test_a_reader_never_sees_half_a_document(source: FileSource, tree: Tree) -> None:
    documents = [b'{"failureThreshold": %d}%s' % (number, b" " * (number * 1009 % 60_000)) for number in range(1, 60)]
    done, seen = threading.Event(), set[bytes]()
    source.put(NAME, documents[0])

    def read() -> None:
        while not done.is_set():
            seen.add(tree.file(f"{NAME}.json").read_bytes())

    def write(number: int) -> None:
        try:
            for text in documents[number::4]:
                FileSource(tree.root, policies_path=PATH).put(NAME, text)  # each writer as a program of its own
        finally:
            if number == 3:
                done.set()

    reader = threading.Thread(target=read)
    reader.start()
    together(4, write)
    done.set()  # if one failed too
    reader.join()
    assert seen <= set(documents)
    assert len(seen) > 1
    assert sorted(contents(tree.directory)) == [f"{NAME}.json"]


def test_a_provider_that_follows_refuses_nothing_while_many_write(
    source: FileSource, provider_of: Providers, events: list[Any]
) -> None:
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)

    def write(number: int) -> None:
        for turn in range(20):
            source.put(NAME, Policy(100 * number + turn + 1))

    together(4, write)
    last = source.list()[NAME].policy
    eventually(lambda: breaker.policy == last)
    assert of_type(events, PolicyRejected) == []


def test_a_forked_child_writes_while_a_thread_of_the_parent_does(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FileSource(tree.root, policies_path=PATH)
    inside, go, sync = threading.Event(), threading.Event(), os.fsync

    def slow(number: int) -> None:
        inside.set()
        assert go.wait(20)
        sync(number)

    with monkeypatch.context() as patch, Provider(Config("svc", PATH), policy_source=source):
        patch.setattr(os, "fsync", slow)
        writer = threading.Thread(target=source.put, args=(NAME, Policy(2)))
        writer.start()
        assert inside.wait(20)
        patch.setattr(os, "fsync", sync)
        fork_and_check(lambda: source.put("of the child", Policy(3)))
        go.set()
        writer.join()
    assert {name: stored.policy for name, stored in source.list().items()} == {
        NAME: Policy(2),
        "of the child": Policy(3),
    }


def test_documents_are_listed_as_others_wrote_them(source: FileSource, tree: Tree) -> None:
    tree.write("good.json", failureThreshold=3)
    tree.write("x.yaml", "{}")
    tree.write("%zz.json", "{}")
    tree.write("long.json", " " * 100_000)
    os.mkfifo(tree.file("pipe.json"))
    listed = source.list()
    assert list(listed) == ["good", "long", "pipe"]
    assert "at most 65536 bytes" in str(listed["long"].error)
    assert "not a regular file" in str(listed["pipe"].error)
