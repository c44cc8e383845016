"""The demo's documents: made when missing, edited in one step, put back at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from breaker import PolicyError, get_default_config
from breaker.cli.demo.policies import DemoPolicies
from breaker.errors import SourceError
from breaker.sources import EtcdSource, FileSource
from support.etcd.ports import free_ports
from support.etcd.server import Server

CONFIG = get_default_config("demo", "development")
KEYS = CONFIG.policies_path


def in_files(root: Path) -> DemoPolicies:
    store = FileSource(root, policies_path=KEYS)
    return DemoPolicies(store, CONFIG, {"a": {"failureThreshold": 1}})


def file_of(root: Path) -> Path:
    return root / KEYS.strip("/") / "a.json"


def test_edits_one_field_and_restores_the_first_text(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_text('{"failureThreshold": 7,   "successThreshold": 1}')
    policies = in_files(tmp_path)
    assert policies.place("a") == str(file)
    policies.edit("a", "failureThreshold", 8)
    policies.edit("a", "failureThreshold", 9)
    assert json.loads(file.read_text()) == {"failureThreshold": 9, "successThreshold": 1}
    policies.restore()
    assert file.read_text() == '{"failureThreshold": 7,   "successThreshold": 1}'
    assert list(file.parent.iterdir()) == [file]


def test_leaves_a_document_with_a_field_that_it_does_not_know(tmp_path: Path) -> None:
    """As `put` does: whoever writes such a field today has misspelt it, and leaving it out would be a change too."""
    policies = in_files(tmp_path)
    file_of(tmp_path).write_text('{"failureThreshold": 7,   "note": 1}')
    with pytest.raises(PolicyError, match="note must be a field of a policy"):
        policies.edit("a", "failureThreshold", 8)
    policies.restore()
    assert file_of(tmp_path).read_text() == '{"failureThreshold": 7,   "note": 1}'


def test_does_not_undo_what_somebody_else_wrote_since(tmp_path: Path) -> None:
    policies = in_files(tmp_path)
    policies.edit("a", "failureThreshold", 8)
    file_of(tmp_path).write_text("{}")
    policies.restore()
    assert file_of(tmp_path).read_text() == "{}"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    policies = in_files(tmp_path)
    target = file_of(tmp_path).rename(tmp_path / "elsewhere.json")
    file_of(tmp_path).symlink_to(target)
    policies.edit("a", "failureThreshold", 8)
    assert file_of(tmp_path).is_symlink()
    assert json.loads(target.read_text()) == {"failureThreshold": 8}


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_refuses_to_edit_what_is_no_object(tmp_path: Path, text: str) -> None:
    policies = in_files(tmp_path)
    file_of(tmp_path).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json: the document must be"):
        policies.edit("a", "failureThreshold", 8)
    assert file_of(tmp_path).read_bytes() == text.encode("latin-1")


def test_refuses_to_edit_what_is_not_there(tmp_path: Path) -> None:
    policies = in_files(tmp_path)
    with pytest.raises(ValueError, match=r"b\.json is not there"):
        policies.edit("b", "failureThreshold", 8)


def test_keys_are_made_edited_and_restored_like_files(tmp_path: Path) -> None:
    with Server(tmp_path) as etcd:
        etcd.api.put(f"{KEYS}mine.json", '{"failureThreshold": 7}')
        initial: dict[str, dict[str, object]] = {"mine": {"failureThreshold": 1}, "new": {"failureThreshold": 2}}
        policies = DemoPolicies(EtcdSource(etcd.endpoint, policies_path=KEYS), CONFIG, initial)
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
        DemoPolicies(EtcdSource(f"127.0.0.1:{free_ports(1)[0]}", policies_path=KEYS), CONFIG, {})
