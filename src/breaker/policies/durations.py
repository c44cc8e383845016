"""Durations as Go writes them, in whole nanoseconds: ``"300ms"``, ``"1m30s"``, ``"1.5h"``.

The grammar and the rounding are those of Go's ``time.ParseDuration``: numbers with an optional fraction, each
followed by a unit (ns us µs ms s m h), an optional sign before the first. A fraction finer than a nanosecond is
cut off; as in Go it goes through a double, so both languages read the same document as the same number.
"""

from __future__ import annotations

UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5 micro sign
    "μs": 1_000,  # U+03BC Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
MAX_NANOSECONDS = 2**63 - 1

#: What `parse_duration` reads as longer than 0, as a regular expression of JSON Schema. It cannot count: it lets pass
#: what is shorter than a nanosecond ("0.1ns") or longer than `MAX_NANOSECONDS`. ``(?!\n)`` is for Python's `re`, whose
#: ``$`` is also before a last line feed.
PATTERN = rf"^\+?(?=.*[1-9])(([0-9]+(\.[0-9]*)?|\.[0-9]+)({'|'.join(UNITS)}))+$(?!\n)"
_DIGITS = frozenset("0123456789")


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration string. Raises `ValueError` that says what is wrong with it."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    negative = text[:1] == "-"
    if rest == "0":
        return 0
    if not rest:
        raise ValueError("it is empty")
    total = 0
    while rest:
        whole, rest = _digits(rest)
        fraction = ""
        if rest[:1] == ".":
            fraction, rest = _digits(rest[1:])
        if not whole and not fraction:
            raise ValueError(f"a number was expected at {rest!r}" if rest else "a number has no digits")
        unit, rest = _unit(rest)
        whole = whole.lstrip("0")
        if len(whole) <= 19:  # no number of more digits fits, and Python refuses to read very long ones
            total += int(whole or "0") * UNITS[unit] + _fraction(fraction, UNITS[unit])
        if len(whole) > 19 or total > MAX_NANOSECONDS + negative:
            raise ValueError("it is longer than 2**63 - 1 nanoseconds")
    return -total if negative else total


def _digits(text: str) -> tuple[str, str]:
    end = 0
    while end < len(text) and text[end] in _DIGITS:
        end += 1
    return text[:end], text[end:]


def _unit(text: str) -> tuple[str, str]:
    end = 0
    while end < len(text) and text[end] != "." and text[end] not in _DIGITS:
        end += 1
    unit = text[:end]
    if not unit:
        raise ValueError("a unit is missing (ns, us, ms, s, m, h)")
    if unit not in UNITS:
        raise ValueError(f"{unit!r} is not a unit (ns, us, ms, s, m, h)")
    return unit, text[end:]


def _fraction(digits: str, unit: int) -> int:
    """The nanoseconds of ``0.digits`` units, rounded as Go does."""
    value, scale = 0, 1.0
    for digit in digits:
        if value > MAX_NANOSECONDS // 10 or (following := value * 10 + int(digit)) > MAX_NANOSECONDS:
            break
        value, scale = following, scale * 10
    return int(float(value) * (float(unit) / scale))


def format_duration(nanoseconds: int) -> str:
    """A Go duration string that `parse_duration` reads back as the same number: ``"1m30s"``, ``"1.5ms"``."""
    if nanoseconds < 0:
        return "-" + format_duration(-nanoseconds)
    if nanoseconds == 0:
        return "0s"
    text = ""
    for unit in ("h", "m"):
        count, nanoseconds = divmod(nanoseconds, UNITS[unit])
        text += f"{count}{unit}" if count else ""
    if nanoseconds:
        unit = "s" if text else next(unit for unit in ("s", "ms", "us", "ns") if nanoseconds >= UNITS[unit])
        text += _decimal(nanoseconds, UNITS[unit]) + unit
    return text


def _decimal(nanoseconds: int, unit: int) -> str:
    whole, rest = divmod(nanoseconds, unit)
    fraction = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
