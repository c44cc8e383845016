"""`FileSource` before what cannot be read: said once, in the way of nothing else, and read when it can be."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from breaker.policies.documents import MAX_DOCUMENT_BYTES
from breaker.sources import Unreadable
from support.processes import fork_and_check
from support.tree import Tree, age, looks

NOBODY = 65_534
NOT_REGULAR = "it is not a regular file; put a JSON document there or remove it"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, NOT_REGULAR),
        (
            lambda path: os.symlink("/dev/zero", path),
            NOT_REGULAR,
        ),
        (os.mkdir, "a JSON document is expected there, not a directory"),
        (lambda path: os.symlink(path, path), "check that the path exists and that this program may read it"),
    ],
    ids=["pipe", "device", "directory", "loop"],
)
def test_what_is_no_file_is_reported_once_holds_up_nothing_and_keeps_nothing_open(
    tree: Tree, make: Callable[[Any], None], reason: str
) -> None:
    tree.write("y.json", "1")
    make(tree.file("x.json"))
    before = descriptors()
    watch = looks(tree, *[None] * 30)
    assert descriptors() == before
    (found,) = watch.documents
    assert found["y.json"] == b"1"
    assert isinstance(found["x.json"], Unreadable)
    assert found["x.json"].reason.endswith(reason)


def test_what_was_no_file_and_becomes_one_is_read(tree: Tree) -> None:
    tree.directory.mkdir(parents=True)
    os.mkfifo(tree.file("x.json"))
    assert looks(tree, lambda: tree.write("x.json", "1")).documents[1] == {"x.json": b"1"}


def test_of_a_file_without_end_only_so_much_is_read_as_shows_that_it_is_too_long(tree: Tree) -> None:
    file = tree.write("x.json", "")
    os.truncate(file, 10**12)  # a hole: it takes no room on the disk
    assert looks(tree).documents == [{"x.json": b"\0" * (MAX_DOCUMENT_BYTES + 1)}]


def test_a_wrongly_escaped_name_is_warned_about_once_and_with_advice(tree: Tree) -> None:
    tree.write("y.json", "1")
    for name in ("a%2fb.json", "%64efault.json"):
        tree.file(name).write_text("{}")
    os.close(os.open(os.fsencode(tree.directory) + b"/a\xff.json", os.O_CREAT | os.O_WRONLY))
    watch = looks(tree, lambda: tree.write("y.json", "2"), None)
    assert watch.documents == [{"y.json": b"1"}, {"y.json": b"2"}]
    assert {warning["file"] for warning in watch.warnings} == {
        f"{tree.directory}/{name}" for name in ("a%2fb.json", "%64efault.json", "a\\udcff.json")
    }
    assert len(watch.warnings) == 3
    assert {warning["error"] for warning in watch.warnings} == {
        "its name is not the escaped name of a breaker; write '/' as %2F, '%' as %25 and a leading '.' as %2E"
    }


def test_a_file_in_place_of_the_directory_is_a_problem_until_it_is_gone(tree: Tree) -> None:
    tree.directory.parent.mkdir(parents=True)
    tree.directory.write_text("")

    def mend() -> None:
        tree.directory.unlink()
        tree.write("x.json", "1")

    watch = looks(tree, mend)
    (problem,) = watch.problems
    assert problem == (
        f"cannot read {tree.directory}/: Not a directory; "
        "a directory with one JSON document per breaker is expected there"
    )
    assert watch.published == [({"x.json": b"1"}, 1, True)]


@pytest.fixture
def open_tree() -> Iterator[Tree]:
    """A tree that any user may look into."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    yield Tree(root)
    shutil.rmtree(root)


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else and come back")


@only_root
def test_a_document_that_may_not_be_read_is_read_when_it_may_though_it_has_not_changed(open_tree: Tree) -> None:
    file = open_tree.write("x.json", "1")
    file.chmod(0o600)
    age(file)

    def child() -> None:
        os.seteuid(NOBODY)
        watch = looks(open_tree, *[None] * 5, lambda: os.seteuid(0))
        refused, read = watch.documents
        assert read == {"x.json": b"1"}
        assert refused == {
            "x.json": Unreadable(
                f"cannot read {file}: Permission denied; give the user of this program read permission"
            )
        }

    fork_and_check(child)


@only_root
def test_a_directory_that_may_not_be_read_is_a_problem_until_it_may(open_tree: Tree) -> None:
    open_tree.write("x.json", "1")
    open_tree.directory.chmod(0o700)

    def child() -> None:
        watch = looks(open_tree, lambda: os.seteuid(NOBODY), None, lambda: os.seteuid(0))
        assert watch.published == [({"x.json": b"1"}, 1, True), ({"x.json": b"1"}, 2, True)]
        assert (
            watch.problems
            == [f"cannot read {open_tree.directory}/: Permission denied; give the user of this program read permission"]
            * 2
        )

    fork_and_check(child)
