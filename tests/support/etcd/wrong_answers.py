"""Scripts of servers that drip, flood and lie where etcd's gateway should be, and what is said of each."""

import itertools
import zlib
from typing import Any

from support.etcd.hostile import (
    CHUNKED,
    CLOSE,
    CREATED,
    LOGIN,
    RANGE,
    WATCH,
    Script,
    at,
    chunk,
    coded,
    drip,
    event,
    flood,
    header,
    kv,
    watched,
    whole,
)

HEAD = b"HTTP/1.1 200 OK\r\n"
LISTING = {"header": header(), "kvs": [kv()], "count": "1"}


def listing(**fields: Any) -> Script:
    """A server whose answers to a listing have these fields; None: not this one."""
    changed = {name: value for name, value in {**LISTING, **fields}.items() if value is not None}
    return at(RANGE, lambda: whole(changed))


def key(**fields: Any) -> Script:
    """A server with one key, of which these fields are wrong; None: missing."""
    changed = {name: value for name, value in kv(**fields).items() if value is not None}
    return listing(kvs=[changed])


def message(document: object) -> Script:
    """A server whose watch brings this."""
    return at(WATCH, lambda: watched(document))


def says(*steps: bytes | float, path: str = RANGE) -> Script:
    """A server that answers with these bytes and seconds."""
    return at(path, lambda: steps)


def gzipped(size: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(b" " * 1_000_000) for _ in range(size // 1_000_000)) + packer.flush()


def endless(begin: bytes, data: bytes, path: str = RANGE) -> Script:
    return at(path, lambda: itertools.chain([begin] if begin else [], flood(data)))


def dripped(begin: bytes, data: bytes, path: str = RANGE) -> Script:
    return at(path, lambda: itertools.chain([begin] if begin else [], drip(data)))


BOMB = gzipped(100_000_000)
IN_TIME = "no answer in time|does not come to its end"
NOT_ETCD = "is not an etcd answer: "

# -- slow --

SLOW: dict[str, tuple[Script, str]] = {
    "nothing": (says(60.0), IN_TIME),
    "a head": (dripped(b"", HEAD + b"X: " + b"x" * 1000), IN_TIME),
    "heads": (dripped(HEAD, b"X: y\r\n" * 1000), IN_TIME),
    "continue": (dripped(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), IN_TIME),
    "continues, whole": (at(RANGE, lambda: itertools.cycle([b"HTTP/1.1 102 Processing\r\n\r\n", 0.02])), IN_TIME),
    "a body": (dripped(HEAD + b"Content-Length: 1000\r\n\r\n", b"{" * 1000), IN_TIME),
    "a body that ends with the connection": (dripped(HEAD + b"\r\n", b" " * 1000), IN_TIME),
    "chunks": (dripped(CHUNKED, chunk(b"{") * 1000), IN_TIME),
    "a chunk": (dripped(CHUNKED + b"fff\r\n", b"{" * 1000), IN_TIME),
    "the size of a chunk": (dripped(CHUNKED, b"0" * 1000), IN_TIME),
    "trailers": (dripped(CHUNKED + chunk(LISTING) + b"0\r\n", b"X: y\r\n" * 1000), IN_TIME),
    "one trailer": (dripped(CHUNKED + chunk(LISTING) + b"0\r\n", b"X: " + b"y" * 1000), IN_TIME),
    "an error page": (dripped(b"HTTP/1.1 500 No\r\nContent-Length: 999\r\n\r\n", b"x" * 999), IN_TIME),
    "a login": (dripped(HEAD + b"Content-Length: 1000\r\n\r\n", b"{" * 1000, LOGIN), IN_TIME),
    "the head of a watch": (dripped(b"", HEAD + b"X: " + b"x" * 1000, WATCH), "proxy_buffering off"),
    "a silent watch": (says(CHUNKED, 60.0, path=WATCH), "proxy_buffering off"),
    "the confirmation": (dripped(CHUNKED, chunk(CREATED), WATCH), "proxy_buffering off"),
    "blank lines for a confirmation": (dripped(CHUNKED, chunk(b"\n") * 999, WATCH), "proxy_buffering off"),
    "no watch but an error page": (dripped(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 999, WATCH), "proxy_buffering off"),
}

# -- more than there should be, or what HTTP has not --

BROKEN: dict[str, tuple[Script, str]] = {
    "chunk size -1": (says(CHUNKED + b"-1\r\nxxxx", 60.0), "not in chunks"),
    "no chunk size": (says(CHUNKED + b"\r\n\r\n", 60.0), "not in chunks"),
    "a chunk of 2^64 bytes": (endless(CHUNKED + b"1" + b"0" * 16 + b"\r\n", b"x"), "not in chunks"),
    "a chunk of 2^60 bytes": (endless(CHUNKED + b"1" + b"0" * 15 + b"\r\n", b"x"), "more than 16777216 bytes"),
    "one-byte chunks": (endless(CHUNKED, chunk(b"x")), "chunks of a few bytes"),
    "endless extensions": (endless(CHUNKED, b";x=y"), "not in chunks"),
    "endless trailers": (endless(CHUNKED + chunk(LISTING) + b"0\r\n", b"X: y\r\n"), "not in chunks"),
    "a line of a head without end": (endless(HEAD, b"x"), "head .* more than 65536 bytes"),
    "a head without end": (endless(HEAD, b"X: y\r\n"), "head .* more than 65536 bytes"),
    "heads without end": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "head .* more than 65536 bytes"),
    "a status without end": (endless(b"HTTP/1.1 200 ", b"x"), "head .* more than 65536 bytes"),
    "a body without end": (endless(HEAD + b"\r\n", b" "), "more than 16777216 bytes"),
    "a page without end": (endless(b"HTTP/1.1 503 No\r\n\r\n", b"x"), r"HTTP 503: 'x+…'"),
    "a length that is too long": (endless(HEAD + b"Content-Length: 99999999999\r\n\r\n", b" "), "more than 16777216"),
    "a length that is no number": (says(HEAD + b"Content-Length: -1\r\n\r\n", 60.0), "no length that can be: '-1'"),
    "two lengths": (says(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 60.0), "no length that can be"),
    "packed by what nobody knows": (says(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 60.0), "'gzip, chunked'"),
    "gzip": (at(RANGE, lambda: whole(BOMB, Content_Encoding="gzip")), "Content-Encoding must not"),
    "gzip in secret": (at(RANGE, lambda: whole(BOMB)), NOT_ETCD),
    "gzip for a watch": (
        says(CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n", path=WATCH),
        "Content-Encoding must not",
    ),
    "too short": (says(HEAD + b"Content-Length: 1000\r\n\r\n{}", CLOSE), "cut off"),
    "cut in a chunk": (says(CHUNKED + chunk(LISTING)[:50], CLOSE), "cut off"),
    "cut before the last chunk": (says(CHUNKED + chunk(LISTING), CLOSE), "cut off"),
    "cut in a head": (says(HEAD + b"Content-", CLOSE), "cut off"),
    "cut without a word of its length": (says(HEAD + b"\r\n" + whole(LISTING)[0][50:90], CLOSE), "cut off|is no JSON"),
    "closed at once": (says(CLOSE), "closed the connection"),
    "another protocol": (says(b"SSH-2.0-OpenSSH_9.2\r\n", 60.0), "does not speak HTTP"),
    "another protocol, slowly": (dripped(b"", b"SSH-2.0-OpenSSH_9.2\r\n"), "does not speak HTTP"),
    "a status that is none": (says(HEAD.replace(b"200", b"2x0") + b"\r\n", 60.0), "does not speak HTTP"),
    "HTTP/2": (says(b"HTTP/2 200\r\n\r\n", 60.0), "does not speak HTTP"),
    "a redirect": (at(RANGE, lambda: whole(b"", "302 Found", Location="http://x/")), "HTTP 302, to 'http://x/'"),
    "another protocol from here on": (says(b"HTTP/1.1 101 Switching\r\n\r\n", 60.0), "HTTP 101"),
    "no content": (says(b"HTTP/1.1 204 No Content\r\n\r\n", 60.0), "HTTP 204"),
    "a line of a watch without end": (
        endless(CHUNKED + chunk(CREATED) + b"f" * 8 + b"\r\n", b"x", WATCH),
        "message .* more than 16777216 bytes",
    ),
}
for _status in (408, 429, 500, 502, 503, 504, 599):
    BROKEN[f"HTTP {_status} in plain text"] = (
        at(RANGE, lambda status=_status: whole(b"no\r\ntoday", f"{status} No")),  # type: ignore[misc]
        rf"cannot answer now \(HTTP {_status}: 'no today'\)",
    )
    BROKEN[f"HTTP {_status} for a watch"] = (
        at(WATCH, lambda status=_status: whole(b"not today", f"{status} No")),  # type: ignore[misc]
        f"HTTP {_status}",
    )
for _status in (400, 403, 404, 405, 418):
    BROKEN[f"HTTP {_status} in plain text"] = (
        at(RANGE, lambda status=_status: whole(b"<html>no", f"{status} No")),  # type: ignore[misc]
        f"no JSON gateway of etcd .HTTP {_status}|HTTP {_status}",
    )

# -- lies --

HUGE = "9" * 30
LIES: dict[str, tuple[Script, str]] = {
    "no JSON": (at(RANGE, lambda: whole(b"<html>")), "is no JSON"),
    "not UTF-8": (at(RANGE, lambda: whole(b'{"a": "\xff"}')), "is no JSON"),
    "an array": (at(RANGE, lambda: whole([1])), "must be a JSON object"),
    "null": (at(RANGE, lambda: whole(None)), "must be a JSON object"),
    "nothing": (at(RANGE, lambda: whole(b"")), "is no JSON"),
    "NaN": (at(RANGE, lambda: whole(b'{"header": {"revision": NaN}}')), "NaN is not JSON"),
    "Infinity": (at(RANGE, lambda: whole(b'{"header": {"revision": -Infinity}}')), "Infinity is not JSON"),
    "deep": (at(RANGE, lambda: whole(b'{"kvs":' * 99 + b"1" + b"}" * 99)), "header must be an object"),
    "very deep": (at(RANGE, lambda: whole(b'{"a":' * 500_000 + b"}" * 500_000)), "nothing but brackets"),
    "deep enough": (at(RANGE, lambda: whole((b'{"a":' + b" " * 50) * 50_000 + b"1" + b"}" * 50_000)), NOT_ETCD),
    "a number of very many digits": (at(RANGE, lambda: whole(b'{"header": %s}' % (b"9" * 9999))), NOT_ETCD),
    "a key twice": (at(RANGE, lambda: whole(b'{"kvs": [], "kvs": []}')), "kvs is there twice"),
    "no header": (listing(header=None), "header must be an object, got nothing"),
    "a header of another kind": (listing(header=[1]), r"header must be an object, got \[1\]"),
    "no revision": (listing(header={}), "header.revision must be a number from 1, got 0"),
    "no kvs": (listing(kvs=None), "kvs has 0 items of 1"),
    "kvs of another kind": (listing(kvs={"a": 1}), "kvs must be a list of objects"),
    "a kv of another kind": (listing(kvs=[1]), "kvs must be a list of objects"),
    "no count": (listing(count=None), "count is 0, with 1 items"),
    "a count that is too small": (listing(kvs=[kv("a.json"), kv("b.json")]), "count is 1, with 2 items"),
    "a count that is too large": (listing(count="2"), "kvs has 1 items of 2"),
    "more of nothing": (listing(more=True, count="2"), "more is true, with 1 items"),
    "more items than asked for": (
        listing(kvs=[kv(f"{n:04}.json") for n in range(501)], count="501"),
        "more items than the 500",
    ),
    "a key outside of the path": (key(key=coded("/config/prod/other/breakers/default.json")), "key lies outside"),
    "no key": (key(key=None), "key lies outside of what was asked for: b''"),
    "a value that is no base64": (key(value="!"), "kvs.value must be base64, got !"),
    "a value of another kind": (key(value=["x"]), r"kvs.value must be base64, got \['x'\]"),
    "base64 of a web page": (key(key="e30_-w=="), "kvs.key must be base64"),
    "keys out of order": (listing(kvs=[kv("b.json"), kv("a.json")], count="2"), "out of order"),
    "a key twice in a listing": (listing(kvs=[kv(), kv()], count="2"), "out of order"),
    "a change of after the listing": (key(mod_revision="6"), "kvs.mod_revision must be a number from 1 to 5, got 6"),
    "a key that was never changed": (key(mod_revision=None), "kvs.mod_revision must be a number from 1 to 5, got 0"),
    "an error of another kind": (listing(error={"message": 5}), "cannot answer now|is not an etcd answer"),
    "an error without end": (listing(error="x" * 100_000), r"it says: x+…"),
    "a login without a token": (at(LOGIN, lambda: whole({"header": header()})), "token must be text"),
    "a token with a header in it": (at(LOGIN, lambda: whole({"token": "x\r\nHost: y"})), "token must be text"),
    "a token of another kind": (at(LOGIN, lambda: whole({"token": 5})), "token must be text, got 5"),
    "a watch that confirms nothing": (at(WATCH, lambda: watched(created=event())), "created must be true here"),
    "a watch that confirms twice": (message(CREATED), "created must be false here"),
    "no result": (message({}), "result must be an object, got nothing"),
    "a message that is no JSON": (message(b"hello\n"), "is no JSON"),
    "a message that is cut": (message(b'{"result": {"header"\n'), "is no JSON"),
    "a message without header": (message(event(header=None)), "header must be an object, got nothing"),
    "no kv": (message(event(event={"kv": None})), "events.kv must be an object"),
    "events of another kind": (message(event(events="x")), "events must be a list of objects, got x"),
    "an event of no kind": (message(event(event={"type": "MOVE"})), "events.type must be PUT or DELETE, got MOVE"),
    "an event of a strange kind": (message(event(event={"type": [1]})), "events.type must be PUT or DELETE"),
    "an event older than the listing": (
        message(event(kv={"mod_revision": "5"})),
        "events.kv.mod_revision must be a number from 6, got 5",
    ),
    "an event without a revision": (message(event(kv={"mod_revision": "0"})), "mod_revision must be a number from 6"),
    "an event of the future": (message(event(kv={"mod_revision": "900"})), "is 900, after the header's 6"),
    "an event outside of the path": (message(event(kv={"key": coded("/elsewhere/default.json")})), "key lies outside"),
    "an event that is no base64": (message(event(kv={"value": "="})), "events.kv.value must be base64"),
    "an end for a strange reason": (message(event(canceled=True, cancel_reason=5)), "cancel_reason must be text"),
    "an end that is no truth": (message(event(canceled="no")), "canceled must be true or false, got no"),
    "a compaction of no revision": (message(event(compact_revision="x")), "compact_revision must be a number"),
}
for _wrong in ("x", "-1", "1.5", "", " 5", "٥", "1_0", HUGE, True, 1.5, -1, 10**30, None, [5], {"a": 5}):
    LIES[f"revision {_wrong!r}"] = (listing(header={"revision": _wrong}), "header.revision must be a number")
    LIES[f"mod_revision {_wrong!r}"] = (
        listing(kvs=[kv() | {"mod_revision": _wrong}]),
        r"kvs.mod_revision must be a number from [01]",
    )
    LIES[f"count {_wrong!r}"] = (at(RANGE, lambda w=_wrong: whole(LISTING | {"count": w})), "count must be a number")  # type: ignore[misc]
for _wrong in (1, 0, "true", [], {}, None):
    LIES[f"more {_wrong!r}"] = (at(RANGE, lambda w=_wrong: whole(LISTING | {"more": w})), "more must be true or false")  # type: ignore[misc]
