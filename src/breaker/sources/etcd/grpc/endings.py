"""How a call over gRPC may end, and what that means."""

from __future__ import annotations

from collections.abc import Callable

from breaker.errors import Refused, SourceError, Unreachable
from breaker.sources.etcd.checks import printable
from breaker.sources.etcd.transport import Endpoint, Forked

FORK = "FORK"  # beside grpc's codes: ended by a fork of this process
# grpc's codes for what it says itself; with any other, the words are etcd's
_OF_THE_CONNECTION = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNIMPLEMENTED", "OK", "")
# part of grpc's text → what it means and how to mend it
_CONNECTING = (
    ("Connection refused", "nothing listens there; check the endpoint, and that etcd runs"),
    ("errors resolving", "the host name is not known; check the endpoint"),
    ("timed out", "no answer in time; check that it runs and that no firewall is between"),
    ("handshaker shutdown", "no answer in time; check that it runs and that no firewall is between"),
    ("ping timeout", "no answer in time; check that it runs and that no firewall is between"),
    ("Socket closed", "it closed the connection; if it wants TLS, write https://"),
)


class Ended(Exception):
    """The call is over: grpc's name of its status (empty: we have ended it), and the server's or grpc's words."""

    def __init__(self, code: str, details: object) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = printable(str(details), 500)


def explained(error: Ended, endpoint: Endpoint, refuse: Callable[[str], SourceError]) -> SourceError:
    """What a failed call means. etcd's own errors are recognised by their text, the others by grpc's code.

    ``refuse`` makes the error of a refusal from etcd's text.
    """
    code, text, place = error.code, error.details, f"etcd at {endpoint}"
    if code == FORK:
        return Forked(f"this process has forked while {place} was asked; what came of it is not known")
    if "etcdserver:" in text or code not in _OF_THE_CONNECTION:
        return refuse(text)
    if code == "DEADLINE_EXCEEDED":
        return Unreachable(f"no answer in time from {place}; check that it runs and that no firewall is between")
    if code == "UNIMPLEMENTED" or "Expected SETTINGS" in text:
        return Refused(f"what answers at {endpoint} does not speak gRPC as etcd does; check the endpoint ({text})")
    cause = next((meaning for part, meaning in _CONNECTING if part in text), text.rpartition("last error: ")[2])
    return Unreachable(f"cannot speak with {place}: {cause}")
