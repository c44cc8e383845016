"""The numbers in SECURITY.md are those of the program."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from breaker import Policy, Provider
from breaker.policies.documents import MAX_DEPTH, MAX_DOCUMENT_BYTES
from breaker.policies.names import MAX_NAME_BYTES
from breaker.sources import EtcdSource
from breaker.sources.etcd.transport import Limits

PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", PAGE.partition("\n## Limits")[2], flags=re.MULTILINE))


def default_of(function: object, name: str) -> object:
    return inspect.signature(function).parameters[name].default  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "number"),
    [
        ("a document", f"{MAX_DOCUMENT_BYTES:,} bytes"),
        ("a document", f"{MAX_DEPTH} levels"),
        ("a breaker's name", f"{MAX_NAME_BYTES} bytes"),
        ("documents below a path in etcd", f"{default_of(EtcdSource, 'max_documents'):,}"),
        ("one answer of etcd, one message of its watch", f"{Limits().answer >> 20} MiB"),
        ("a connection, a request to etcd", f"`connect_timeout` {Limits().connect:g} s"),
        ("a connection, a request to etcd", f"`request_timeout` {Limits().request:g} s"),
        ("probes at a time", f"{Policy.half_open_max_calls.most:,}"),
        ("waiting for documents at the start", f"{default_of(Provider, 'start_timeout'):g} s"),
    ],
)
def test_a_limit_is_the_programs(row: str, number: str) -> None:
    assert number in ROWS[row]
