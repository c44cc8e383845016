"""etcd's methods on a channel, whose answers are read by a reader that raises nothing.

gRPC logs the traceback of a reader that raises. And a message of a few megabytes can be made to take a hundred times as
much when it is read, so what is made for that is not read at all.
"""

from __future__ import annotations

from typing import Any

from breaker.sources.etcd.checks import NotEtcd
from breaker.sources.etcd.grpc.import_etcd3 import Library

_FIELD, _FREE = 24, 256  # bytes that a field of an answer has at least, on average; fields that may be shorter


class Answer:
    """What has come: a message, or why it is none of the wanted kind. ``size``: in bytes, as it came."""

    __slots__ = ("message", "problem", "size")

    def __init__(self, size: int, message: Any = None, problem: str = "") -> None:
        self.size = size
        self.message = message
        self.problem = problem


class Methods:
    """The five that are used."""

    def __init__(self, library: Library, channel: Any) -> None:
        rpc = library.rpc
        unary = channel.unary_unary
        self.status = unary("/etcdserverpb.Maintenance/Status", **_coding(rpc.StatusRequest, rpc.StatusResponse))
        self.range = unary("/etcdserverpb.KV/Range", **_coding(rpc.RangeRequest, rpc.RangeResponse))
        self.txn = unary("/etcdserverpb.KV/Txn", **_coding(rpc.TxnRequest, rpc.TxnResponse))
        self.log_in = unary(
            "/etcdserverpb.Auth/Authenticate", **_coding(rpc.AuthenticateRequest, rpc.AuthenticateResponse)
        )
        self.watch = channel.stream_stream("/etcdserverpb.Watch/Watch", **_coding(rpc.WatchRequest, rpc.WatchResponse))


def read(answer: Answer) -> Any:
    """The message. Raises `NotEtcd` where there is none."""
    if answer.problem:
        raise NotEtcd("the message", answer.problem)
    return answer.message


def _coding(request: Any, response: Any) -> dict[str, Any]:
    def deserialize(raw: bytes) -> Answer:
        if _crowded(raw):
            return Answer(len(raw), problem="is made of next to nothing but empty fields")
        try:
            return Answer(len(raw), response.FromString(raw))
        except Exception as error:  # protobuf has several
            return Answer(len(raw), problem=f"is no {response.__name__} ({type(error).__name__})")

    return {"request_serializer": request.SerializeToString, "response_deserializer": deserialize}


def _crowded(raw: bytes) -> bool:
    """Whether it has more fields than fit into an answer of etcd of this length. Not whether it can be read."""
    left, place, size = _FREE + len(raw) // _FIELD, 0, len(raw)
    while place < size and left >= 0:
        left -= 1
        tag, place = _varint(raw, place)
        kind = tag & 7
        if kind == 2:
            length, place = _varint(raw, place)
            place += length
        elif kind == 0:
            _, place = _varint(raw, place)
        else:
            place += {1: 8, 5: 4}.get(kind, size)
    return left < 0


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    """A number at this place, and the place after it."""
    value = shift = 0
    while place < len(raw) and shift < 70:
        byte = raw[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            break
    return value, place
