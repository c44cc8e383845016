"""`FileSource` look by look: what it publishes, and when it keeps still. The test is the source's thread."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from breaker.sources import FileSource, Unreadable
from support.drive import PATH, document
from support.tree import HOUR, Steps, Tree, age, looks

# -- what is published --


def test_the_first_look_publishes_even_nothing(tree: Tree) -> None:
    assert looks(tree).published == [({}, 1, True)]
    tree.directory.mkdir(parents=True)
    assert looks(tree).published == [({}, 1, True)]


def test_a_directory_that_is_not_there_yet_is_said_once_with_its_path(tree: Tree) -> None:
    # S130
    watch = looks(tree, None, None, lambda: tree.write("x.json", "1"))
    assert watch.documents == [{}, {"x.json": b"1"}]
    assert watch.notes == [
        {"message": "circuit breaker policy directory does not exist yet", "directory": f"{tree.directory}/"}
    ]
    assert (watch.problems, watch.warnings) == ([], [])
    assert looks(tree).notes == []


def test_a_directory_that_vanishes_keeps_the_policies_and_is_a_problem(tree: Tree) -> None:
    # S130
    tree.write("x.json", "1")
    aside = tree.root / "aside"
    watch = looks(tree, lambda: tree.directory.rename(aside), None, lambda: aside.rename(tree.directory))
    assert watch.documents == [{"x.json": b"1"}, {"x.json": b"1"}]
    problem = (
        f"cannot read {tree.directory}/: it has been there and is gone; put it back "
        "(to lift policies, delete their documents)"
    )
    assert watch.problems == [problem] * 2
    assert watch.places == [f"{tree.directory}/"] * 2
    assert watch.notes == []


@pytest.mark.parametrize("above", ["..", "../..", "../../.."])
def test_a_directory_vanishes_with_those_above_it(tree: Tree, above: str) -> None:
    # S130
    tree.write("x.json", "1")
    whole = (tree.directory / above).resolve()
    watch = looks(tree, lambda: whole.rename(tree.root / "aside"), None)
    assert watch.documents == [{"x.json": b"1"}]
    assert len(watch.problems) == 2


def test_a_directory_that_has_been_there_is_no_empty_one_to_the_next_loop(tree: Tree) -> None:
    """Of a forked child, of another provider: what one loop has seen, the source knows."""
    # S130
    source = FileSource(tree.root, HOUR)
    tree.write("x.json", "1")
    source.start(Steps())
    shutil.rmtree(tree.directory)
    source.after_fork()
    watch = Steps(None)
    source.start(watch)
    assert watch.published == []
    assert len(watch.problems) == 2


def test_the_root_is_that_of_the_moment_the_source_was_made(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write("x.json", "1")
    monkeypatch.chdir(tree.root)
    sources = [FileSource(root, HOUR, policies_path=PATH) for root in (".", "./", Path())]
    monkeypatch.chdir("/")
    for source in sources:
        watch = Steps(lambda: monkeypatch.chdir("/tmp"), None)
        source.start(watch)
        assert watch.documents == [{"x.json": b"1"}]
        assert list(source.list()) == ["x"]


def test_looks_that_see_nothing_new_publish_nothing(tree: Tree) -> None:
    tree.write("x.json", failureThreshold=3)
    watch = looks(tree, *[None] * 5)
    assert watch.published == [({"x.json": document(failureThreshold=3)}, 1, True)]


def test_a_file_that_is_written_again_as_it_was_publishes_nothing(tree: Tree) -> None:
    tree.write("x.json", failureThreshold=3)
    watch = looks(tree, lambda: tree.write("x.json", failureThreshold=3), lambda: age(tree.file("x.json")), None)
    assert len(watch.published) == 1


def test_each_publication_is_complete_and_revisions_rise(tree: Tree) -> None:
    tree.write("x.json", "1")
    watch = looks(tree, lambda: tree.write("y.json", "2"), lambda: tree.file("x.json").unlink())
    assert watch.published == [
        ({"x.json": b"1"}, 1, True),
        ({"x.json": b"1", "y.json": b"2"}, 2, False),
        ({"y.json": b"2"}, 3, False),
    ]


def test_many_changes_between_two_looks_are_one_publication(tree: Tree) -> None:
    def edit() -> None:
        for number in range(100):
            tree.write(f"{number % 10}.json", str(number))
        tree.file("3.json").unlink()

    watch = looks(tree, edit)
    assert watch.documents == [{}, {f"{n}.json": str(90 + n).encode() for n in range(10) if n != 3}]


def test_only_documents_directly_in_the_directory_are_published(tree: Tree) -> None:
    # S122
    tree.write("x.json", "1")
    for folder in ("..data", "nested", "../breakers-old"):
        (tree.directory / folder).mkdir()
        (tree.directory / folder / "y.json").write_text("2")
    for name in ("x.json.bak", "x.JSON", "x.jsonc", "json", "README.md", ".x.json.swp"):
        tree.file(name).write_text("3")
    watch = looks(tree)
    assert watch.documents == [{"x.json": b"1"}]
    assert watch.warnings == []


# -- what changes while it is looked at --


def test_a_document_that_is_being_written_is_not_read_half(tree: Tree) -> None:
    tree.write("x.json", "old")
    watch = looks(
        tree,
        lambda: tree.overwrite("x.json", '{"failureThres'),
        while_settling=lambda: tree.overwrite("x.json", '{"failureThreshold": 3}'),
    )
    assert watch.documents == [{"x.json": b"old"}, {"x.json": b'{"failureThreshold": 3}'}]


def test_a_file_that_never_stands_still_is_read_all_the_same(tree: Tree) -> None:
    tree.write("x.json", "0")
    sizes = iter(range(1, 1000))

    def grow() -> None:
        tree.overwrite("x.json", "0" * next(sizes))
        watch.while_settling = grow

    watch = Steps(grow, while_settling=None)
    FileSource(tree.root, HOUR).start(watch)
    assert len(watch.documents) == 2
    text = watch.documents[1]["x.json"]
    assert isinstance(text, bytes)
    assert 1 < len(text) < 20


def test_a_rewrite_of_the_same_size_and_date_is_seen(tree: Tree) -> None:
    file = tree.write("x.json", "1")
    age(file)
    before = file.stat()

    def rewrite() -> None:
        tree.overwrite("x.json", "2")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (file.stat().st_mtime_ns, file.stat().st_size) == (before.st_mtime_ns, before.st_size)

    assert looks(tree, None, rewrite).documents == [{"x.json": b"1"}, {"x.json": b"2"}]


def test_a_file_that_goes_and_comes_back_is_read_again(tree: Tree) -> None:
    age(tree.write("x.json", "1"))
    aside = tree.root / "aside"
    watch = looks(tree, lambda: tree.file("x.json").rename(aside), lambda: aside.rename(tree.file("x.json")))
    assert watch.documents == [{"x.json": b"1"}, {}, {"x.json": b"1"}]


def test_the_whole_directory_may_be_a_link_that_is_swapped(tree: Tree, tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "x.json").write_text(version)
    tree.directory.parent.mkdir(parents=True)
    tree.directory.symlink_to(tmp_path / "1")

    def swap() -> None:
        (tmp_path / "new").symlink_to(tmp_path / "2")
        (tmp_path / "new").rename(tree.directory)

    assert looks(tree, swap).documents == [{"x.json": b"1"}, {"x.json": b"2"}]


def test_a_link_to_nothing_is_no_document_until_there_is_one(tree: Tree) -> None:
    tree.write("y.json", "1")
    tree.file("x.json").symlink_to("later")
    watch = looks(tree, lambda: tree.file("later").write_text("2"))
    assert watch.documents == [{"y.json": b"1"}, {"x.json": b"2", "y.json": b"1"}]
    assert watch.problems == []


@pytest.mark.parametrize("lost", ["..data", "..1"])
def test_links_that_lead_nowhere_any_more_keep_their_documents(tree: Tree, lost: str) -> None:
    # S130
    tree.write("y.json", "2")
    tree.file("..1").mkdir()
    tree.write("..1/x.json", "1")
    tree.file("..data").symlink_to("..1")
    tree.file("x.json").symlink_to("..data/x.json")
    aside = tree.root / "aside"
    watch = looks(
        tree,
        lambda: tree.file(lost).rename(aside),
        None,
        lambda: aside.rename(tree.file(lost)),
        lambda: tree.file(lost).rename(aside),
        tree.file("x.json").unlink,
        lambda: tree.file("x.json").symlink_to("nowhere"),
    )
    there = {"x.json": b"1", "y.json": b"2"}
    broken = there | {
        "x.json": Unreadable("it is a link to nothing; put back what it led to (to lift the policy, remove the link)")
    }
    assert watch.documents == [there, broken, there, broken, {"y.json": b"2"}]
    assert watch.problems == []


def test_a_link_that_leads_nowhere_any_more_is_no_deletion_to_the_next_loop(tree: Tree) -> None:
    # S130
    tree.file("..1").mkdir(parents=True)
    tree.write("..1/x.json", "1")
    tree.file("x.json").symlink_to("..1/x.json")
    source = FileSource(tree.root, HOUR)
    source.start(Steps())
    shutil.rmtree(tree.file("..1"))
    source.start(watch := Steps())
    assert [list(documents) for documents in watch.documents] == [["x.json"]]


# -- what it is made of --


def test_a_root_is_any_path(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write("x.json", "1")
    monkeypatch.chdir(tree.root)
    for root in (tree.root, str(tree.root), os.fsencode(tree.root), f"{tree.root}/", "."):
        watch = Steps()
        FileSource(root, HOUR).start(watch)  # type: ignore[arg-type]
        assert watch.documents == [{"x.json": b"1"}]


@pytest.mark.parametrize("root", [None, 5, object(), ["/etc"]], ids=repr)
def test_a_root_that_is_no_path_is_a_type_error(root: Any) -> None:
    with pytest.raises(TypeError):
        FileSource(root)


@pytest.mark.parametrize("root", ["", b"", "a\0b"], ids=repr)
def test_a_root_that_no_directory_can_have_is_a_value_error(root: Any) -> None:
    with pytest.raises(ValueError, match=r"root must be the path of a directory, got .*; write '.' for this one"):
        FileSource(root)


@pytest.mark.parametrize("interval", [float("inf"), float("nan"), 1e300, 0, -0.5])
def test_an_interval_is_one_that_can_be_waited_for(interval: float) -> None:
    with pytest.raises(ValueError, match="poll_interval must be a positive number of seconds, got "):
        FileSource("/", interval)


def test_an_error_names_the_file_that_its_reader_would_open() -> None:
    assert FileSource("/etc/app/").location(PATH, "x.json") == f"/etc/app{PATH}x.json"
    assert FileSource("/").location(PATH, "x.json") == f"{PATH}x.json"
    assert FileSource("policies").location(PATH, "x.json") == f"{os.getcwd()}/policies{PATH}x.json"
