"""`FileSource`: documents in a directory that is looked at, whatever happens to it."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from breaker import Policy, Provider
from breaker.events import PolicyRejected, PolicyUpdated
from breaker.sources import FileSource
from support.drive import NAME, Providers
from support.processes import fork_and_check
from support.reading import of_type
from support.tree import FOLDER as PATH
from support.tree import has, write
from support.watching import LineLogger, eventually

POLL = 0.01


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / PATH
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def lines() -> LineLogger:
    return LineLogger()


@pytest.fixture
def provider(provider_of: Providers, tmp_path: Path, lines: LineLogger) -> Provider:
    return provider_of(Policy(), policy_source=FileSource(tmp_path, POLL), logger=lines)


def test_documents_are_there_when_the_provider_is(directory: Path, provider_of: Providers, tmp_path: Path) -> None:
    write(directory, failureThreshold=2)
    write(directory, "default", failureThreshold=3)
    provider = provider_of(Policy(), policy_source=FileSource(tmp_path))
    assert has(provider, 2)()
    assert has(provider, 3, "other")()


def test_a_change_in_place_by_rename_and_a_deletion_are_obeyed(directory: Path, provider: Provider) -> None:
    file = write(directory, failureThreshold=2)
    eventually(has(provider, 2))
    write(directory, failureThreshold=3)
    eventually(has(provider, 3))
    other = directory / "written beside"
    other.write_text('{"failureThreshold": 4}')
    other.replace(file)
    eventually(has(provider, 4))
    file.unlink()
    eventually(has(provider, 5))


def test_the_link_swap_of_a_mounted_configuration_is_obeyed(tmp_path: Path, provider_of: Providers) -> None:
    directory = tmp_path / PATH
    directory.parent.mkdir(parents=True)
    directory.mkdir()
    for version, threshold in (("..1", 2), ("..2", 3)):
        (directory / version).mkdir()
        write(directory / version, failureThreshold=threshold)
    (directory / "..data").symlink_to("..1")
    (directory / f"{NAME}.json").symlink_to(f"..data/{NAME}.json")
    provider = provider_of(Policy(), policy_source=FileSource(tmp_path, POLL))
    assert has(provider, 2)()
    (directory / "..new").symlink_to("..2")
    (directory / "..new").replace(directory / "..data")
    eventually(has(provider, 3))


def test_a_rewrite_of_the_same_size_with_the_same_stamp_is_seen(directory: Path, provider: Provider) -> None:
    file = write(directory, failureThreshold=2)
    eventually(has(provider, 2))
    stamp = file.stat()
    with file.open("r+") as open_file:
        open_file.write('{"failureThreshold": 3}')
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    eventually(has(provider, 3))


def test_a_half_written_document_keeps_the_old_policy(directory: Path, provider: Provider, lines: LineLogger) -> None:
    # S124
    file = write(directory, failureThreshold=2)
    eventually(has(provider, 2))
    file.write_text('{"failureThres')
    eventually(lambda: lines.of("circuit breaker policy rejected"))
    assert has(provider, 2)()
    (rejection,) = lines.of("circuit breaker policy rejected")
    assert str(file) in rejection["error"]
    assert "no JSON" in rejection["error"]
    write(directory, failureThreshold=3)
    eventually(has(provider, 3))


def test_a_bad_document_leaves_the_others_alone_and_is_reported_once(
    directory: Path, provider: Provider, lines: LineLogger
) -> None:
    # S124
    bad = write(directory, "bad", failureThreshold="5", openStateTimeout=60)
    eventually(lambda: lines.of("circuit breaker policy rejected"))
    for threshold in (2, 3, 4):
        write(directory, failureThreshold=threshold)
        eventually(has(provider, threshold))
    (rejection,) = lines.of("circuit breaker policy rejected")
    assert rejection["error"].startswith(f"{bad}: failureThreshold must be a whole number from 1 to 2147483647")
    assert "write 5 without quotes" in rejection["error"]


def test_unknown_fields_are_warned_about_once_per_revision(
    directory: Path, provider: Provider, lines: LineLogger
) -> None:
    # S125
    message = "circuit breaker policy has unknown fields"
    write(directory, failureThreshold=2, newer=1)
    eventually(lambda: lines.of(message))
    write(directory, "other", failureThreshold=2)
    eventually(has(provider, 2, "other"))
    assert [keys["fields"] for keys in lines.of(message)] == [{f"{NAME}.json": ["newer"]}]


def test_a_directory_may_come_late_go_and_come_back(tmp_path: Path, provider: Provider, lines: LineLogger) -> None:
    # S130
    assert has(provider, 5)()
    directory = tmp_path / PATH
    directory.mkdir(parents=True)
    file = write(directory, failureThreshold=2)
    eventually(has(provider, 2))
    file.unlink()
    eventually(has(provider, 5))
    write(directory, failureThreshold=4)
    eventually(has(provider, 4))
    file.unlink()
    assert lines.of("circuit breaker policy source failed") == []
    write(directory, failureThreshold=4)
    directory.rename(tmp_path / "aside")
    eventually(lambda: lines.of("circuit breaker policy source failed"))
    time.sleep(5 * POLL)
    assert has(provider, 4)()
    directory.mkdir()
    write(directory, failureThreshold=3)
    eventually(has(provider, 3))
    (lost,) = lines.of("circuit breaker policy source failed")
    assert f"{directory}/: it has been there and is gone" in lost["error"]
    assert len(lines.of("circuit breaker policy source is back")) == 1
    (missing,) = lines.of("circuit breaker policy directory does not exist yet")
    assert missing["directory"] == f"{directory}/"


def test_a_file_in_place_of_the_directory_keeps_the_policies_and_is_reported_once(
    directory: Path, provider: Provider, lines: LineLogger
) -> None:
    # S129
    write(directory, failureThreshold=2).rename(directory.parent / "kept")
    (directory.parent / "kept").rename(directory / f"{NAME}.json")
    eventually(has(provider, 2))
    directory.rename(directory.parent / "aside")
    directory.write_text("no directory")
    eventually(lambda: lines.of("circuit breaker policy source failed"))
    time.sleep(5 * POLL)
    assert has(provider, 2)()
    (failure,) = lines.of("circuit breaker policy source failed")
    assert str(directory) in failure["error"]
    assert "a directory with one JSON document per breaker is expected" in failure["error"]
    directory.unlink()
    (directory.parent / "aside").rename(directory)
    write(directory, failureThreshold=3)
    eventually(has(provider, 3))
    assert len(lines.of("circuit breaker policy source is back")) == 1


def test_what_may_not_be_read_is_reported_and_keeps_its_policy(directory: Path, tmp_path: Path) -> None:
    """In a child without privileges, for root may read everything."""
    # S129
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0 and folder.owner() == Path.home().owner():
            folder.chmod(folder.stat().st_mode | 0o011)
    locked = write(directory, "locked", failureThreshold=2)
    locked.chmod(0)
    write(directory, failureThreshold=2)

    def unprivileged() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        lines = LineLogger()
        from breaker import get_default_config

        with Provider(get_default_config("svc", "dev"), policy_source=FileSource(tmp_path, POLL), logger=lines) as own:
            assert has(own, 2)()
            assert has(own, 5, "locked")()
            (rejection,) = lines.of("circuit breaker policy rejected")
            assert str(locked) in rejection["error"]
            assert "read permission" in rejection["error"]

    fork_and_check(unprivileged)


def test_things_that_are_no_documents_do_not_stop_the_watch(
    directory: Path, provider: Provider, lines: LineLogger
) -> None:
    os.mkfifo(directory / "pipe.json")
    (directory / "folder.json").mkdir()
    (directory / "dangling.json").symlink_to("nowhere")
    (directory / "loop.json").symlink_to("loop.json")
    (directory / "notes.txt").write_text("not a policy")
    write(directory, failureThreshold=2)
    eventually(has(provider, 2))
    rejected = {Path(keys["key"]).name: keys["error"] for keys in lines.of("circuit breaker policy rejected")}
    assert sorted(rejected) == ["folder.json", "loop.json", "pipe.json"]
    assert "not a regular file" in rejected["pipe.json"]
    assert "directory" in rejected["folder.json"] or "regular" in rejected["folder.json"]


def test_names_that_are_not_escaped_are_warned_about_once(
    directory: Path, provider: Provider, lines: LineLogger
) -> None:
    # S122
    for name in ("a%2fb.json", "a%b.json", ".json", "%64efault.json"):
        (directory / name).write_text('{"failureThreshold": 1}')
    (Path(os.fsdecode(os.fsencode(directory) + b"/\xff.json"))).write_text("{}")
    write(directory, failureThreshold=2)
    eventually(has(provider, 2))
    write(directory, failureThreshold=3)
    eventually(has(provider, 3))
    warned = [Path(keys["file"]).name for keys in lines.of("circuit breaker policy file ignored")]
    assert sorted(warned) == ["%64efault.json", ".json", "\\udcff.json", "a%2fb.json", "a%b.json"]


@pytest.mark.parametrize("name", ["/pkg.Service/Method", "50%", "naïve ☃", "..", "a b"])
def test_a_name_of_any_kind_has_its_file(directory: Path, provider: Provider, name: str) -> None:
    # S122
    from breaker.policies.names import document_key

    (directory / document_key(name)).write_text('{"failureThreshold": 2}')
    eventually(has(provider, 2, name))


def test_a_name_too_long_for_a_file_has_none_and_follows_the_default(directory: Path, provider: Provider) -> None:
    # S122
    name = "/" * 255  # 765 characters in its key; file systems take 255
    write(directory, "default", failureThreshold=2)
    eventually(has(provider, 2, name))


def test_two_thousand_documents_and_one_change(directory: Path, provider_of: Providers, tmp_path: Path) -> None:
    for number in range(2000):
        write(directory, f"name-{number}", failureThreshold=number + 1)
    heard: list[Any] = []
    provider = provider_of(Policy(), policy_source=FileSource(tmp_path, POLL), start_timeout=30)
    provider.subscribe(heard.append)
    for number in range(0, 2000, 100):
        assert has(provider, number + 1, f"name-{number}")()
    write(directory, "name-100", failureThreshold=9999)
    eventually(has(provider, 9999, "name-100"))
    assert [event.name for event in of_type(heard, PolicyUpdated)] == ["name-100"]
    assert of_type(heard, PolicyRejected) == []


def test_one_source_serves_two_providers(directory: Path, provider_of: Providers, tmp_path: Path) -> None:
    source = FileSource(tmp_path, POLL)
    one, two = provider_of(Policy(), policy_source=source), provider_of(Policy(), policy_source=source)
    write(directory, failureThreshold=2)
    eventually(has(one, 2))
    eventually(has(two, 2))
    one.close()
    write(directory, failureThreshold=3)
    eventually(has(two, 3))
    assert has(one, 2)()


@pytest.mark.parametrize(
    ("interval", "error"),
    [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (True, TypeError)],
)
def test_a_wrong_interval_is_refused(interval: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="poll_interval"):
        FileSource("/anywhere", interval)
