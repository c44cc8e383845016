"""The import of ``etcd3`` 0.12 beside a protobuf that its generated code does not know.

That code is of 2018 and cannot be executed with protobuf 4 or later; what it describes can be used with any. So where
protobuf is newer, the descriptions are read out of the installed package's sources (nothing of them is executed), the
message classes are made from them by protobuf itself, and the whole stands in as ``etcd3.etcdrpc`` before ``etcd3`` is
imported. They live in a descriptor pool of their own: in protobuf's default one, any two packages that speak with etcd
clash over the names of the files.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import re
import sys
import warnings
from types import ModuleType
from typing import Any, NamedTuple

_WANTED = {"etcd3": "etcd3>=0.12,<0.13", "grpcio": "grpcio>=1.82", "protobuf": "protobuf>=4.25"}  # as in pyproject.toml
_MEND = "pip install " + " ".join(f"'{wanted}'" for wanted in _WANTED.values())
_GRPCIO = (1, 82)  # before it, a fork of a process with a channel crashes the parent or the child
_PROTOBUF = (4, 25)
_LEGACY_PROTOBUF = (4,)  # up to here (excluding) the generated code works as it is
_FILES = ("kv_pb2.py", "auth_pb2.py", "rpc_pb2.py")  # in order of what needs what
_DESCRIPTION = re.compile(r"serialized_pb=_b\(('(?:[^'\\]|\\.)*')\)")


class Library(NamedTuple):
    """What the transport uses of other packages. Untyped: neither of them has types."""

    grpc: Any
    etcd3: Any
    rpc: Any


def load() -> Library:
    """The packages, imported. Raises `ImportError` that says what to install."""
    _check_versions()
    with warnings.catch_warnings():  # of `etcd3` and of generated code, about what nobody here can mend
        warnings.simplefilter("ignore")
        try:
            return _import()
        except Exception as error:  # a generated module may fail with anything
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ImportError(f"the package etcd3 cannot be imported ({problem}); {_MEND}", name="etcd3") from error


def _import() -> Library:
    name = "etcd3.etcdrpc"
    made = None
    if "etcd3" not in sys.modules and name not in sys.modules and _version("protobuf") >= _LEGACY_PROTOBUF:
        made = _messages(name)
        sys.modules.setdefault(name, made)  # of two threads, one does
    try:
        etcd3 = importlib.import_module("etcd3")
        return Library(importlib.import_module("grpc"), etcd3, sys.modules[name])
    except BaseException:
        if made is not None and sys.modules.get(name) is made and "etcd3" not in sys.modules:
            del sys.modules[name]
        raise


def _check_versions() -> None:
    for package in _WANTED:
        try:
            found = _version(package)
        except importlib.metadata.PackageNotFoundError:
            raise ImportError(
                f"transport 'etcd3' needs the package {package}, which is not installed; {_MEND}", name="etcd3"
            ) from None
        if package == "grpcio" and found < _GRPCIO:
            raise ImportError(_too_old(package, "it crashes when the process forks"), name="grpc")
        if package == "protobuf" and "etcd3" not in sys.modules and _LEGACY_PROTOBUF <= found < _PROTOBUF:
            raise ImportError(_too_old(package, "it cannot make the messages"), name="google.protobuf")
        if package == "etcd3" and found[:2] != (0, 12):
            raise ImportError(_too_old(package, "only that one is known to work"), name="etcd3")


def _too_old(package: str, why: str) -> str:
    return f"{package} {importlib.metadata.version(package)} will not do: {why}; pip install '{_WANTED[package]}'"


def _version(package: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", importlib.metadata.version(package))[:3])


# -- etcd's messages and stubs, made from their descriptions --


def _messages(name: str) -> ModuleType:
    """What ``etcd3.etcdrpc`` holds where it can be imported: message classes, enumerations, their values, stubs."""
    descriptor_pool = importlib.import_module("google.protobuf.descriptor_pool")
    pool = descriptor_pool.DescriptorPool()
    for description in _descriptions():
        pool.AddSerializedFile(description)
    file = pool.FindFileByName("rpc.proto")
    module = ModuleType(name, "etcd's messages and stubs, made by breaker beside a protobuf newer than etcd3 knows.")
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    make_class = importlib.import_module("google.protobuf.message_factory").GetMessageClass
    wrapper = importlib.import_module("google.protobuf.internal.enum_type_wrapper")
    for descriptor in file.message_types_by_name.values():
        setattr(module, descriptor.name, make_class(descriptor))
    for enumeration in file.enum_types_by_name.values():
        setattr(module, enumeration.name, wrapper.EnumTypeWrapper(enumeration))
        for value in enumeration.values:
            setattr(module, value.name, value.number)
    for service in file.services_by_name.values():
        stub = _stub(service, make_class)
        setattr(module, stub.__name__, stub)
    return module


def _stub(service: Any, make_class: Any) -> type:
    """The class that grpc's generator would have written: an attribute for each method, made from a channel."""

    def bind(self: Any, channel: Any) -> None:
        for method in service.methods:
            kinds = (
                "stream" if streaming else "unary" for streaming in (method.client_streaming, method.server_streaming)
            )
            make = getattr(channel, "_".join(kinds))
            call = make(
                f"/{service.full_name}/{method.name}",
                request_serializer=make_class(method.input_type).SerializeToString,
                response_deserializer=make_class(method.output_type).FromString,
            )
            setattr(self, method.name, call)

    return type(f"{service.name}Stub", (), {"__init__": bind})


def _descriptions() -> list[bytes]:
    spec = importlib.util.find_spec("etcd3")
    if spec is None or spec.loader is None or not spec.submodule_search_locations:
        raise ImportError("it has no sources")
    loader: Any = spec.loader  # of files and of archives; both have `get_data`
    found = []
    for name in _FILES:
        path = os.path.join(spec.submodule_search_locations[0], "etcdrpc", name)
        source = loader.get_data(path).decode()
        constant = _DESCRIPTION.search(source)
        if constant is None:
            raise ImportError(f"{name} is not as in etcd3 0.12")
        found.append(ast.literal_eval(constant[1]).encode("latin-1"))
    return found
