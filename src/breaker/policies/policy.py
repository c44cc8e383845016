"""Policies: what trips a breaker, what closes it again, and how long it stays open."""

from __future__ import annotations

from breaker.policies.documents import read_document, write_document
from breaker.policies.durations import UNITS
from breaker.policies.fields import Choice, Count, Number, OptionalTime, Time
from breaker.policies.record import Record
from breaker.policies.switches import Ratio, SwitchedCount, SwitchedTime
from breaker.policies.trip_rules import contradiction
from breaker.policies.window import Recent, Window
from breaker.states import Mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Policy"]


class Policy(Record):
    """How a breaker decides. Frozen, compared by value.

    What each field does is in docs/states.md: S13, S23, S50 (thresholds and slots), S21, S74, S78 (the open
    timeout), S66 (leases), S90 to S98 (modes), S200 to S211 (rates and slow calls). Changed while calls run: S110 to
    S116 and S212 to S216.

    Args:
        {arguments}
    Raises:
        PolicyError: a wrong value or type, names the field; or fields that contradict each other, names all of them.

    .. versionadded:: 0.1
    """

    __slots__ = ()

    # One row per field, and nothing else of a field anywhere: the constructor, the document, its JSON Schema, what a
    # difference shows, the tables of the documentation and the numbers that the core is given are made of these. The
    # rows are in this class, not in a base of it, because mypy forgets of inherited ones what reading them gives.
    failure_threshold: SwitchedCount = SwitchedCount(
        default=5,
        most=2**31 - 1,
        off="no number of them does",
        kw_only=False,
        means="failures in a row that open the breaker",
    )
    success_threshold: Count = Count(
        default=2,
        most=2**31 - 1,
        kw_only=False,
        means="successful probes that close it",
    )
    open_state_timeout: Time = Time(
        default=60.0,
        kw_only=False,
        means="from opening until a probe is let through",
    )
    half_open_max_calls: Count = Count(
        default=1,
        most=1000,
        means="probes in flight at the same time",
    )
    probe_timeout: OptionalTime = OptionalTime(
        default=None,
        unset="the open timeout",
        otherwise="open_state_timeout",
        means="after this the slot of a probe that has not ended is free again; its end still counts",
    )
    mode: Choice[Mode] = Choice(
        Mode,
        default=Mode.AUTO,
        means="the overlay on the state",
    )
    open_timeout_multiplier: Number = Number(
        default=1.0,
        least=1,
        most=1000,
        off_by_default=True,
        means="each reopening multiplies the open timeout; staying closed for as long as it last was resets it",
    )
    open_timeout_max: OptionalTime = OptionalTime(
        default=None,
        unset="10 minutes, or the open timeout if that is longer",
        otherwise=10 * UNITS["m"],
        means="how long the multiplied open timeout may get",
    )
    open_timeout_jitter: Number = Number(
        default=0.0,
        least=0,
        most=1,
        off_by_default=True,
        means="a random part of the open timeout that is added, drawn once per opening",
    )
    failure_rate_threshold: Ratio = Ratio(
        default=None,
        off="no part of them does",
        means="the part of the calls in the window that opens the breaker when it fails",
    )
    slow_call_rate_threshold: Ratio = Ratio(
        default=None,
        off="no part of them does",
        means="the part of the calls in the window that opens the breaker when it is slow",
    )
    slow_call_duration: SwitchedTime = SwitchedTime(
        default=None,
        off="no call is slow",
        means="a call that lasts this long is slow, whether it has ended or not",
    )
    window: Recent = Recent(
        default=Window(calls=100),
        off_by_default=True,
        means="the recent calls that the rates are of",
    )
    minimum_calls: Count = Count(
        default=10,
        most=2**31 - 1,
        off_by_default=True,
        means="calls in the window before a rate is judged",
    )
    recovery_time: SwitchedTime = SwitchedTime(
        default=None,
        off="all of them at once",
        means="after probes have closed it, the admitted part of the calls grows over this time from a tenth to all",
    )

    @classmethod
    def from_json(cls, document: bytes | str) -> Policy:
        """The policy of a document; a missing field has its built-in default, an unknown one is passed over.

        Args:
            document: JSON text.
        Raises:
            PolicyError: names the field, what was expected and how to write it; or fields that contradict each other.
        """
        policy = cls().merged(read_document(document, cls.fields)[0])
        error = contradiction(policy, lambda row: row.key)
        if error is not None:
            raise error
        return policy

    def _check(self) -> None:
        error = contradiction(self, lambda row: row.name)
        if error is not None:
            raise error

    def to_json(self) -> bytes:
        """The document that `from_json` reads back as an equal policy."""
        return write_document(self.document(whole=True))

    def document(self, *, whole: bool = False) -> dict[str, Any]:
        """The policy as a document's keys and values, without the features that it does not use.

        Args:
            whole: with those too, so that nothing can be inherited in their place; the None of a field that cannot be
                switched off has no form in a document.
        """
        shown = {}
        for name, field in self.fields.items():
            held = self._held[name]
            value = field.write_json(held)
            used = whole or not field.off_by_default or held != field.read(name, field.default)
            if used and (value is not None or field.nullable):
                shown[field.key] = value
        return shown

    def differences(self, other: Policy) -> dict[str, tuple[Any, Any]]:
        """The fields in which the two differ.

        Args:
            other: the policy to compare with.
        Returns:
            Document key → (this one's value, the other's), as in documents.
        """
        mine, theirs = self._held, other._held
        return {
            field.key: (field.write_json(mine[name]), field.write_json(theirs[name]))
            for name, field in self.fields.items()
            if mine[name] != theirs[name]
        }

    def numbers(self) -> dict[str, int | float]:
        """What the core decides by: the name of a member of its struct → the number, for every field."""
        numbers: dict[str, int | float] = {}
        for field in self.fields.values():
            numbers |= field.numbers(self._held)
        return numbers
