"""Durations as Go reads them: the vectors of its ``time.ParseDuration``, and the way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.policies.durations import MAX_NANOSECONDS, UNITS, format_duration, parse_duration

US, MS, S, M, H = 1_000, 1_000_000, 1_000_000_000, 60_000_000_000, 3_600_000_000_000

GO = {
    "0": 0,
    "5s": 5 * S,
    "30s": 30 * S,
    "1478s": 1478 * S,
    "-5s": -5 * S,
    "+5s": 5 * S,
    "-0": 0,
    "+0": 0,
    "5.0s": 5 * S,
    "5.6s": 5 * S + 600 * MS,
    "5.s": 5 * S,
    ".5s": 500 * MS,
    "1.0s": S,
    "1.00s": S,
    "1.004s": S + 4 * MS,
    "1.0040s": S + 4 * MS,
    "100.00100s": 100 * S + MS,
    "10ns": 10,
    "11us": 11 * US,
    "12µs": 12 * US,  # U+00B5
    "12μs": 12 * US,  # U+03BC
    "13ms": 13 * MS,
    "14s": 14 * S,
    "15m": 15 * M,
    "16h": 16 * H,
    "3h30m": 3 * H + 30 * M,
    "10.5s4m": 4 * M + 10 * S + 500 * MS,
    "-2m3.4s": -(2 * M + 3 * S + 400 * MS),
    "1h2m3s4ms5us6ns": H + 2 * M + 3 * S + 4 * MS + 5 * US + 6,
    "39h9m14.425s": 39 * H + 9 * M + 14 * S + 425 * MS,
    "52763797000ns": 52_763_797_000,
    "0.3333333333333333333h": 20 * M,
    "9007199254740993ns": 2**53 + 1,
    "9223372036854775807ns": 2**63 - 1,
    "9223372036854775.807us": 2**63 - 1,
    "9223372036s854ms775us807ns": 2**63 - 1,
    "-9223372036854775808ns": -(2**63),
    "-9223372036854775.808us": -(2**63),
    "-9223372036s854ms775us808ns": -(2**63),
    "-2562047h47m16.854775808s": -(2**63),
    "0.100000000000000000000h": 6 * M,
    "0.830103483285477580700h": 49 * M + 48 * S + 372_539_827,
    # not among Go's own, by the same rules
    "300ms": 300 * MS,
    "1m30s": 90 * S,
    "1.5h": 90 * M,
    "0s": 0,
    "0h0m0s": 0,
    "1s1s": 2 * S,
    "1s1h": H + S,
    "007s": 7 * S,
    "0.9ns": 0,
    "1.9ns": 1,
    "0." + "0" * 400 + "1h": 0,
    "0" * 5000 + "1s": S,
    "1." + "9" * 5000 + "ns": 2,  # through a double, as in Go
}

NOT_GO = [
    *("", "3", "-", "s", ".", "-.", ".s", "+.s", "1d", "\x85\x85", "\xffff", "hello \xffff world"),
    *("\ufffd", "\ufffd hello \ufffd world"),
    *("9223372036854775810ns", "9223372036854775808ns", "-9223372036854775809ns", "9223372036854776us"),
    *("3000000h", "9223372036854775.808us", "9223372036854ms775us808ns"),
    # not among Go's own, by the same rules
    *("60", "1", "00", "+", "abc", "ms", "--5s", "+-5s", "-+5s", " 5s", "5s ", "5 s", "1m 30s", "5S", "5sec", "1M"),
    *("1e3s", "1_000s", "1,5s", "0x5s", "nans", "infs", "٣s", "５s", "²s", "5..5s", "5.5.5s", "5s-3s", "5s+3s", "1s5"),
    *("5\ns", "5s\n", "5s\0", "5\u2028s", "1.5", "1 h", "9" * 19 + "h", "9" * 5000 + "s", "1s" * 3 + "x"),
]


@pytest.mark.parametrize(("text", "nanoseconds"), GO.items(), ids=lambda value: str(value)[:30])
def test_what_go_reads(text: str, nanoseconds: int) -> None:
    # S126
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", NOT_GO, ids=lambda text: ascii(text)[:30])
def test_what_go_refuses(text: str) -> None:
    # S126
    with pytest.raises(ValueError, match=r"empty|number|unit|nanoseconds"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("60", "a unit is missing (ns, us, ms, s, m, h)"),
        ("1d", "'d' is not a unit (ns, us, ms, s, m, h)"),
        ("abc", "a number was expected at 'abc'"),
        ("5 s", "' s' is not a unit (ns, us, ms, s, m, h)"),
        ("9223372036854775808ns", "it is longer than 2**63 - 1 nanoseconds"),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared below
        parse_duration(text)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (60 * S, "1m"),
        (90 * S, "1m30s"),
        (250 * MS, "250ms"),
        (1500 * MS, "1.5s"),
        (1500, "1.5us"),
        (61 * S + 5 * MS, "1m1.005s"),
        (H + 1, "1h0.000000001s"),
        (-90 * S, "-1m30s"),
        (MAX_NANOSECONDS, "2562047h47m16.854775807s"),
    ],
)
def test_how_a_duration_is_written(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


@given(st.integers(-(2**63), 2**63 - 1))
def test_what_is_written_is_read_back(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.lists(st.tuples(st.integers(0, 2**63), st.sampled_from(sorted(UNITS))), min_size=1, max_size=6))
def test_parts_add_up_or_are_too_long(parts: list[tuple[int, str]]) -> None:
    total = sum(number * UNITS[unit] for number, unit in parts)
    text = "".join(f"{number}{unit}" for number, unit in parts)
    if total > MAX_NANOSECONDS:
        with pytest.raises(ValueError, match="longer"):
            parse_duration(text)
    else:
        assert parse_duration(text) == total


@given(st.integers(0, 10**9 - 1), st.integers(0, 10**9))
def test_fractions_of_a_second_are_exact_to_the_nanosecond(fraction: int, seconds: int) -> None:
    assert parse_duration(f"{seconds}.{fraction:09d}s") == seconds * S + fraction


@given(st.text(max_size=12))
def test_any_other_text_is_read_or_refused_as_a_value_error(text: str) -> None:
    try:
        nanoseconds = parse_duration(text)
    except ValueError:
        return
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds
