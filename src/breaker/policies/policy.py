"""Policies: what trips a breaker, what closes it again, and how long it stays open.

One table, `FIELDS`, says for every field its name in Python and in a document, and how a value of it is read; the
constructor, the documents and `Policy.to_json` all go by it.
"""

from __future__ import annotations

from breaker._frozen import Frozen
from breaker.errors import PolicyError
from breaker.policies.durations import MAX_NANOSECONDS, format_duration, parse_duration
from breaker.states import Mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from typing import Any

MAX_THRESHOLD = 2**31 - 1
MAX_PROBES = 1000
MAX_DOCUMENT_BYTES = 65_536


def _count(limit: int) -> Callable[[str, Any], int]:
    def read(field: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
            hint = f"write {value} without quotes" if isinstance(value, str) and value.isdecimal() else "write 5"
            raise PolicyError(field, f"a whole number from 1 to {limit}", _show(value), hint)
        return int(value)

    return read


def _number(low: float, high: float) -> Callable[[str, Any], float]:
    def read(field: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise PolicyError(field, f"a number from {low:g} to {high:g}", _show(value))
        return float(value)

    return read


def _seconds(field: str, value: Any) -> int:
    """Nanoseconds of a Python duration: finite seconds or a timedelta, > 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        nanoseconds = int(value) * 1_000_000_000
    elif isinstance(value, float) and abs(value) < 1e10:  # false for NaN too
        nanoseconds = round(value * 1e9)
    else:
        nanoseconds = _timedelta(field, value)
    if not 0 < nanoseconds <= MAX_NANOSECONDS:
        raise PolicyError(field, "at least one nanosecond and less than 2**63 nanoseconds", _show(value))
    return nanoseconds


def _timedelta(field: str, value: Any) -> int:
    from datetime import timedelta

    if not isinstance(value, timedelta):
        expected = "a positive, finite number of seconds below 2**63 nanoseconds, or a timedelta"
        raise PolicyError(field, expected, _show(value), "write 60.0 for a minute")
    return ((value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds) * 1_000


def _duration(field: str, value: Any) -> int:
    """Nanoseconds of a document's duration: a Go duration string, > 0."""
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e10
        hint = f'write "{value}s" for seconds or "{value}ms" for milliseconds' if number else 'write "60s" or "1m30s"'
        raise PolicyError(field, 'a duration in quotes like "60s"', _show(value), hint)
    try:
        nanoseconds = parse_duration(value)
    except ValueError as error:
        raise PolicyError(field, 'a duration like "60s"', _show(value), f'{error}; write "60s" or "1m30s"') from None
    if nanoseconds <= 0:
        raise PolicyError(field, "a duration longer than 0", _show(value), 'write "60s" or "1m30s"')
    return nanoseconds


def _mode(field: str, value: Any) -> Mode:
    if not isinstance(value, Mode):
        raise PolicyError(field, "a breaker.Mode", _show(value), "write Mode.AUTO")
    return value


def _mode_word(field: str, value: Any) -> Mode:
    try:
        return Mode(value)
    except ValueError:
        words = ", ".join(f'"{mode.value}"' for mode in Mode)
        raise PolicyError(field, f"one of {words}", _show(value)) from None


class _Field:
    """One row of the table: the slot it fills, its two names, its two readers, and how a document shows it."""

    __slots__ = ("key", "name", "optional", "read", "read_json", "slot", "unused", "write_json")

    def __init__(
        self,
        name: str,
        key: str,
        read: Callable[[str, Any], Any],
        read_json: Callable[[str, Any], Any] | None = None,
        write_json: Callable[[Any], Any] | None = None,
        *,
        optional: bool = False,
        unused: Any = None,
    ) -> None:
        self.name = name
        self.key = key
        self.read = read
        self.read_json = read_json or read
        self.write_json = write_json or (lambda value: value)
        self.optional = optional  # None is allowed in Python and means: derived from another field
        self.unused = unused  # the value that a document need not show
        self.slot = f"{name}_ns" if read is _seconds else name


def _time(name: str, key: str, *, optional: bool = False) -> _Field:
    return _Field(name, key, _seconds, _duration, format_duration, optional=optional)


FIELDS = (
    _Field("failure_threshold", "failureThreshold", _count(MAX_THRESHOLD)),
    _Field("success_threshold", "successThreshold", _count(MAX_THRESHOLD)),
    _time("open_state_timeout", "openStateTimeout"),
    _Field("half_open_max_calls", "halfOpenMaxCalls", _count(MAX_PROBES)),
    _time("probe_timeout", "probeTimeout", optional=True),
    _Field("mode", "mode", _mode, _mode_word, lambda mode: mode.value),
    _Field("open_timeout_multiplier", "openTimeoutMultiplier", _number(1, 1000), unused=1.0),
    _time("open_timeout_max", "openTimeoutMax", optional=True),
    _Field("open_timeout_jitter", "openTimeoutJitter", _number(0, 1), unused=0.0),
)
_BY_KEY = {field.key: field for field in FIELDS}


class Policy(Frozen):
    """How a breaker decides. Frozen, compared by value.

    ``failure_threshold``: failures in a row that open the breaker (1 … 2**31 - 1).
    ``success_threshold``: probe successes that close it again (1 … 2**31 - 1).
    ``open_state_timeout``: how long it stays open before the first probe; seconds or a `timedelta`, > 0.
    ``half_open_max_calls``: probes that may be in flight at once (1 … 1000).
    ``probe_timeout``: after how long a probe without an answer is given up; None: the open timeout.
    ``mode``: the operator's overlay, see `Mode`.
    ``open_timeout_multiplier``, ``open_timeout_max``: each reopening multiplies the open timeout (1: never), up to
    the maximum (None: no bound). ``open_timeout_jitter``: a random part of up to this fraction (0 … 1) is added.

    Raises `PolicyError`, naming the field, for a wrong value or type.
    """

    __slots__ = tuple(field.slot for field in FIELDS)
    failure_threshold: int
    success_threshold: int
    open_state_timeout_ns: int
    half_open_max_calls: int
    probe_timeout_ns: int | None
    mode: Mode
    open_timeout_multiplier: float
    open_timeout_max_ns: int | None
    open_timeout_jitter: float

    def __init__(
        self,
        failure_threshold: int = 5,
        success_threshold: int = 2,
        open_state_timeout: float | timedelta = 60.0,
        *,
        half_open_max_calls: int = 1,
        probe_timeout: float | timedelta | None = None,
        mode: Mode = Mode.AUTO,
        open_timeout_multiplier: float = 1.0,
        open_timeout_max: float | timedelta | None = None,
        open_timeout_jitter: float = 0.0,
    ) -> None:
        given = (
            failure_threshold,
            success_threshold,
            open_state_timeout,
            half_open_max_calls,
            probe_timeout,
            mode,
            open_timeout_multiplier,
            open_timeout_max,
            open_timeout_jitter,
        )
        for field, value in zip(FIELDS, given, strict=True):
            absent = value is None and field.optional
            self._set(**{field.slot: None if absent else field.read(field.name, value)})

    @property
    def open_state_timeout(self) -> float:
        """Seconds from opening to the first probe."""
        return self.open_state_timeout_ns / 1e9

    @property
    def probe_timeout(self) -> float | None:
        """Seconds after which a silent probe is given up, or None: the open timeout."""
        return None if self.probe_timeout_ns is None else self.probe_timeout_ns / 1e9

    @property
    def open_timeout_max(self) -> float | None:
        """Seconds that the open timeout may grow to, or None: no bound."""
        return None if self.open_timeout_max_ns is None else self.open_timeout_max_ns / 1e9

    @classmethod
    def from_json(cls, document: bytes | str) -> Policy:
        """The policy of a document; a missing field has its built-in default, an unknown one is passed over.

        Raises `PolicyError` that names the field, what was expected and how to write it.
        """
        return cls().merged(read_document(document)[0])

    def to_json(self) -> bytes:
        """The document that `from_json` reads back as an equal policy."""
        import json

        return json.dumps(self.document(whole=True)).encode()

    def document(self, *, whole: bool = False) -> dict[str, Any]:
        """The policy as a document's keys and values, without the features that it does not use.

        ``whole``: with those too, so that nothing can be inherited in their place; only None has no form in a document.
        """
        values = ((field, getattr(self, field.slot)) for field in FIELDS)
        shown = (pair for pair in values if pair[1] is not None and (whole or pair[1] != pair[0].unused))
        return {field.key: field.write_json(value) for field, value in shown}

    def merged(self, fields: Mapping[str, Any]) -> Policy:
        """This policy with the fields of a document (as `read_document` returns them) in place of its own."""
        if not fields:
            return self
        merged = Policy.__new__(Policy)
        merged._set(**{name: fields.get(name, getattr(self, name)) for name in self.__slots__})
        return merged

    def numbers(self) -> dict[str, int | float]:
        """What the core decides by: the name of a member of its struct → the number, for every field."""
        numbers = {field.slot: getattr(self, field.slot) for field in FIELDS}
        if numbers["probe_timeout_ns"] is None:
            numbers["probe_timeout_ns"] = numbers["open_state_timeout_ns"]
        if numbers["open_timeout_max_ns"] is None:
            numbers["open_timeout_max_ns"] = MAX_NANOSECONDS
        return {**numbers, "mode": list(Mode).index(self.mode)}

    def differences(self, other: Policy) -> dict[str, tuple[Any, Any]]:
        """The fields in which the two differ: document key → (this one's value, the other's), as in documents."""
        pairs = ((field, getattr(self, field.slot), getattr(other, field.slot)) for field in FIELDS)
        return {f.key: (_written(f, mine), _written(f, theirs)) for f, mine, theirs in pairs if mine != theirs}

    def __repr__(self) -> str:
        named = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in FIELDS[3:])
        first = f"{self.failure_threshold}, {self.success_threshold}, {self.open_state_timeout}"
        return f"Policy({first}, {named})"


def read_document(document: bytes | str) -> tuple[dict[str, Any], list[str]]:
    """The fields that a document sets, validated (slot → value), and the names of those it does not know.

    Raises `PolicyError`.
    """
    parsed = _parse(document)
    fields = {}
    for key, value in parsed.items():
        if field := _BY_KEY.get(key):
            fields[field.slot] = field.read_json(key, value)
    return fields, sorted(parsed.keys() - _BY_KEY.keys())


def _parse(document: bytes | str) -> dict[str, Any]:
    import json

    expected = 'a JSON object like {"failureThreshold": 5}'
    if not isinstance(document, bytes | bytearray | str):
        raise PolicyError(None, f"{expected} in text or bytes", _show(document))
    raw = document.encode(errors="surrogatepass") if isinstance(document, str) else document
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise PolicyError(None, f"at most {MAX_DOCUMENT_BYTES} bytes long", "more")
    try:
        text = document if isinstance(document, str) else document.decode()
        if not text.strip():
            raise PolicyError(None, expected, "nothing")
        parsed = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise PolicyError(None, f"{expected} in UTF-8", f"a byte that is not UTF-8 at {error.start}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, PolicyError):
            raise
        reason = "objects nested too deep" if isinstance(error, RecursionError) else str(error)
        raise PolicyError(None, expected, f"text that is no JSON ({reason})") from None
    if not isinstance(parsed, dict):
        raise PolicyError(None, expected, _show(parsed))
    return parsed


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise PolicyError(twice, "there once", "the same key twice in one object", "delete one of the two")
    return parsed


def _integer(digits: str) -> float:
    # Python refuses to read very long numbers; as infinity one is refused like any that is too large, by its field.
    return int(digits) if len(digits) < 1000 else float(digits)


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _written(field: _Field, value: Any) -> Any:
    return None if value is None else field.write_json(value)


_TYPE_NAMES = {
    bool: "true or false",
    str: "text",
    float: "a decimal number",
    int: "a number",
    dict: "an object",
    list: "an array",
}


def _show(value: Any) -> str:
    """A value as an error shows it: short, and with its kind where the kind is what is wrong."""
    if value is None:
        return "null (None)"
    try:
        shown = repr(value)
    except Exception:  # a repr of the caller's, or an int too long for Python to write out
        shown = "a value that cannot be shown"
    if len(shown) > 60:
        shown = shown[:57] + "..."
    kind = _TYPE_NAMES.get(type(value), type(value).__name__)
    return f"{shown} ({kind})"
