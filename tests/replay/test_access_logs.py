"""Logs of servers and proxies as recorded calls, by lines as these programs write them."""

from datetime import UTC, datetime

import pytest

from breaker.errors import RecordingError
from breaker.replay import FORMATS, Call, Candidate, read_access_log, replay

MS = 1_000_000
SECOND = 1_000_000_000
COMMON = '203.0.113.7 - bob [04/May/2026:09:30:{second:02} +0200] "GET /prices HTTP/1.1" {status} 512'
HAPROXY = (
    "May  4 09:30:00 host haproxy[7]: 203.0.113.7:4711 [04/May/2026:09:30:00.{ms:03}] front~ prices/one "
    '0/0/1/40/{took} {status} 512 - - {ending} 1/1/0/0/0 0/0 {{agent}} "GET / HTTP/1.1"'
)
ENVOY = (
    '[2026-05-04T09:30:00.{ms:03}Z] "GET /prices HTTP/2" {status} {flags} 0 512 {took} 40 "-" "curl/8.1" "9a1b" '
    '"prices:8080" "10.0.0.7:8080"'
)


def common(second: int, status: int | str, after: str = "") -> str:
    return COMMON.format(second=second, status=status) + after + "\n"


@pytest.mark.parametrize(
    ("after", "took"),
    [
        ("", None),
        (' "-" "curl/8.1"', None),
        (" 0.500", 500 * MS),
        (' "-" "Mozilla (a \\"b\\" 1.0)" 0.500', 500 * MS),
        (' "-" "curl/8.1" rt=0.500', 500 * MS),
        (' "-" "curl/8.1" 500000', 500 * MS),
    ],
)
def test_the_common_and_the_combined_format_with_and_without_a_time(after: str, took: int | None) -> None:
    form = "combined" if "curl" in after or "Mozilla" in after else "common"
    read, others = read_access_log([common(1, 200, after)], form)
    assert others == 0
    assert read.calls == [Call(0, "http:access-log", took, "success")]
    end = datetime(2026, 5, 4, 7, 30, 1, tzinfo=UTC)
    assert read.started is not None
    assert (end - read.started).total_seconds() == (took or 0) / SECOND


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "success"), (304, "success"), (404, "success"), (501, "success"),
        (408, "failure"), (429, "failure"), (500, "failure"), (503, "failure"), (599, "failure"),
        (499, "ignored"), ("-", "ignored"),
    ],
)  # fmt: skip
def test_a_status_counts_as_in_a_client(status: int | str, outcome: str) -> None:
    read, _ = read_access_log([common(1, status)], "common")
    assert [call.outcome for call in read.calls] == [outcome]


def test_the_calls_of_a_second_are_spread_over_it() -> None:
    log = [common(1, 200), common(1, 500), common(1, 200), common(1, 200), common(3, 200)]
    read, _ = read_access_log(log, "common")
    assert [(call.at, call.outcome) for call in read.calls] == [
        (0, "success"),
        (250 * MS, "failure"),
        (500 * MS, "success"),
        (750 * MS, "success"),
        (2 * SECOND, "success"),
    ]


@pytest.mark.parametrize(
    ("status", "ending", "took", "call"),
    [
        (200, "----", "43", Call(0, "prices", 43 * MS, "success")),
        (504, "sH--", "+3000", Call(0, "prices", 3000 * MS, "failure")),
        (-1, "CD--", "12", Call(0, "prices", 12 * MS, "ignored")),
        (-1, "SH--", "-1", Call(0, "prices", None, "failure")),
    ],
)
def test_haproxy_says_who_ended_a_request(status: int, ending: str, took: str, call: Call) -> None:
    read, others = read_access_log([HAPROXY.format(ms=123, status=status, ending=ending, took=took)], "haproxy")
    assert (read.calls, others) == ([call], 0)


@pytest.mark.parametrize(
    ("status", "flags", "outcome"),
    [(200, "-", "success"), (503, "UH", "failure"), (503, "UF,URX", "failure"), (0, "DC", "ignored")],
)
def test_envoy_says_who_ended_a_request(status: int, flags: str, outcome: str) -> None:
    lines = [ENVOY.format(ms=ms, status=status, flags=flags, took=43) for ms in (500, 100)]
    read, others = read_access_log(lines, "envoy")
    assert others == 0
    assert read.calls == [Call(0, "prices:8080", 43 * MS, outcome), Call(400 * MS, "prices:8080", 43 * MS, outcome)]


def test_a_format_of_ones_own() -> None:
    lines = ["10 ok shop 7", "11.5 FAILURE shop 9", "12 ignored cart 1", "? failure cart 1"]
    form = r"regex:^(?P<time>\S+) (?P<outcome>ok|\w+) (?P<name>\w+) (?P<milliseconds>\d+)"
    lines = [line.replace("ok", "success").replace("10 ", "1777887010 ") for line in lines]
    lines = [line.replace("11.5", "1777887011.5").replace("12 ", "1777887012 ") for line in lines]
    read, others = read_access_log(lines, form)
    assert others == 1
    assert read.calls == [
        Call(0, "shop", 7 * MS, "success"),
        Call(3 * SECOND // 2, "shop", 9 * MS, "failure"),
        Call(2 * SECOND, "cart", 1 * MS, "ignored"),
    ]


@pytest.mark.parametrize("took", ["-", "-1", "nan", "inf", "9" * 400, "0.1, 0.2"])
def test_a_time_that_is_none_is_not_known(took: str) -> None:
    form = r"regex:^(?P<time>\S+) (?P<status>\d+) (?P<seconds>.+)$"
    read, others = read_access_log([f"1777887010 200 {took}", "1777887010 503 0.2"], form)
    assert (others, [call.took for call in read.calls]) == (0, [None, 200 * MS])
    read, others = read_access_log([common(1, 200, " " + "9" * 400)], "common")
    assert (others, [call.took for call in read.calls]) == (0, [None])


@pytest.mark.parametrize("time", ["", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z"])
def test_a_line_without_a_time_of_a_log_is_left_out(time: str) -> None:
    form = r"regex:^(?P<time>\S+)? (?P<status>\d+)"
    read, others = read_access_log([f"{time} 200", "2026-05-04T09:30:00+02:00 200"], form)
    assert others == 1
    assert read.started == datetime(2026, 5, 4, 7, 30, tzinfo=UTC)


def test_the_first_and_the_last_time_of_a_log_are_replayed() -> None:
    log = ["1970-01-01T00:00:00Z 200", "2116-01-01T00:00:00 500"]
    read, _ = read_access_log(log, r"regex:^(?P<time>\S+) (?P<status>\d+)")
    (result,) = replay(read.calls, [Candidate("one", {})])
    assert result.played[0].calls == 2


@pytest.mark.parametrize("name", ["default", "x" * 256])
def test_a_line_whose_name_no_breaker_can_have_is_of_the_log(name: str) -> None:
    line = HAPROXY.format(ms=1, took=4, status=503, ending="----")
    read, others = read_access_log([line.replace("prices/", name + "/"), line], "haproxy")
    assert (others, [call.name for call in read.calls]) == (0, ["http:access-log", "prices"])


def test_a_byte_order_mark_before_a_log() -> None:
    read, others = read_access_log(["\ufeff" + common(1, 200), common(2, 503)], "common")
    assert (others, len(read.calls)) == (0, 2)


def test_one_name_for_all_of_it() -> None:
    read, _ = read_access_log([ENVOY.format(ms=1, status=200, flags="-", took=4)], "envoy", name="http:prices")
    assert [call.name for call in read.calls] == ["http:prices"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_example_of_a_format_is_of_it(form: str) -> None:
    read, others = read_access_log([FORMATS[form].example, "something else"], form)
    assert (len(read.calls), others) == (1, 1)
    assert read.calls[0].took == 43 * MS


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "line", ["", "\n", "nonsense", "x" * 100_000, '" [' * 20_000, "a b " + '[x] "' * 9_000], ids=range(6)
)
def test_a_log_of_another_format_is_refused_in_time(form: str, line: str) -> None:
    with pytest.raises(RecordingError, match=r"access\.log: expected lines like") as caught:
        read_access_log([line], form, source="access.log")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("iis", "one of common, combined, haproxy, envoy or regex:"),
        ("regex:(", "regular expression is none"),
        ("regex:(?P<time>.)", "needs the groups time, and status or outcome"),
        ("regex:(?P<time>.)(?P<status>.)(?P<took>.)", "has the group took; known are"),
    ],
)
def test_a_format_that_is_none_is_refused(form: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_access_log(["x"], form)


def test_a_name_that_no_breaker_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="default"):
        read_access_log([common(1, 200)], "common", name="default")
