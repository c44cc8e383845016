"""The import of etcd3 beside the protobuf that is installed, and what is said where it cannot be."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from breaker.sources import EtcdSource
from breaker.sources.etcd.grpc import import_etcd3
from support.processes import FREE_THREADED, run_python

pytestmark = pytest.mark.timeout(60)
needs_grpc = pytest.mark.skipif(FREE_THREADED, reason="grpcio has no packages for free-threaded builds")


@needs_grpc
def test_the_import_is_silent_and_leaves_the_default_pool_alone() -> None:
    said = run_python(
        """
import sys
from breaker.sources.etcd.grpc.import_etcd3 import load
library = load()
from google.protobuf import descriptor_pool
assert load().rpc is library.rpc is sys.modules["etcd3.etcdrpc"]
import etcd3
assert etcd3 is library.etcd3
assert etcd3.etcdrpc is library.rpc
try:
    descriptor_pool.Default().FindFileByName("rpc.proto")
except KeyError:
    print("clean")
"""
    )
    assert said == "clean\n"


@needs_grpc
def test_messages_are_what_the_generated_code_would_have_made() -> None:
    rpc = import_etcd3.load().rpc
    request = rpc.TxnRequest(compare=[rpc.Compare(key=b"k", target=rpc.Compare.MOD, mod_revision=7)])
    request.success.add().request_put.CopyFrom(rpc.PutRequest(key=b"k", value=b"v"))
    assert request.SerializeToString() == b"\n\x07\x10\x02\x1a\x01k0\x07\x12\x08\x12\x06\n\x01k\x12\x01v"
    assert rpc.TxnRequest.FromString(request.SerializeToString()) == request
    assert (rpc.NOSPACE, rpc.AlarmType.Name(1), rpc.RangeRequest.DESCEND) == (1, "NOSPACE", 2)
    for service in ("KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth"):
        assert isinstance(getattr(rpc, f"{service}Stub"), type)


@needs_grpc
def test_stubs_have_the_methods_of_the_generated_ones() -> None:
    made: list[tuple[str, str]] = []

    class Channel:
        def __getattr__(self, kind: str) -> Any:
            return lambda path, **_: made.append((kind, path))

    rpc = import_etcd3.load().rpc
    rpc.KVStub(Channel())
    rpc.WatchStub(Channel())
    rpc.MaintenanceStub(Channel())
    assert ("unary_unary", "/etcdserverpb.KV/Range") in made
    assert ("stream_stream", "/etcdserverpb.Watch/Watch") in made
    assert ("unary_stream", "/etcdserverpb.Maintenance/Snapshot") in made


@needs_grpc
def test_an_import_by_the_program_itself_is_used() -> None:
    run_python(
        """
import sys, warnings
from breaker.sources.etcd.grpc import import_etcd3
with warnings.catch_warnings():  # protobuf 4.25 has one on Python 3.12
    warnings.simplefilter("ignore")
    theirs = sys.modules["etcd3.etcdrpc"] = import_etcd3._messages("etcd3.etcdrpc")
    import etcd3
import_etcd3._messages = None
assert import_etcd3.load().rpc is theirs
"""
    )


def test_nothing_of_it_is_imported_before_it_is_wanted() -> None:
    run_python(
        """
import sys
import breaker.sources.etcd.grpc.session
from breaker.sources import EtcdSource
EtcdSource("127.0.0.1:2379")
assert not {"grpc", "etcd3", "google.protobuf"} & set(sys.modules)
"""
    )


def versions(monkeypatch: pytest.MonkeyPatch, **installed: str | None) -> None:
    """Let it look as if these versions were installed (None: not at all)."""
    found = {"etcd3": "0.12.0", "grpcio": "1.85.0", "protobuf": "7.36.0"} | installed

    def version(package: str) -> str:
        if found[package] is None:
            raise importlib.metadata.PackageNotFoundError(package)
        return str(found[package])

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.delitem(sys.modules, "etcd3", raising=False)


ALL = "pip install 'etcd3>=0.12,<0.13' 'grpcio>=1.82' 'protobuf>=4.25'"


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ({"etcd3": None}, rf"needs the package etcd3, which is not installed; {ALL}$"),
        ({"grpcio": None}, rf"needs the package grpcio, which is not installed; {ALL}$"),
        ({"protobuf": None}, r"needs the package protobuf, which is not installed"),
        ({"grpcio": "1.78.1"}, r"grpcio 1.78.1 will not do: .* forks; pip install 'grpcio>=1.82'"),
        ({"protobuf": "4.21.12"}, r"protobuf 4.21.12 will not do: .*; pip install 'protobuf>=4.25'"),
        ({"etcd3": "0.7.0"}, r"etcd3 0.7.0 will not do: .*; pip install 'etcd3>=0.12,<0.13'"),
    ],
    ids=["no etcd3", "no grpcio", "no protobuf", "old grpcio", "old protobuf", "old etcd3"],
)
def test_what_to_install(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str | None], said: str) -> None:
    versions(monkeypatch, **installed)
    with pytest.raises(ImportError, match=said):
        EtcdSource("127.0.0.1:2379", transport="etcd3")


@needs_grpc
@pytest.mark.parametrize("source", ["serialized_pb=None", ""], ids=["another form", "empty"])
def test_sources_that_are_not_as_expected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str) -> None:
    versions(monkeypatch)
    monkeypatch.delitem(sys.modules, "etcd3.etcdrpc", raising=False)
    (tmp_path / "etcdrpc").mkdir()
    (tmp_path / "etcdrpc" / "kv_pb2.py").write_text(source)
    init = tmp_path / "__init__.py"
    init.touch()
    other = importlib.util.spec_from_file_location("etcd3", init, submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: other)
    with pytest.raises(ImportError, match=r"the package etcd3 cannot be imported .*kv_pb2.py is not as in etcd3 0.12"):
        import_etcd3.load()
    assert "etcd3.etcdrpc" not in sys.modules
