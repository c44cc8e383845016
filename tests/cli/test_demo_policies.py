"""The demo's documents: made when missing, edited in one step, put back at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from breaker import get_default_config
from breaker.cli.demo.policies import PolicyDirectory, PolicyKeys
from breaker.errors import SourceError
from support.etcd.ports import free_ports
from support.etcd.server import Server

DOCUMENTS = "config/dev/demo/breakers"


def directory(root: Path) -> PolicyDirectory:
    config = get_default_config("demo", "development")
    return PolicyDirectory(root, config, {"a": {"failureThreshold": 1}})


def test_edits_one_field_and_restores_the_first_text(tmp_path: Path) -> None:
    file = tmp_path / DOCUMENTS / "a.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"failureThreshold": 7,   "note": 1}')
    policies = directory(tmp_path)
    policies.edit("a", "failureThreshold", 8)
    policies.edit("a", "failureThreshold", 9)
    assert json.loads(file.read_text()) == {"failureThreshold": 9, "note": 1}
    policies.restore()
    assert file.read_text() == '{"failureThreshold": 7,   "note": 1}'
    assert list(file.parent.iterdir()) == [file]


def test_does_not_undo_what_somebody_else_wrote_since(tmp_path: Path) -> None:
    policies = directory(tmp_path)
    policies.edit("a", "failureThreshold", 8)
    policies.file("a").write_text("{}")
    policies.restore()
    assert policies.file("a").read_text() == "{}"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    policies = directory(tmp_path)
    target = policies.file("a").rename(tmp_path / "elsewhere.json")
    policies.file("a").symlink_to(target)
    policies.edit("a", "failureThreshold", 8)
    assert policies.file("a").is_symlink()
    assert json.loads(target.read_text()) == {"failureThreshold": 8}


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_refuses_to_edit_what_is_no_object(tmp_path: Path, text: str) -> None:
    policies = directory(tmp_path)
    policies.file("a").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError):  # noqa: PT011 - JSON and Unicode errors word their own messages
        policies.edit("a", "failureThreshold", 8)
    assert policies.file("a").read_bytes() == text.encode("latin-1")


KEYS = "/config/dev/demo/breakers/"


def test_keys_are_made_edited_and_restored_like_files(tmp_path: Path) -> None:
    config = get_default_config("demo", "development")
    with Server(tmp_path) as etcd:
        etcd.api.put(f"{KEYS}mine.json", '{"failureThreshold": 7}')
        initial: dict[str, dict[str, object]] = {"mine": {"failureThreshold": 1}, "new": {"failureThreshold": 2}}
        policies = PolicyKeys(etcd.endpoint, config, initial)
        policies.edit("mine", "failureThreshold", 8)
        policies.edit("mine", "failureThreshold", 9)
        policies.edit("new", "failureThreshold", 3)
        assert json.loads(etcd.api.documents(KEYS)["mine.json"]) == {"failureThreshold": 9}
        etcd.api.put(f"{KEYS}new.json", "{}")  # somebody else, since
        policies.restore()
        documents = etcd.api.documents(KEYS)
        assert documents == {"mine.json": b'{"failureThreshold": 7}', "new.json": b"{}"}


def test_an_etcd_that_is_not_there_is_an_error() -> None:
    with pytest.raises(SourceError, match="nothing listens there"):
        PolicyKeys(f"127.0.0.1:{free_ports(1)[0]}", get_default_config("demo", "development"), {})
