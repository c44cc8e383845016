"""A source of policies: each member reached and timed, the login, the documents, the watch, the clock over there."""

from __future__ import annotations

import argparse
import http.client
import os
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from breaker.cli.doctor.findings import NOTE, OK, WRONG, Finding
from breaker.cli.places import ETCDS, FILE, Place, endpoints_of, etcd_option, find, open_store
from breaker.cli.policy.documents import Documents
from breaker.cli.policy.watching import Following, Lost, Published
from breaker.cli.trouble import in_words_of_the_command_line
from breaker.errors import SourceError

_NOBODYS = "/breaker/doctor/"  # a path that holds nothing: listing it shows whether the server answers
_FIRST = 5.0  # seconds, at most, until the watch brings what there is
_PORT = 2379  # of etcd, where none is written
_FAR = 5.0  # seconds between the clocks that are worth a word


def findings(args: argparse.Namespace, source: str) -> Iterator[Finding]:
    """All of them. Raises `Mistake` where it is not said well whose documents are meant."""
    names_documents = any(
        (args.env, args.service, args.path, *map(os.environ.get, ("BREAKER_SERVICE", "BREAKER_POLICIES_PATH")))
    )
    place = find(args) if names_documents else None
    path = _NOBODYS if place is None else place.path
    reached = False
    for member in [None] if source.startswith(FILE) else endpoints_of(source):
        finding = _reach(args, source, path, member)
        reached = reached or finding.status != WRONG
        yield finding
        if member is not None and finding.status != WRONG:
            yield from _clock_there(args, source, member)
    if not reached:
        return
    if place is None:
        yield Finding("documents", NOTE, "not looked at", "say --env and --service")
        return
    yield from _documents(place)
    yield _watch(place)


def _reach(args: argparse.Namespace, source: str, path: str, member: str | None) -> Finding:
    where = source if member is None else member
    store = open_store(args, source, path, member)
    times = []
    try:
        for _ in range(3):
            began = time.perf_counter()
            store.list()
            times.append(time.perf_counter() - began)
    except SourceError as error:
        text = in_words_of_the_command_line(str(error))
        if path == _NOBODYS and "denies permission" in text:
            return Finding("source", OK, f"{where} answers, and has taken the login")
        return Finding("source", WRONG, text)
    login = f", as {user}" if (user := etcd_option(args, "user")) and member else ""
    rights = "" if member is not None else _rights(source)
    text = f"{where} answers a listing in {1000 * min(times):.1f} ms (first {1000 * times[0]:.1f} ms){login}{rights}"
    return Finding("source", OK, text)


def _rights(source: str) -> str:
    may_write = os.access(source.removeprefix(FILE), os.W_OK | os.X_OK)
    return ", writable" if may_write else ", not writable by this user"


def _documents(place: Place) -> Iterator[Finding]:
    try:
        documents = Documents.of(place.store)
    except SourceError as error:
        yield Finding("documents", WRONG, in_words_of_the_command_line(str(error)))
        return
    wrong = {name: why for name in documents.stored if (why := documents.error(name)) is not None}
    contradictions = {name: why for name, why in documents.contradictions().items() if name not in wrong}
    for name, why in wrong.items():
        yield Finding("documents", WRONG, why, f"look at it: {place.command('policy get', name)}")
    for name, why in contradictions.items():
        remedy = "change one of the two documents, unless the program's default policy mends it"
        yield Finding("documents", WRONG, f"{place.of(name)}: no program takes the policy: {why}", remedy)
    where = place.store.location(place.path, "")
    if not documents.stored:
        yield Finding("documents", NOTE, f"none at {where}", "compare with the config.policies_path of the program")
    elif not wrong and not contradictions:
        yield Finding("documents", OK, f"{len(documents.stored)} at {where}, all valid")


def _watch(place: Place) -> Finding:
    """Follow it as a program does, until it has said what there is."""
    following = Following(place.path, quiet=True)
    began = time.monotonic()
    place.store.start(following)
    try:
        while (left := _FIRST - (time.monotonic() - began)) > 0:
            said = following.next(left)
            if isinstance(said, Published):
                return Finding("watch", OK, f"followed in {1000 * (time.monotonic() - began):.0f} ms")
            if isinstance(said, Lost):
                return Finding("watch", WRONG, in_words_of_the_command_line(said.problem))
        return Finding("watch", WRONG, f"nothing came in {_FIRST:g} s")
    finally:
        following.close(place)


def _clock_there(args: argparse.Namespace, source: str, member: str) -> Iterator[Finding]:
    """The server's time of day beside ours, which certificates are judged by."""
    try:
        there = _date(args, source, member)
    except (OSError, http.client.HTTPException, ValueError, TypeError):  # the one who speaks no HTTP has no date
        return
    apart = time.time() - there
    if abs(apart) > _FAR:
        text = f"this machine is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} {member}"
        yield Finding("time", NOTE, text, "set the clocks: certificates are judged by them")
    else:
        yield Finding("time", OK, f"the clocks here and at {member} agree within {_FAR:g} s")


def _date(args: argparse.Namespace, source: str, member: str) -> float:
    parts = urlsplit(f"//{member}")
    host, port = parts.hostname or "", parts.port or _PORT
    cert = etcd_option(args, "cert")
    secure = source.startswith(ETCDS) or args.tls or cert or etcd_option(args, "ca")
    if secure:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only its clock is read
        if cert is not None:
            context.load_cert_chain(cert, etcd_option(args, "key"), password="")
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, timeout=2, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/version")
        return parsedate_to_datetime(connection.getresponse().headers["Date"]).timestamp()
    finally:
        connection.close()
