"""Servers that drip, flood and lie where etcd's gateway should be, beside a healthy one.

Each is given up within the limit of a request and said in one line; nothing of what it says is believed.
"""

import re
import time
from typing import Any

import pytest

from breaker.errors import Refused, SourceError
from breaker.sources import EtcdSource
from breaker.sources.base import Document
from support.drive import PATH
from support.etcd.hostile import CLOSE, LOGIN, RANGE, WATCH, Hostile, Script, Steps, at, header, kv, watched, whole
from support.etcd.recorded import Program, Record, given_up_beside
from support.etcd.server import Server
from support.etcd.subjects import LOST
from support.etcd.wrong_answers import BROKEN, LIES, LISTING, SLOW
from support.watching import eventually

REQUEST, PATIENT = 0.5, 3.0  # seconds: where the limit is what is tested, and where nothing is waited for


def past(
    healthy: Server, script: Script, text: str, record: Record, seconds: float = PATIENT
) -> list[dict[str, Document]]:
    with Hostile(script) as hostile:
        return given_up_beside(healthy.endpoint, hostile.endpoint, text, record, request_timeout=seconds)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("case", SLOW)
def test_a_server_that_drips_is_given_up(healthy: Server, case: str, record_property: Record) -> None:
    published = past(healthy, *SLOW[case], record_property, REQUEST)
    at_the_watch = SLOW[case][1] == "proxy_buffering off"
    assert [b"666" in str(documents).encode() for documents in published] == [True, False][not at_the_watch :]


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("case", BROKEN)
def test_a_server_that_does_not_keep_to_http_is_given_up(healthy: Server, case: str, record_property: Record) -> None:
    past(healthy, *BROKEN[case], record_property)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("case", LIES)
def test_a_server_that_lies_is_not_believed(healthy: Server, case: str, record_property: Record) -> None:
    # S132
    script, text = LIES[case]
    published = past(healthy, script, text, record_property)
    lied = [documents for documents in published if "666" in str(documents)]
    listed = script(RANGE, {}) is None and script(LOGIN, {}) is None  # then its listing was no lie
    assert len(lied) == listed
    assert all(documents == {"name-00.json": b'{"failureThreshold": 666}'} for documents in lied)


def in_parts(body: bytes, rate: int) -> Steps:
    """An answer at so many bytes a second."""
    head, _, rest = body.partition(b"\r\n\r\n")
    yield head + b"\r\n\r\n"
    for place in range(0, len(rest), rate // 25):
        yield rest[place : place + rate // 25]
        yield 0.04


LONG = [kv(f"{number:02}.json", '{"failureThreshold": 666}' + " " * 50_000) for number in range(4)]


def test_a_long_listing_may_take_longer_as_long_as_it_comes() -> None:
    (body,) = whole(LISTING | {"kvs": LONG, "count": "4"})
    with Hostile(at(RANGE, lambda: in_parts(body, 250_000))) as slow:
        began = time.monotonic()
        program = Program(slow.endpoint, request_timeout=REQUEST)
        breaker = program.provider.get_breaker("00")
        eventually(lambda: breaker.policy.failure_threshold == 666, 8)
        assert time.monotonic() - began > 2 * REQUEST
        assert program.said == []
        program.close()


def test_a_long_listing_that_comes_too_slowly_is_given_up() -> None:
    (body,) = whole(LISTING | {"kvs": LONG, "count": "4"})
    with Hostile(at(RANGE, lambda: in_parts(body, 20_000))) as slow:
        program = Program(slow.endpoint, request_timeout=REQUEST)
        eventually(lambda: program.said, 8)
        ((message, error),) = program.said
        assert message == LOST
        assert re.search(r"does not come to its end: \d+ bytes in 0.5 s and a second for each 64 KiB", error)
        assert program.source.published == []
        program.close()


@pytest.mark.parametrize("ends", [True, False], ids=["and the end", "and more"])
def test_what_nobody_asked_for_on_an_idle_connection_is_no_answer(ends: bool) -> None:
    """As proxies say 408 there before they hang up. The next request goes over a connection of its own."""

    def script(path: str, request: dict[str, Any]) -> Steps | None:
        if path != RANGE:
            return None
        kvs = [] if "min_mod_revision" in request else [kv()]
        answer: list[bytes | float] = [*whole({"header": header(), "kvs": kvs, "count": "1"}), 0.05]
        return [*answer, *whole(b"idle", "408 Request Time-out"), *([CLOSE] if ends else [])]

    with Hostile(script) as server:
        program = Program(server.endpoint, user=None, password=None, request_timeout=REQUEST, check_interval=0.2)
        eventually(lambda: server.asked.count(RANGE) >= 5, 8)
        assert server.asked.count(WATCH) == 1
        assert program.said == []
        program.close()


def test_a_change_that_the_watch_has_left_out_is_noticed_behind_a_later_one() -> None:
    """By the gateway's own fields: what changed since, and the store as it was."""
    lost = kv("lost.json", '{"failureThreshold": 8}', mod_revision="6")
    later = kv("name-00.json", '{"failureThreshold": 9}', mod_revision="7")
    asked: list[dict[str, Any]] = []

    def script(path: str, request: dict[str, Any]) -> Steps | None:
        if path == WATCH:
            brought = len([path for path in server.asked if path == WATCH]) == 1
            change = {"result": {"header": header(7), "events": [{"kv": later}]}}
            return watched(change) if brought else watched()
        if path != RANGE or server.asked.count(WATCH) == 0:
            return None
        asked.append(request)
        since = int(request.get("min_mod_revision", 0))
        found = [item for item in (lost, later) if int(item["mod_revision"]) >= since]
        return whole({"header": header(7), "kvs": found, "count": "2"})

    with Hostile(script) as server:
        program = Program(server.endpoint, request_timeout=REQUEST, check_interval=0.1)
        breaker = program.provider.get_breaker("lost")
        eventually(lambda: breaker.policy.failure_threshold == 8, 8)
        assert program.provider.get_breaker("name-00").policy.failure_threshold == 9
        assert program.said == []
        program.close()
    assert asked[0]["min_mod_revision"] == "6"
    assert asked[0]["keys_only"] is True


@pytest.mark.parametrize("case", ["a length that is too long", "HTTP 503 in plain text", "a redirect", "gzip"])
def test_a_tool_goes_on_to_the_next_endpoint(healthy: Server, case: str) -> None:
    script, text = BROKEN[case]
    with Hostile(script) as hostile:
        options: dict[str, Any] = {"policies_path": PATH, "request_timeout": PATIENT}
        tool = EtcdSource([hostile.endpoint, healthy.endpoint], **options)
        assert tool.list()["name-00"].document == b'{"failureThreshold": 7}'
        revision = tool.put("written", {"failureThreshold": 2})
        assert tool.list()["written"].revision == revision
        assert tool.delete("written")
        with pytest.raises(SourceError, match=text) as caught:
            EtcdSource(hostile.endpoint, **options).put("written", {})
        assert caught.value.endpoint == f"http://{hostile.endpoint}"


def test_a_tool_takes_no_more_than_a_program_does(healthy: Server) -> None:
    few = EtcdSource(healthy.endpoint, policies_path=PATH, max_documents=1)
    assert list(few.list()) == ["name-00"]
    few.put("one-more", {})
    with pytest.raises(Refused, match=r"etcd holds 2 keys below .* more than max_documents=1"):
        few.list()
    assert few.delete("one-more")
    empty, count = {"header": header()}, 0

    def answer(path: str, request: dict[str, Any]) -> Steps:
        nonlocal count
        if request["limit"] == "1":  # what is at the path itself
            return whole(empty)
        count += 1
        items = [kv(f"{count:03}-{number:04}.json", " " * 20_000) for number in range(500)]
        return whole(empty | {"kvs": items, "count": str(20_500 - 500 * count), "more": True})

    with Hostile(answer) as endless, pytest.raises(Refused, match="etcd holds more than 32 MiB"):
        EtcdSource(endless.endpoint, policies_path=PATH).list()
