"""What etcd's error texts mean for us. The same texts come over both transports."""

from __future__ import annotations

from breaker.errors import SourceError
from breaker.sources.etcd.transport import Endpoint, Interrupted, Refused, TooBig, Unreachable

_TOKEN_EXPIRED = ("invalid auth token", "revision of auth store is old", "auth: revision in header is old")

# part of etcd's text → kind, what it means and how to mend it
_MEANINGS: tuple[tuple[str, type[SourceError], str], ...] = (
    ("authentication failed", Refused, "refused the user or the password; check user= and password="),
    ("invalid user", Refused, "refused the user or the password; check user= and password="),
    ("user name is empty", Refused, "demands a user; pass user= and password="),
    ("user name not found", Refused, "does not know the user; check user=, or add it with 'etcdctl user add'"),
    (
        "permission denied",
        Refused,
        "denies permission; let a role of the user read the prefix (and write, for put and delete): "
        "'etcdctl role grant-permission ROLE --prefix=true read PATH'",
    ),
    (
        "CommonName of client",
        Refused,
        "takes no client certificate with a CommonName through its JSON gateway while authentication is on; "
        "use transport='etcd3', or a certificate without CommonName and user= and password=",
    ),
    ("required revision has been compacted", Interrupted, "has compacted the revision that was asked for"),
    ("required revision is a future revision", Interrupted, "has lost revisions that it had"),
    ("larger than max", TooBig, "has an answer that is larger than this program takes at once"),
    ("request is too large", Refused, "takes no document of this size"),
    ("database space exceeded", Refused, "has no space left; compact, defragment and 'etcdctl alarm disarm'"),
)


def is_expired(text: str) -> bool:
    """Whether the server no longer takes the token."""
    return any(part in text for part in _TOKEN_EXPIRED)


def login_may_help(text: str, token: str | None) -> bool:
    """Whether a session that has a user should log in (again): also where authentication was switched on after it
    came in without a token."""
    return is_expired(text) or (token is None and "user name is empty" in text)


def refusal(endpoint: Endpoint, text: str) -> SourceError:
    """The error for what a server answered: its kind, where, what it means, how to mend it, and its own words."""
    for part, kind, meaning in _MEANINGS:
        if part in text:
            return kind(f"etcd at {endpoint} {meaning} (it says: {text})")
    if is_expired(text):
        return Refused(f"etcd at {endpoint} does not take its own token; check user= and password= (it says: {text})")
    return Unreachable(f"etcd at {endpoint} cannot answer now (it says: {text})")
