"""A gRPC server that lies, hangs and floods where etcd should be, beside a healthy one."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from breaker.sources.base import Document
from support.drive import PATH
from support.etcd.ports import HOST, free_ports
from support.etcd.recorded import given_up_beside
from support.etcd.server import Server
from support.processes import FREE_THREADED

pytestmark = pytest.mark.skipif(FREE_THREADED, reason="grpcio has no packages for free-threaded builds")
REVISION = 5
Answer = Callable[[Any], Any]  # etcd's messages → what is answered: a message, bytes, or a list of them for a watch


class Lying:
    """Speaks gRPC as etcd does. ``answers``: method → what it says instead of the truth."""

    def __init__(self, answers: dict[str, Answer], **options: Any) -> None:
        import grpc

        from breaker.sources.etcd.grpc import import_etcd3

        self.rpc = import_etcd3.load().rpc
        self.answers = answers
        self.ended = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(8, "proxy-lying"), **options)
        handlers: Any = (self,)
        self._server.add_generic_rpc_handlers(handlers)
        self.endpoint = f"{HOST}:{free_ports(1)[0]}"
        self._server.add_insecure_port(self.endpoint)
        self._server.start()

    def __enter__(self) -> "Lying":
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.stop(None).wait()

    def service(self, details: Any) -> Any:
        """The handler of a call: gRPC asks for it."""
        import grpc

        method = details.method.rpartition("/")[2]
        if method == "Watch":
            return grpc.stream_stream_rpc_method_handler(self._watch)
        return grpc.unary_unary_rpc_method_handler(lambda raw, context: self._say(method, context))

    def _say(self, method: str, context: Any) -> bytes:
        answer: Any = self.answers.get(method, self.honest(method))(self.rpc)
        if callable(answer):
            answer = answer(context, self.ended)
        return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString())

    def _watch(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        next(requests)
        for message in self.answers.get("Watch", created)(self.rpc):
            yield message if isinstance(message, bytes) else message.SerializeToString()
        while context.is_active() and not self.ended.wait(0.02):
            continue

    def honest(self, method: str) -> Answer:
        if method == "Range":
            return listing
        return lambda rpc: rpc.StatusResponse() if method == "Status" else rpc.AuthenticateResponse(token="t")


def header(rpc: Any, revision: int = REVISION) -> Any:
    return rpc.ResponseHeader(revision=revision)


def kv(rpc: Any, name: str = "name-00.json", **fields: Any) -> Any:
    kind = type(rpc.RangeResponse().kvs.add())
    given: dict[str, Any] = {"key": (PATH + name).encode(), "mod_revision": 4, "value": b'{"failureThreshold": 666}'}
    return kind(**(given | fields))


def listing(rpc: Any, **fields: Any) -> Any:
    return rpc.RangeResponse(**({"header": header(rpc), "kvs": [kv(rpc)], "count": 1} | fields))


def created(rpc: Any) -> list[Any]:
    return [rpc.WatchResponse(header=header(rpc), created=True)]


def event(rpc: Any, revision: int = REVISION + 1, **fields: Any) -> list[Any]:
    message = rpc.WatchResponse(header=header(rpc, REVISION + 1))
    message.events.add(kv=kv(rpc, mod_revision=revision, **fields))
    return [*created(rpc), message]


def ranged(**fields: Callable[[Any], Any]) -> dict[str, Answer]:
    return {"Range": lambda rpc: listing(rpc, **{name: value(rpc) for name, value in fields.items()})}


def kvs(make: Callable[[Any], list[Any]], count: int) -> dict[str, Answer]:
    return ranged(kvs=make, count=lambda rpc: count)


def hang(context: Any, ended: threading.Event) -> bytes:
    ended.wait(30)
    return b""


def no(code: str, details: str) -> Answer:
    import grpc

    def abort(context: Any, ended: threading.Event) -> bytes:
        context.abort(getattr(grpc.StatusCode, code), details)
        raise AssertionError

    return lambda rpc: abort


IN_TIME, UNCONFIRMED, NOT_ETCD = "no answer in time", "proxy_buffering off", "is not an etcd answer: "
CASES: dict[str, tuple[dict[str, Answer], str]] = {
    "no answer": ({"Status": lambda rpc: hang}, IN_TIME),
    "no listing": ({"Range": lambda rpc: hang}, IN_TIME),
    "no login": ({"Authenticate": lambda rpc: hang}, IN_TIME),
    "no confirmation": ({"Watch": lambda rpc: []}, UNCONFIRMED),
    "noise": ({"Range": lambda rpc: b"\xff" * 1000}, NOT_ETCD + "the message is no RangeResponse"),
    "noise for a status": ({"Status": lambda rpc: b"\xff" * 1000}, NOT_ETCD + "the message is no StatusResponse"),
    "noise for a watch": ({"Watch": lambda rpc: [b"\xff" * 99]}, NOT_ETCD + "the message is no WatchResponse"),
    "nothing": ({"Range": lambda rpc: b""}, "header.revision must be a number from 1, got 0"),
    "empty items": ({"Range": lambda rpc: b"\x12\x00" * 4_000_000}, "next to nothing but empty fields"),
    "empty events": ({"Watch": lambda rpc: [*created(rpc), b"\x5a\x00" * 4_000_000]}, "nothing but empty fields"),
    "too large": ({"Range": lambda rpc: b"\x12" * (17 << 20)}, "larger than this program takes"),
    "a negative revision": (ranged(header=lambda rpc: header(rpc, -1)), "header.revision must be a number from 1"),
    "a negative count": (ranged(count=lambda rpc: -5), "count is -5, with 1 items"),
    "a count that is too large": (ranged(count=lambda rpc: 2**62), "kvs has 1 items of"),
    "more of nothing": (ranged(more=lambda rpc: True), "more is true, with 1 items of the 500"),
    "more items than asked for": (
        kvs(lambda rpc: [kv(rpc, f"{n:04}.json") for n in range(501)], 501),
        "more items than the 500",
    ),
    "a key outside of the path": (kvs(lambda rpc: [kv(rpc, key=b"/elsewhere")], 1), "key lies outside"),
    "no key": (kvs(lambda rpc: [kv(rpc, key=b"")], 1), "key lies outside"),
    "keys out of order": (kvs(lambda rpc: [kv(rpc, "b.json"), kv(rpc, "a.json")], 2), "out of order"),
    "a change of the future": (kvs(lambda rpc: [kv(rpc, mod_revision=6)], 1), "mod_revision must be a number"),
    "a token that is none": ({"Authenticate": lambda rpc: rpc.AuthenticateResponse(token="\n")}, "token must be text"),
    "confirmed by an event": ({"Watch": lambda rpc: event(rpc)[1:]}, "created must be true here"),
    "an event older than the listing": ({"Watch": lambda rpc: event(rpc, 5)}, "mod_revision must be a number from 6"),
    "an event of the future": ({"Watch": lambda rpc: event(rpc, 900)}, "is 900, after the header's 6"),
    "an event outside of the path": ({"Watch": lambda rpc: event(rpc, key=b"/x")}, "key lies outside"),
    "unavailable": ({"Range": no("UNAVAILABLE", "no\nbackend " + "x" * 5000)}, "cannot speak with|cannot answer now"),
    "exhausted": ({"Range": no("RESOURCE_EXHAUSTED", "slow down")}, "cannot answer now .it says: slow down"),
    "unimplemented": ({"Range": no("UNIMPLEMENTED", "what?")}, "does not speak gRPC as etcd does"),
}


def past(endpoint: str, healthy: Server, text: str, seconds: float = 0.5) -> list[dict[str, Document]]:
    options: dict[str, Any] = {"transport": "etcd3", "request_timeout": seconds, "connect_timeout": 0.5}
    return given_up_beside(healthy.endpoint, endpoint, text, **options)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("case", CASES)
def test_a_server_that_lies_or_hangs_is_past(
    healthy: Server, case: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    answers, text = CASES[case]
    with Lying(answers) as lying:
        # A lie is seen at once, whatever the limit is; a large one takes its time on a busy machine.
        published = past(lying.endpoint, healthy, text, 0.5 if text in (IN_TIME, UNCONFIRMED) else 10)
    lied = [documents for documents in published if "666" in str(documents)]
    assert len(lied) == ("Watch" in answers)  # then its listing was no lie
    assert "Traceback" not in caplog.text + "".join(capfd.readouterr())


SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # HTTP/2's frame that each side begins with


@contextmanager
def dripping(begin: bytes, data: bytes) -> Iterator[str]:
    """Whoever connects gets the beginning, and then this one byte after the other, whatever he says."""
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection, suppress(OSError):
                connection.settimeout(1)
                connection.sendall(begin)
                for byte in data:
                    connection.sendall(bytes([byte]))
                    if ended.wait(0.05):
                        break

    with socket.create_server((HOST, free_ports(1)[0])) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve, name="proxy-dripping")
        thread.start()
        try:
            yield f"{HOST}:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join(10)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize(
    ("begin", "data"),
    [(b"", SETTINGS * 99), (SETTINGS, b"\x00" * 99), (SETTINGS, b"\xff" * 99), (b"", b"HTTP/1.1 200 OK\r\n" * 9)],
    ids=["settings", "silence after settings", "a large frame", "another protocol"],
)
def test_a_server_that_drips_is_past(healthy: Server, begin: bytes, data: bytes) -> None:
    with dripping(begin, data) as endpoint:
        past(endpoint, healthy, "no answer in time|cannot speak with|does not speak gRPC|cannot answer now")


@pytest.mark.usefixtures("in_order")
def test_what_is_packed_is_not_unpacked(healthy: Server) -> None:
    import grpc

    bomb = {"Range": lambda rpc: listing(rpc, kvs=[kv(rpc, value=b" " * (24 << 20))])}
    with Lying(bomb, compression=grpc.Compression.Gzip, options=[("grpc.max_send_message_length", -1)]) as lying:
        past(lying.endpoint, healthy, "gzip' is disabled", 5.0)
