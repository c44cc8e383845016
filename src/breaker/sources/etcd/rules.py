"""What etcd's error texts and ended watches mean for us, and when to log in again. The same over both transports."""

from __future__ import annotations

from collections.abc import Callable

from breaker.errors import Interrupted, Refused, SourceError, TooBig, Unreachable
from breaker.sources.etcd.checks import printable
from breaker.sources.etcd.transport import Access, Endpoint

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
    ("message larger than max", TooBig, "has an answer that is larger than this program takes at once"),
    ("request is too large", Refused, "takes no document of this size"),
    ("database space exceeded", Refused, "has no space left; compact, defragment and 'etcdctl alarm disarm'"),
)


def is_expired(text: str) -> bool:
    """Whether the server no longer takes the token."""
    return any(part in text for part in _TOKEN_EXPIRED)


def login_may_help(text: str, access: Access, token: str | None) -> bool:
    """Whether a session should log in and ask again, once.

    It has a user, and its token is no longer taken, or authentication was switched on after it came in without one.
    """
    return access.user is not None and (is_expired(text) or (token is None and "user name is empty" in text))


def needs_no_login(text: str) -> bool:
    """Whether a login failed only because the server has authentication switched off.

    Once it is switched on, requests without a token are refused, and `login_may_help`.
    """
    return "authentication is not enabled" in text


def end_of_watch(
    endpoint: Endpoint, access: Access, compacted: int, reason: str, refuse: Callable[[str], SourceError]
) -> SourceError:
    """Why the server has ended a watch.

    Args:
        endpoint: Where.
        access: A session with a user may log in again.
        compacted: The revision below which the server has compacted; 0: it has not.
        reason: The server's words; empty where it gave none.
        refuse: Makes the error of a refusal from its text.
    """
    if compacted:
        return Interrupted(f"etcd at {endpoint} has compacted what the watch had not seen yet ({compacted})")
    if is_expired(reason) and access.user is not None:
        return Interrupted(f"etcd at {endpoint} has ended the watch: {printable(reason)}")
    return refuse(reason or "no reason given")


def unconfirmed(endpoint: Endpoint) -> Unreachable:
    """The error for a watch that the server has not confirmed in time, though it has answered a request just before."""
    return Unreachable(
        f"etcd at {endpoint} answers requests and does not confirm the watch in time; if a proxy is between, let it "
        "buffer nothing (nginx: proxy_buffering off). Until then changes come with listings"
    )


def refusal(endpoint: Endpoint, text: str) -> SourceError:
    """The error for what a server answered: its kind, where, what it means, how to mend it, and its own words."""
    text = printable(text)
    for part, kind, meaning in _MEANINGS:
        if part in text:
            return kind(f"etcd at {endpoint} {meaning} (it says: {text})")
    if is_expired(text):
        return Refused(f"etcd at {endpoint} does not take its own token; check user= and password= (it says: {text})")
    return Unreachable(f"etcd at {endpoint} cannot answer now (it says: {text})")
